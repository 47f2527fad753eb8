"""Start here: drawn faces at 32x32, nothing to download, small enough for a CPU.

    python -m stylegan_jax.main --experiment=quickstart

Not a row of the paper: it shows a run from 8x8 to full size with all that a run leaves behind.
"""

from stylegan_jax.config import (
    Config,
    DataConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    ImageConfig,
    LogConfig,
    LossConfig,
    ParallelConfig,
    ScheduleConfig,
    TrainConfig,
)


def get_config():
    return Config(
        name='quickstart',
        replicas=1,
        parallel=ParallelConfig(devices=1),  # a replica cannot be shared
        image=ImageConfig(resolution=32),
        generator=GeneratorConfig(
            z_dim=128, w_dim=128, mapping_layers=4, mapping_fmaps=128, fmap_base=512, fmap_max=96
        ),
        discriminator=DiscriminatorConfig(fmap_base=256, fmap_max=96),
        data=DataConfig(source='toy_faces', count=10000, mirror=True),
        loss=LossConfig(r1_gamma=0.5),  # 10 is for a million pixels; these have a thousand
        schedule=ScheduleConfig(stage_kimg=2.5, fade_kimg=7.5, lr=0.003, batch=16),  # soon at full size
        train=TrainConfig(total_kimg=80.0, ema_kimg=1.0),  # a half-life of 10 kimg would span a fade
        log=LogConfig(
            tick_kimg=5.0, tick_kimg_by_resolution={}, grid_size=(10, 8), keep_checkpoints=20
        ),  # all of them, to be compared; 9 MB each
    )
