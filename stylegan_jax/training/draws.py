"""The random inputs of a step, which depend on (key, images shown, replica, purpose) and on nothing else.

So a run that goes on from a checkpoint draws the same again, on any number of devices. The steps take the draws as
arguments, so that a test or a reference trajectory can replace them.
"""

import typing

import jax
import jax.numpy as jnp

from stylegan_jax.config import Config
from stylegan_jax.networks.generator import draw_noise
from stylegan_jax.training.mixing import draw_crossover

# Purposes. Each is folded into the key, so that draws for one purpose never repeat those for another. Others that use
# the run's key have other numbers (`run.sample_grid`).
_DISCRIMINATOR_STEP, _GENERATOR_STEP, _PATH_LENGTH = 0, 1, 3
_AUGMENTATION = 6  # is folded into the key of a replica's step, beside the six keys that are split off it


class StepDraws(typing.NamedTuple):
    """The random inputs of one step over N images, replica after replica.

    Attributes:
      z: latents [N, Z].
      z_mix: second latents for mixing regularization [N, Z], or None for no mixing.
      crossover: for each image, the first layer that takes the second latent, see `mixing` [N].
      noise: one array [N or 1, h, w, 1] for each layer of the stage; empty for none.
      mirror: whether each real image is flipped [N], or None for never (discriminator step only).
      gp_factors: see `losses.discriminator_loss` [N, 1, 1, 1] (discriminator step of WGAN-GP only).
      augment: a typed key for each image, of which its augmentation follows [N], or None for none.
      directions: see `path_length.path_lengths` [N, H, W, C] (in `path` only).
      path: the draws of path length regularization, for images of its own, fewer in each replica (generator step only);
        None for none.
    """

    z: jax.Array
    z_mix: jax.Array | None = None
    crossover: jax.Array | None = None
    noise: tuple[jax.Array, ...] = ()
    mirror: jax.Array | None = None
    gp_factors: jax.Array | None = None
    augment: jax.Array | None = None
    directions: jax.Array | None = None
    path: 'StepDraws | None' = None


def draw_generator_step(
    config: Config,
    key: jax.Array,
    cur_nimg: jax.typing.ArrayLike,
    batch: int,
    *,
    stage: int,
    replicas: jax.Array | None = None,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> StepDraws:
    """Draws the random inputs of a generator step.

    Args:
      config: a Config.
      key: the run's typed JAX key.
      cur_nimg: images shown so far (may be traced).
      batch: N, the images of these replicas together.
      stage: the active stage (static).
      replicas: numbers of the replicas to draw for [replicas] (may be traced); None for all of them.
      dtype: of latents and noise.

    Returns:
      StepDraws for N images.
    """
    draws = _draw(config, key, _GENERATOR_STEP, cur_nimg, batch, stage, replicas, dtype)
    if not config.loss.path_length:
        return draws
    count = config.replicas if replicas is None else len(replicas)
    batch = count * max(1, batch // count // config.loss.path_length_batch_shrink)
    return draws._replace(path=_draw(config, key, _PATH_LENGTH, cur_nimg, batch, stage, replicas, dtype))


def draw_discriminator_step(
    config: Config,
    key: jax.Array,
    cur_nimg: jax.typing.ArrayLike,
    batch: int,
    *,
    stage: int,
    replicas: jax.Array | None = None,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> StepDraws:
    """Draws the random inputs of a discriminator step; see `draw_generator_step`."""
    return _draw(config, key, _DISCRIMINATOR_STEP, cur_nimg, batch, stage, replicas, dtype)


def _draw(config, key, purpose, cur_nimg, batch, stage, replicas, dtype):
    key = jax.random.fold_in(jax.random.fold_in(key, purpose), cur_nimg)
    replicas = jnp.arange(config.replicas) if replicas is None else replicas
    per_replica = batch // len(replicas)

    def draw(replica):
        return _draw_replica(config, jax.random.fold_in(key, replica), purpose, per_replica, stage, dtype)

    # Each replica has a key of its own, so its draws are the same whichever device it runs on.
    draws = jax.vmap(draw)(replicas)
    return jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), draws)


def _draw_replica(config, key, purpose, batch, stage, dtype):
    """Draws for the images of one replica; a field that the config does not use stays None."""
    # Always six keys: a draw does not change when another one is switched off. The last is for numbers that one purpose
    # alone needs.
    z, z_mix, mixing, noise, mirror, own = jax.random.split(key, 6)
    draws = StepDraws(
        jax.random.normal(z, (batch, config.generator.z_dim), dtype),
        noise=draw_noise(config.generator, noise, batch, stage, dtype),
    )
    if config.train.style_mixing_prob and config.generator.use_styles:
        # One crossover for all images of a replica, as the official code draws one on each GPU.
        crossover = draw_crossover(mixing, config.train.style_mixing_prob, layers=2 * (stage + 1))
        draws = draws._replace(
            z_mix=jax.random.normal(z_mix, draws.z.shape, dtype), crossover=jnp.full(batch, crossover)
        )
    if purpose == _DISCRIMINATOR_STEP and config.data.mirror:
        draws = draws._replace(mirror=jax.random.bernoulli(mirror, 0.5, (batch,)))
    if purpose != _PATH_LENGTH and config.augment.mode != 'none':  # path lengths have no discriminator
        draws = draws._replace(augment=jax.random.split(jax.random.fold_in(key, _AUGMENTATION), batch))
    if purpose == _DISCRIMINATOR_STEP and config.loss.name == 'wgan_gp':
        draws = draws._replace(gp_factors=jax.random.uniform(own, (batch, 1, 1, 1), dtype))
    if purpose == _PATH_LENGTH:
        shape = (batch, *config.image.stage_shape(stage), config.image.channels)
        draws = draws._replace(directions=jax.random.normal(own, shape, dtype))
    return draws
