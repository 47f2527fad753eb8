"""FFHQ at 512x512: configuration F at a smaller size.

    python -m stylegan_jax.main --experiment=ffhq512 --config.data.path=ffhq.zip

Not a row of the paper, which gives no FID for it. Published cost on Tesla V100:
4 days 10 hours with 8 GPUs, 7 days with 4, 13 days 7 hours with 2, 24 days 21 hours with 1.
"""

import dataclasses

from stylegan_jax.experiments import ffhq

from stylegan_jax.config import ImageConfig


def get_config():
    return dataclasses.replace(ffhq.get_config(), name='ffhq512', image=ImageConfig(resolution=512))
