"""Table 1, row F: E + mixing regularization; the same as ffhq.

    python -m stylegan_jax.main --experiment=table1_f --config.data.path=ffhq.zip

Published cost: 6 days 14 hours with 8 Tesla V100.
Expected: FID 4.40 on FFHQ (5.17 on CelebA-HQ: celebahq.py).
"""

import dataclasses

from stylegan_jax.experiments import ffhq


def get_config():
    return dataclasses.replace(ffhq.get_config(), name='table1_f')
