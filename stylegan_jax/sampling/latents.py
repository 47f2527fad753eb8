"""Latents and keys by number: each depends on its seed and its own number alone, not on how many there are."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

_LATENTS_PURPOSE = 0x77  # keeps the latents of `draw_latents` apart from other numbers of the same seed


@functools.partial(jax.jit, static_argnums=(2,))
def draw_normal(key: jax.Array, numbers: jax.Array | np.ndarray, size: int) -> jax.Array:
    """Draws a normal vector for each number, [N, size], whatever the other numbers are."""
    return jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), (size,)))(numbers)


@jax.jit
def draw_keys(key: jax.Array, numbers: jax.Array | np.ndarray) -> jax.Array:
    """Makes a typed JAX key for each number, [N]."""
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)


@jax.jit
def draw_uniform(key: jax.Array, numbers: jax.Array | np.ndarray) -> jax.Array:
    """Draws a value from 0 to 1 for each number, [N]."""
    return jax.vmap(lambda number: jax.random.uniform(jax.random.fold_in(key, number)))(numbers)


def latents(seeds: Sequence[int], z_dim: int) -> np.ndarray:
    """Returns the latents [N, Z] of seeds, float32, each drawn as the official scripts do."""
    return np.stack([np.random.RandomState(seed).randn(z_dim) for seed in seeds]).astype(np.float32)


def draw_latents(seed: int, start: int, count: int, z_dim: int) -> jax.Array:
    """Draws latents of an endless sequence that a seed names.

    Args:
      seed: of the sequence.
      start: number of the first latent.
      count: how many.
      z_dim: size of a latent.

    Returns:
      z [count, Z], float32.
    """
    key = jax.random.fold_in(jax.random.key(seed), _LATENTS_PURPOSE)
    return draw_normal(key, jnp.arange(start, start + count), z_dim)
