"""FFHQ at 256x256: configuration F at a smaller size.

    python -m stylegan_jax.main --experiment=ffhq256 --config.data.path=ffhq.zip

Not a row of the paper, which gives no FID for it. Published cost on Tesla V100:
3 days 8 hours with 8 GPUs, 4 days 21 hours with 4, 9 days 5 hours with 2, 14 days 22 hours with 1.
"""

import dataclasses

from stylegan_jax.experiments import ffhq

from stylegan_jax.config import ImageConfig


def get_config():
    return dataclasses.replace(ffhq.get_config(), name='ffhq256', image=ImageConfig(resolution=256))
