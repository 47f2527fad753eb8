"""Matrices of plane coordinates with a third entry of 1 [3, 3], whose product applies the last factor first."""

import functools

import jax
import jax.numpy as jnp


def product(*factors: jax.Array) -> jax.Array:
    """Returns the product of square matrices in full precision, which accelerators would else round."""
    return functools.reduce(functools.partial(jnp.matmul, precision='highest'), factors)


def scaling(x: jax.typing.ArrayLike, y: jax.typing.ArrayLike) -> jax.Array:
    """Returns SCALE2D(x, y)."""
    return jnp.diag(jnp.stack([jnp.asarray(x, float), jnp.asarray(y, float), jnp.ones((), float)]))


def translation(shift: jax.Array) -> jax.Array:
    """Returns TRANSLATE2D of a shift [2] along x and y, or of one in as many dimensions as it has entries."""
    return jnp.eye(len(shift) + 1, dtype=shift.dtype).at[:-1, -1].set(shift)


def rotation(angle: jax.Array) -> jax.Array:
    """Returns ROTATE2D(angle), with the angle in radians."""
    return rotation_by(jnp.cos(angle), jnp.sin(angle))


def rotation_by(cosine: jax.Array, sine: jax.Array) -> jax.Array:
    """Returns ROTATE2D of an angle with this cosine and sine."""
    return jnp.eye(3, dtype=cosine.dtype).at[:2, :2].set(jnp.array([[cosine, -sine], [sine, cosine]]))
