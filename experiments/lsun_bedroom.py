"""LSUN Bedroom at 256x256: configuration F.

    python -m stylegan_jax.main --experiment=lsun_bedroom --config.data.path=lsun-bedroom.zip

The settings of ffhq without mirroring. Published cost at this size: 3 days 8 hours with 8 Tesla V100.
Expected: FID 2.65. The paper trained its LSUN Bedroom network longer, for 70,000 kimg
(--config.train.total_kimg=70000).
"""

import dataclasses

from stylegan_jax.experiments import ffhq

from stylegan_jax.config import DataConfig, ImageConfig


def get_config():
    return dataclasses.replace(
        ffhq.get_config(), name='lsun_bedroom', image=ImageConfig(resolution=256), data=DataConfig(mirror=False)
    )
