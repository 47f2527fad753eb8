"""Table 1, row C: B + mapping network and styles.

    python -m stylegan_jax.main --experiment=table1_c --config.data.path=ffhq.zip

Configuration D with the traditional 4x4 input, a dense layer of w, in place of the learned constant.
Expected: FID 4.85 on FFHQ (5.34 on CelebA-HQ, with the loss and rates of celebahq.py).
"""

import dataclasses

from stylegan_jax.experiments import table1_d


def get_config():
    config = table1_d.get_config()
    return dataclasses.replace(
        config, name='table1_c', generator=dataclasses.replace(config.generator, const_input=False)
    )
