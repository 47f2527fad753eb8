"""LSUN Car at 512x384 on a black 512x512 square: configuration F.

    python -m stylegan_jax.main --experiment=lsun_car --config.data.path=lsun-car.zip

The zip holds prepared pictures: the central 4:3 region of each photograph, resized to 512x384, in the
middle of a black 512x512 square.
The settings of ffhq without mirroring. Published cost at this size: 4 days 10 hours with 8 Tesla V100.
Expected: FID 3.27. The paper trained its LSUN Car network longer, for 46,000 kimg
(--config.train.total_kimg=46000).
"""

import dataclasses

from stylegan_jax.experiments import ffhq

from stylegan_jax.config import DataConfig, ImageConfig


def get_config():
    return dataclasses.replace(
        ffhq.get_config(), name='lsun_car', image=ImageConfig(resolution=512), data=DataConfig(mirror=False)
    )
