"""FFHQ at 1024x1024: configuration F, the paper's main result.

    python -m stylegan_jax.main --experiment=ffhq --config.data.path=ffhq.zip

Reproduces Table 1, row F, column FFHQ. Published cost on Tesla V100: 6 days 14 hours with 8 GPUs, 11 days
8 hours with 4, 21 days 22 hours with 2, 41 days 4 hours with 1.
Expected: FID 4.40; path length 664.9 (full Z), 233.3 (full W), 666.1 (end Z), 197.2 (end W); separability
165.0 (Z), 3.74 (W), the last six measured on the official network.
"""

from stylegan_jax.config import Config, DataConfig, ImageConfig, LossConfig, ScheduleConfig


def get_config():
    # The networks' and the optimisers' defaults in config/run.py are configuration F.
    return Config(
        name='ffhq',
        replicas=8,
        image=ImageConfig(resolution=1024),
        data=DataConfig(mirror=True),
        loss=LossConfig(name='logistic', r1_gamma=10.0),
        schedule=ScheduleConfig(initial_resolution=8, stage_kimg=600.0, fade_kimg=600.0),
    )
