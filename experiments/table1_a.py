"""Table 1, row A: the Progressive GAN baseline on FFHQ.

    python -m stylegan_jax.main --experiment=table1_a --config.data.path=ffhq.zip

Progressive GAN's own pair of networks, WGAN-GP, from 4x4, 12,000 kimg. No cost was published.
Expected: FID 8.04 on FFHQ (7.79 on CelebA-HQ).
"""

import dataclasses

from stylegan_jax.experiments import ffhq

from stylegan_jax.config import DiscriminatorConfig, GeneratorConfig, LossConfig


def get_config():
    config = ffhq.get_config()
    return dataclasses.replace(
        config,
        name='table1_a',
        generator=GeneratorConfig.progan(z_dim=512),
        discriminator=DiscriminatorConfig(architecture='progan', blur_filter=()),
        loss=LossConfig(name='wgan_gp'),
        schedule=dataclasses.replace(config.schedule, initial_resolution=4),
        train=dataclasses.replace(config.train, style_mixing_prob=0.0, total_kimg=12000.0),
    )
