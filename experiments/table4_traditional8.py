"""Table 4: a traditional generator behind a mapping network of 8 layers, on FFHQ.

    python -m stylegan_jax.main --experiment=table4_traditional8 --config.data.path=ffhq.zip

Row B of Table 1 with w in place of z at its input; no styles.
Expected: FID 4.87.
"""

import dataclasses

from stylegan_jax.experiments import table1_b


def get_config():
    config = table1_b.get_config()
    return dataclasses.replace(
        config, name='table4_traditional8', generator=dataclasses.replace(config.generator, mapping_layers=8)
    )
