"""Table 4: a style-based generator with a mapping network of 8 layers, on FFHQ.

    python -m stylegan_jax.main --experiment=table4_style8 --config.data.path=ffhq.zip

Row F of Table 1, the same as ffhq. Cost: as ffhq.
Expected: FID 4.40.
"""

import dataclasses

from stylegan_jax.experiments import ffhq


def get_config():
    config = ffhq.get_config()
    return dataclasses.replace(
        config, name='table4_style8', generator=dataclasses.replace(config.generator, mapping_layers=8)
    )
