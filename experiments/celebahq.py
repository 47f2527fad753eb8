"""CelebA-HQ at 1024x1024: configuration F with WGAN-GP.

    python -m stylegan_jax.main --experiment=celebahq --config.data.path=celebahq.zip

Reproduces Table 1, row F, column CelebA-HQ. No cost was published for it; ffhq at the same size took 6 days
14 hours with 8 Tesla V100.
Expected: FID 5.17.
"""

import dataclasses

from stylegan_jax.experiments import ffhq

from stylegan_jax.config import LossConfig


def get_config():
    config = ffhq.get_config()
    return dataclasses.replace(
        config,
        name='celebahq',
        loss=LossConfig(name='wgan_gp', wgan_lambda=10.0, wgan_epsilon=0.001),
        # The published learning rates, capped at 0.002.
        schedule=dataclasses.replace(
            config.schedule, lr_by_resolution={128: 0.0015, 256: 0.002, 512: 0.002, 1024: 0.002}
        ),
    )
