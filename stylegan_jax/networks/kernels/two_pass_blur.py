"""The low-pass filter of `ops.blur` for half precision: one axis after the other.

Of a filter of 3x3 weights in one expression, XLA:GPU evaluates everything that the filter reads nine times per pixel,
each time behind a test whether the place is inside of the image. That took 895 us for bias, rectifier and filter of
[8, 1024, 1024, 16] on an H200; one axis after the other, with the array between them stored in bfloat16, took 417 us
(2026-11-27), although it moves twice the bytes.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels.storage import is_half_precision, stored


def blur(
    x: jax.Array,
    taps: Sequence[float],
    dtype: jax.typing.DTypeLike,
    *,
    columns_only: bool = False,
    saturates: bool = False,
) -> jax.Array:
    """Low-pass filters as `ops.blur` does; for networks whose first derivatives are written by hand.

    Args:
      x: [N, H, W, C] in float32 or float64.
      taps: an odd number of weights, which are scaled to sum 1; () does nothing.
      dtype: of the rows, which are stored between both axes. Where it is float32 or float64 nothing is stored. With
        `columns_only` it is only the type whose largest number `saturates` means.
      columns_only: filter along columns only, because a convolution filters along rows (`row_blur`).
      saturates: rows beyond the largest number of `dtype` become that number rather than infinite.

    Returns:
      [N, H, W, C] in the type of `x`, not rounded, so that more work can be fused with it.
    """
    if not columns_only and not (taps and is_half_precision(dtype)):
        return ops.blur(x, tuple(taps))
    rows = along(x, taps, axis=1)
    if saturates:
        largest = float(jnp.finfo(dtype).max)
        rows = jnp.clip(rows, -largest, largest)
    if columns_only:
        return rows
    # If the rows were not stored, XLA would make one expression of both axes again.
    (rows,) = stored(rows, dtype)
    return along(rows, taps, axis=2)


def along(x: jax.Array, taps: Sequence[float], axis: int) -> jax.Array:
    """Filters along one axis."""
    half, size = len(taps) // 2, x.shape[axis]
    edges = [(half, half) if i == axis else (0, 0) for i in range(x.ndim)]
    padded = jnp.pad(x, edges)
    return sum(jax.lax.slice_in_dim(padded, i, i + size, axis=axis) * (tap / sum(taps)) for i, tap in enumerate(taps))
