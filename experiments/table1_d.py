"""Table 1, row D: C + learned constant instead of the traditional input.

    python -m stylegan_jax.main --experiment=table1_d --config.data.path=ffhq.zip

Configuration E without noise inputs.
Expected: FID 4.88 on FFHQ (5.07 on CelebA-HQ, with the loss and rates of celebahq.py).
"""

import dataclasses

from stylegan_jax.experiments import table1_e


def get_config():
    config = table1_e.get_config()
    return dataclasses.replace(
        config, name='table1_d', generator=dataclasses.replace(config.generator, use_noise=False)
    )
