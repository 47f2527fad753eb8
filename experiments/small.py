"""Few images of one's own, 300 to 5,000: 256x256, one GPU, from a network that knows other images already.

    python -m stylegan_jax.main --experiment=small --config.data.path=my-images --init_from=runs/ffhq256

Not a row of the paper. Training begins at full size with all weights of the file that fit; the two blocks of the
discriminator that see the largest images keep theirs (FreezeD, Mo et al. 2020). Images are mirrored, and augmented
where the discriminator overfits (Karras et al. 2020, limited data; as fast as their code does in transfer). One in
twenty is held out, by which the log tells when training memorises the others. What to change:

    --config.data.validation=0                    so few images that none can be spared
    --noconfig.data.mirror                        left and right differ, as in writing
    --config.train.freeze_d=0                     the images are of another kind than those of the file
    --config.schedule.initial_resolution=8        without a file, which takes longer and gives less
    --config.metrics=kid10k_full --config.log.keep_best     keep the best checkpoint

To try it on a CPU, in minutes and without a file (32x32, narrow, and rates that suit so few pixels and images):

    python -m stylegan_jax.main --experiment=small --config.data.path=my-images --config.image.resolution=32 \\
        --config.generator.fmap_max=32 --config.discriminator.fmap_max=32 --config.schedule.lr=0.003 \\
        --config.loss.r1_gamma=0.5 --config.train.ema_kimg=1 --config.train.total_kimg=20 --config.log.tick_kimg=5
"""

from stylegan_jax.config import (
    AugmentConfig,
    Config,
    DataConfig,
    ImageConfig,
    LogConfig,
    ParallelConfig,
    ScheduleConfig,
    TrainConfig,
)


def get_config():
    return Config(
        name='small',
        replicas=1,
        parallel=ParallelConfig(devices=1),  # a replica cannot be shared
        image=ImageConfig(resolution=256),
        data=DataConfig(mirror=True, validation=0.05),
        augment=AugmentConfig(mode='ada', speed_kimg=100.0),
        schedule=ScheduleConfig(initial_resolution=1024, batch=16),  # above full size: no growth at any image size
        train=TrainConfig(total_kimg=1000.0, freeze_d=2),
        log=LogConfig(tick_kimg=20.0, tick_kimg_by_resolution={}, keep_every_kimg=100.0),  # to go back to
    )
