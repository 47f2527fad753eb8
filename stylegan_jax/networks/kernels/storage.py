"""What XLA stores between two kernels in half precision, and in which type.

XLA decides by itself which arrays it stores and which it recomputes in each of their users. An `optimization_barrier`
behind an array has it stored; as another value, whatever is derived from it is recomputed.
"""

import functools

import jax
import jax.numpy as jnp

from stylegan_jax.networks import ops


def is_half_precision(dtype: jax.typing.DTypeLike) -> bool:
    """Returns whether this is bfloat16 or float16."""
    return jnp.dtype(dtype) in (jnp.bfloat16, jnp.float16)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def stored(x: jax.Array, dtype: jax.typing.DTypeLike, barriers: int = 1, *others: jax.Array) -> tuple[jax.Array, ...]:
    """Returns an array that is stored in `dtype`, as float32.

    The derivative is that of the identity, in float32: a gradient does not share the range of what it is a gradient of,
    and would overflow or vanish in float16. XLA removes the two conversions where an array that was stored comes again.

    Args:
      x: in float32 or float64.
      dtype: that it is rounded to.
      barriers: behind how many of them; each number is another value to XLA.
      *others: arrays that share the barriers and keep their types, so that the kernel that stores `x` makes them.

    Returns:
      (x, *others).
    """
    arrays = x.astype(dtype), *others
    for _ in range(barriers):
        arrays = jax.lax.optimization_barrier(arrays)
    return ops.at_least_float32(arrays[0]), *arrays[1:]


stored.defvjp(
    lambda x, dtype, barriers, *others: (stored(x, dtype, barriers, *others), None),
    lambda dtype, barriers, _, d: d,
)
