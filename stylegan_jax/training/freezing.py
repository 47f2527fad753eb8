"""The blocks of the discriminator that keep their weights in transfer (FreezeD), for few images.

Blocks at full size see edges and textures, which differ little from one set of images to another. A discriminator that
cannot change them learns few images by heart more slowly.

Reference:
  Mo et al. 2020 (Freeze the Discriminator), Section 3.
"""

import optax

from stylegan_jax.config import Config
from stylegan_jax.networks.layers import stage_name


def frozen_blocks(config: Config) -> frozenset[str]:
    """Returns the names of the blocks of D whose weights stay: `train.freeze_d` of them, from full size on."""
    if not config.init_from:
        return frozenset()
    last = config.image.num_stages - 1
    return frozenset(stage_name(config.image, last - number) for number in range(config.train.freeze_d))


def split_frozen(config: Config, params: dict) -> tuple[dict, dict]:
    """Divides a tree of D's weights, or of anything like them, into (those that are trained, those that stay)."""
    frozen = frozen_blocks(config)
    trained = {name: block for name, block in params.items() if name not in frozen}
    return trained, {name: block for name, block in params.items() if name in frozen}


def split_frozen_moments(
    config: Config, optimizer: optax.ScaleByAdamState
) -> tuple[optax.ScaleByAdamState, optax.ScaleByAdamState]:
    """Divides Adam's state for D like `split_frozen`; the number of steps is in the first part."""
    parts = [
        (None, None) if moment is None else split_frozen(config, moment) for moment in (optimizer.mu, optimizer.nu)
    ]
    (mu, frozen_mu), (nu, frozen_nu) = parts
    return optimizer._replace(mu=mu, nu=nu), optimizer._replace(mu=frozen_mu, nu=frozen_nu)


def joined_moments(trained: optax.ScaleByAdamState, frozen: optax.ScaleByAdamState) -> optax.ScaleByAdamState:
    """Puts the two parts of `split_frozen_moments` together again."""
    mu = None if trained.mu is None else trained.mu | frozen.mu
    return trained._replace(mu=mu, nu=trained.nu | frozen.nu)
