"""Table 4: a style-based generator without mapping network, on FFHQ.

    python -m stylegan_jax.main --experiment=table4_style0 --config.data.path=ffhq.zip

w is the normalised z itself. Cost: as ffhq.
Expected: FID 5.06.
"""

import dataclasses

from stylegan_jax.experiments import ffhq


def get_config():
    config = ffhq.get_config()
    return dataclasses.replace(
        config, name='table4_style0', generator=dataclasses.replace(config.generator, mapping_layers=0)
    )
