"""One's own images: 64x64, one GPU, modest width; the place to start from.

    python -m stylegan_jax.main --experiment=custom --config.data.path=my-images

Not a row of the paper. What to change first:

    --config.image.resolution=256            larger images
    --config.data.mirror=true                where left and right look alike
    --config.train.total_kimg=10000       a longer run
    --noconfig.data.find_labels              ignore the labels of the images
    --config.generator.fmap_base=8192 --config.generator.fmap_max=512             the paper's width
    --config.discriminator.fmap_base=8192 --config.discriminator.fmap_max=512     of both networks
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
        name='custom',
        replicas=1,
        parallel=ParallelConfig(devices=1),  # a replica cannot be shared
        image=ImageConfig(resolution=64, label_dim=0),
        generator=GeneratorConfig(z_dim=256, w_dim=256, mapping_fmaps=256, fmap_base=2048, fmap_max=256),
        discriminator=DiscriminatorConfig(fmap_base=2048, fmap_max=256),
        data=DataConfig(find_labels=True),
        schedule=ScheduleConfig(stage_kimg=200.0, fade_kimg=200.0),
        train=TrainConfig(total_kimg=3000.0),
    )
