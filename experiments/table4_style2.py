"""Table 4: a style-based generator with a mapping network of 2 layers, on FFHQ.

    python -m stylegan_jax.main --experiment=table4_style2 --config.data.path=ffhq.zip

Configuration F otherwise. Cost: as ffhq.
Expected: FID 4.43.
"""

import dataclasses

from stylegan_jax.experiments import ffhq


def get_config():
    config = ffhq.get_config()
    return dataclasses.replace(
        config, name='table4_style2', generator=dataclasses.replace(config.generator, mapping_layers=2)
    )
