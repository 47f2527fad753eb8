"""Table 1, row E: D + noise inputs.

    python -m stylegan_jax.main --experiment=table1_e --config.data.path=ffhq.zip

Configuration F without mixing regularization.
Expected: FID 4.42 on FFHQ (5.06 on CelebA-HQ, with the loss and rates of celebahq.py).
"""

import dataclasses

from stylegan_jax.experiments import table1_f


def get_config():
    config = table1_f.get_config()
    return dataclasses.replace(config, name='table1_e', train=dataclasses.replace(config.train, style_mixing_prob=0.0))
