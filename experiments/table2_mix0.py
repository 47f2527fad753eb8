"""Table 2: mixing regularization for 0 % of the training images, on FFHQ.

    python -m stylegan_jax.main --experiment=table2_mix0 --config.data.path=ffhq.zip

Cost: as ffhq. This is row E of Table 1.
Expected: FID 4.42.
"""

import dataclasses

from stylegan_jax.experiments import ffhq


def get_config():
    config = ffhq.get_config()
    return dataclasses.replace(
        config, name='table2_mix0', train=dataclasses.replace(config.train, style_mixing_prob=0.0)
    )
