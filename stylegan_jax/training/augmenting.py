"""The augmentation of a training step: what the config asks for, and the probability that the state carries."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from stylegan_jax.augmentation.controller import adapt
from stylegan_jax.augmentation.pipeline import augment
from stylegan_jax.config import Config
from stylegan_jax.training.state import TrainState

_KINDS = {'real': 0, 'fake': 1}  # are folded into the keys, so that both kinds of images have draws of their own


def augmenter(
    config: Config, state: TrainState, keys: jax.Array | None
) -> Callable[[jax.Array, str], jax.Array] | None:
    """Returns the function of (images [N, H, W, C], kind of images) that augments those of a step; None for none.

    Args:
      config: a Config.
      state: a TrainState.
      keys: `StepDraws.augment` of the N images.
    """
    mode = config.augment.mode
    if mode == 'none':
        return None
    p = state.augmentation.p if mode == 'ada' else config.augment.p

    def augmented(images, kind):
        own = jax.vmap(lambda key: jax.random.fold_in(key, _KINDS[kind]))(keys)
        return augment(images, own, p, mode=mode, fourth_channel=config.data.fourth_channel)

    return augmented


def signs(config: Config, real_logits: jax.Array) -> dict[str, jax.Array]:
    """Returns the metric of r_t where it is needed: by adaptive augmentation, and where images are held out.

    Args:
      config: a Config.
      real_logits: [N].

    Returns:
      {'real_signs': [N]}, or an empty dict.
    """
    if config.augment.mode != 'ada' and not config.data.validation:
        return {}
    # A logit that is not finite, whose step is skipped, may not reach the controller.
    return {'real_signs': jnp.sign(jnp.nan_to_num(real_logits))}


def adapted(
    config: Config, state: TrainState, metrics: dict[str, jax.Array], batch: int
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Moves the probability of adaptive augmentation after a discriminator step (`augmentation.controller.adapt`).

    Args:
      config: a Config.
      state: a TrainState.
      metrics: of the step, means over all replicas.
      batch: images of the step, of all replicas.

    Returns:
      (state, metrics with the probability that the step had); both as they were with other modes.
    """
    if config.augment.mode != 'ada':
        return state, metrics
    before, settings = state.augmentation, config.augment
    after = adapt(
        before,
        metrics['real_signs'],
        batch,
        target=settings.target,
        speed_kimg=settings.speed_kimg,
        interval=settings.interval,
    )
    return state.replace(augmentation=after), metrics | {'augment_p': before.p}
