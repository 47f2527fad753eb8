"""Table 2: mixing regularization for 100 % of the training images, on FFHQ.

    python -m stylegan_jax.main --experiment=table2_mix100 --config.data.path=ffhq.zip

Cost: as ffhq.
Expected: FID 4.83.
"""

import dataclasses

from stylegan_jax.experiments import ffhq


def get_config():
    config = ffhq.get_config()
    return dataclasses.replace(
        config, name='table2_mix100', train=dataclasses.replace(config.train, style_mixing_prob=1.0)
    )
