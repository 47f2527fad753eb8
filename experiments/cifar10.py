"""CIFAR-10 at 32x32, conditional on its 10 classes, at a modest width on one GPU.

    python -m stylegan_jax.main --experiment=cifar10 --config.data.path=tfds:cifar10

Not a row of the paper, which has no CIFAR-10 and no published setting for labels: there is no FID to expect.
It is here to try conditional training, at a small cost.
"""

from stylegan_jax.config import (
    Config,
    DataConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    ImageConfig,
    ParallelConfig,
    ScheduleConfig,
    TrainConfig,
)


def get_config():
    return Config(
        name='cifar10',
        replicas=1,
        parallel=ParallelConfig(devices=1),  # a replica cannot be shared
        image=ImageConfig(resolution=32, label_dim=10),
        generator=GeneratorConfig(z_dim=256, w_dim=256, mapping_fmaps=256, fmap_base=2048, fmap_max=256),
        discriminator=DiscriminatorConfig(fmap_base=2048, fmap_max=256),
        data=DataConfig(mirror=True),
        schedule=ScheduleConfig(stage_kimg=300.0, fade_kimg=300.0),
        train=TrainConfig(total_kimg=10000.0),
    )
