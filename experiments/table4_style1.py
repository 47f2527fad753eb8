"""Table 4: a style-based generator with a mapping network of 1 layer, on FFHQ.

    python -m stylegan_jax.main --experiment=table4_style1 --config.data.path=ffhq.zip

Configuration F otherwise. Cost: as ffhq.
Expected: FID 4.60.
"""

import dataclasses

from stylegan_jax.experiments import ffhq


def get_config():
    config = ffhq.get_config()
    return dataclasses.replace(
        config, name='table4_style1', generator=dataclasses.replace(config.generator, mapping_layers=1)
    )
