"""What is random in a step, drawn from (key, images shown, replica, purpose) and nothing else.

The steps take these draws as arguments, so that a test or a reference trajectory can put its own in their place.
"""

import typing

import jax
import jax.numpy as jnp

from stylegan_jax.networks.generator import draw_noise

_DISCRIMINATOR_STEP, _GENERATOR_STEP = 0, 1  # purposes


class StepDraws(typing.NamedTuple):
    """The random inputs of one step over N images; a replica's images stand together.

    Attributes:
      z: latents [N, Z].
      z_mix: second latents for mixing [N, Z], or None for no mixing.
      crossover: first layer that takes the second latent [N]; the number of layers or more means none.
      noise: one [N or 1, h, w, 1] a layer of the stage; empty for none.
      mirror: whether a real image is flipped [N], or None for never (discriminator step only).
      gp_factors: see `losses.discriminator_loss`, [N, 1, 1, 1] (WGAN-GP only).
    """

    z: jax.Array
    z_mix: jax.Array | None = None
    crossover: jax.Array | None = None
    noise: tuple = ()
    mirror: jax.Array | None = None
    gp_factors: jax.Array | None = None


def draw_generator_step(config, key, cur_nimg, batch, *, stage, replicas=None, dtype=jnp.float32):
    """Draws for a generator step.

    Args:
      config: a Config.
      key: the run's key.
      cur_nimg: images shown so far (may be traced).
      batch: N over these replicas.
      stage: the active stage (static).
      replicas: numbers of the replicas to draw for (may be traced); None for all of them.
      dtype: of latents and noise.

    Returns:
      StepDraws.
    """
    return _draw(config, key, _GENERATOR_STEP, cur_nimg, batch, stage, replicas, dtype)


def draw_discriminator_step(config, key, cur_nimg, batch, *, stage, replicas=None, dtype=jnp.float32):
    """Draws for a discriminator step; see `draw_generator_step`."""
    return _draw(config, key, _DISCRIMINATOR_STEP, cur_nimg, batch, stage, replicas, dtype)


def _draw(config, key, purpose, cur_nimg, batch, stage, replicas, dtype):
    key = jax.random.fold_in(jax.random.fold_in(key, purpose), cur_nimg)
    replicas = jnp.arange(config.replicas) if replicas is None else replicas
    share = batch // len(replicas)

    def draw(replica):
        return _draw_replica(config, jax.random.fold_in(key, replica), purpose, share, stage, dtype)

    draws = jax.vmap(draw)(replicas)
    return jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), draws)


def _draw_replica(config, key, purpose, share, stage, dtype):
    """Draws for the images of one replica; a field that a setting does not use stays None."""
    keys = iter(jax.random.split(key, 6))
    z, z_mix, mixing, noise, mirror, factors = (next(keys) for _ in range(6))
    draws = StepDraws(
        jax.random.normal(z, (share, config.generator.z_dim), dtype),
        noise=draw_noise(config.generator, noise, share, stage, dtype),
    )
    if config.train.style_mixing_prob and config.generator.use_styles:
        crossover = draw_crossover(mixing, config.train.style_mixing_prob, layers=2 * (stage + 1))
        draws = draws._replace(
            z_mix=jax.random.normal(z_mix, draws.z.shape, dtype), crossover=jnp.full(share, crossover)
        )
    if purpose == _DISCRIMINATOR_STEP and config.data.mirror:
        draws = draws._replace(mirror=jax.random.bernoulli(mirror, 0.5, (share,)))
    if purpose == _DISCRIMINATOR_STEP and config.loss.name == 'wgan_gp':
        draws = draws._replace(gp_factors=jax.random.uniform(factors, (share, 1, 1, 1), dtype))
    return draws


def draw_crossover(key, probability, *, layers):
    """Draws where mixing changes latents (Section 3.1): uniform in [1, layers), or `layers` (nowhere)."""
    mixes, position = jax.random.split(key)
    return jnp.where(jax.random.bernoulli(mixes, probability), jax.random.randint(position, (), 1, layers), layers)
