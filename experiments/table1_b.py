"""Table 1, row B: A + tuning, bilinear up and down sampling.

    python -m stylegan_jax.main --experiment=table1_b --config.data.path=ffhq.zip

Configuration C without mapping network and styles: a traditional generator with pixel norm, which takes the
normalised z as its input. R1 in place of WGAN-GP and 25,000 kimg from 8x8 came with the tuning.
Expected: FID 5.25 on FFHQ (6.11 on CelebA-HQ, with the loss and rates of celebahq.py).
"""

import dataclasses

from stylegan_jax.experiments import table1_c


def get_config():
    config = table1_c.get_config()
    generator = dataclasses.replace(
        config.generator,
        mapping_layers=0,
        use_styles=False,
        use_pixel_norm=True,
        use_instance_norm=False,
        truncation_psi=None,
    )
    return dataclasses.replace(config, name='table1_b', generator=generator)
