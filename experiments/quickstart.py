"""Start here: drawn faces at 32x32, nothing to download, small enough for a CPU.

    python -m stylegan_jax.main --experiment=quickstart

Not a row of the paper: it shows a run from 8x8 to full size with all that a run leaves behind.
"""
from stylegan_jax.config import (Config, DataConfig, DiscriminatorConfig, GeneratorConfig, ImageConfig, LogConfig,
                                 ScheduleConfig, TrainConfig)


def get_config():
    return Config(
        name='quickstart',
        replicas=1,
        image=ImageConfig(resolution=32),
        generator=GeneratorConfig(z_dim=64, w_dim=64, mapping_layers=4, mapping_fmaps=64, fmap_base=512, fmap_max=64),
        discriminator=DiscriminatorConfig(fmap_base=512, fmap_max=64),
        data=DataConfig(source='toy_faces', count=10000, mirror=True),
        schedule=ScheduleConfig(stage_kimg=10.0, fade_kimg=10.0, batch=16, lr=0.002),
        train=TrainConfig(total_kimg=100.0, ema_kimg=1.0),         # a half-life of 10 kimg would span a stage
        log=LogConfig(tick_kimg=5.0, tick_kimg_by_resolution={}, grid_size=(8, 8)),
    )
