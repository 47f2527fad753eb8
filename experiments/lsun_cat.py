"""LSUN Cat at 256x256: configuration F.

    python -m stylegan_jax.main --experiment=lsun_cat --config.data.path=lsun-cat.zip

The settings of ffhq without mirroring. Published cost at this size: 3 days 8 hours with 8 Tesla V100.
Expected: FID 8.53. The paper trained its LSUN Cat network longer, for 70,000 kimg
(--config.train.total_kimg=70000).
"""

import dataclasses

from stylegan_jax.experiments import ffhq

from stylegan_jax.config import DataConfig, ImageConfig


def get_config():
    return dataclasses.replace(
        ffhq.get_config(), name='lsun_cat', image=ImageConfig(resolution=256), data=DataConfig(mirror=False)
    )
