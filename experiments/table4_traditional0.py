"""Table 4: a traditional generator without mapping network, on FFHQ.

    python -m stylegan_jax.main --experiment=table4_traditional0 --config.data.path=ffhq.zip

The same as row B of Table 1.
Expected: FID 5.25.
"""

import dataclasses

from stylegan_jax.experiments import table1_b


def get_config():
    return dataclasses.replace(table1_b.get_config(), name='table4_traditional0')
