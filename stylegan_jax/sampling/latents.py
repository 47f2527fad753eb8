"""Latents and keys by number: each depends on its seed and its own number alone, not on how many there are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


@functools.partial(jax.jit, static_argnums=(2,))
def draw_normal(key, numbers, size):
    """Draws a normal vector for each number, float32 [N, size], whatever the others are."""
    return jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), (size,)))(numbers)


@jax.jit
def draw_keys(key, numbers):
    """Makes a key for each number."""
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)


@jax.jit
def draw_uniform(key, numbers):
    """Draws a number from 0 to 1 for each number, [N]."""
    return jax.vmap(lambda number: jax.random.uniform(jax.random.fold_in(key, number)))(numbers)


def latents(seeds, z_dim):
    """Returns the latents [N, Z] of seeds, each drawn as the official scripts do."""
    return np.stack([np.random.RandomState(seed).randn(z_dim) for seed in seeds]).astype(np.float32)


def draw_latents(seed, start, count, z_dim):
    """Draws latents [count, Z], float32: those with the numbers `start` and up of an endless row that a seed means."""
    key = jax.random.fold_in(jax.random.key(seed), 0x77)  # a purpose of its own
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(start, start + count))
    return jax.vmap(lambda key: jax.random.normal(key, (z_dim,)))(keys)
