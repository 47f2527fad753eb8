"""FFHQ at 256x256 with path length regularization, which the paper's conclusion proposes and StyleGAN2 defines.

    python -m stylegan_jax.main --experiment=ffhq256_pl --config.data.path=ffhq.zip

Not a row of the paper. Weight, interval and shrink are those of StyleGAN2 (Karras et al. 2020, Appendix B); all else is
`ffhq256`.
"""

import dataclasses

from stylegan_jax.experiments import ffhq256


def get_config():
    config = ffhq256.get_config()
    return dataclasses.replace(config, name='ffhq256_pl', loss=dataclasses.replace(config.loss, path_length=2.0))
