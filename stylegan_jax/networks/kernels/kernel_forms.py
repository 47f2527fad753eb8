"""From a stored 3x3 weight to the kernel of a convolution that halves or doubles the size, and back."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stylegan_jax.networks import ops

FORWARD = (3, 0, 1, 2)  # permutation of a weight [k, k, I, O] into a kernel [O, k, k, I]
BACKWARD = (1, 2, 3, 0)  # the inverse of FORWARD
_TRANSPOSED = (2, 0, 1, 3)  # permutation of a weight [k, k, O, I] into a kernel [O, k, k, I]


class KernelForm(NamedTuple):
    """How a stored weight becomes the kernel of `convolve_down`.

    Attributes:
      transposed: the weight is [3, 3, O, I]: it belongs to an up convolution, whose inputs are the outputs of
        `convolve_down`.
      mirrored: the kernel is the weight reversed along height and width.
      divisor: the kernel is the weight divided by this; 4 turns the sum over 2x2 pixels into their mean.
      taps: of a low-pass filter along the rows of the larger images, before they are halved; see `ops.blur`.
    """

    transposed: bool = False
    mirrored: bool = False
    divisor: int = 1
    taps: tuple[float, ...] = ()


def kernel_3x3(weight: jax.Array, form: KernelForm) -> jax.Array:
    """Returns the kernel [3, 3, I, O] of a weight. The adjoint of this linear map has the same expression."""
    weight = (weight[::-1, ::-1] if form.mirrored else weight) / form.divisor
    return weight.swapaxes(2, 3) if form.transposed else weight


def kernel_4x4(weight: jax.Array, form: KernelForm, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Returns the kernel [O, 4, 4, I] that correlates and sums over 2x2 pixels at once.

    The sum of a 3x3 correlation over 2x2 neighbouring pixels is one correlation with the sum of four copies of the
    kernel, shifted by no pixel or one along each axis.
    """
    kernel = _add_neighbours(jnp.pad(weight, ((1, 1), (1, 1), (0, 0), (0, 0))), 0)  # [5, 5, ...] -> [4, 4, ...]
    kernel = kernel.transpose(_TRANSPOSED if form.transposed else FORWARD)
    return ops.row_major(((kernel[:, ::-1, ::-1] if form.mirrored else kernel) / form.divisor).astype(dtype))


def kernel_4x4_adjoint(kernel: jax.Array, form: KernelForm) -> jax.Array:
    """Computes the adjoint of `kernel_4x4`: [O, 4, 4, I] -> a weight."""
    # Adds before it transposes, because 3x3 is less to move.
    kernel = ops.row_major(_add_neighbours((kernel[:, ::-1, ::-1] if form.mirrored else kernel) / form.divisor, 1))
    return kernel.transpose((1, 2, 0, 3) if form.transposed else BACKWARD)


def _add_neighbours(kernel, axis):
    """Sums over 2x2 neighbours along `axis` and the next one, each of which becomes shorter by one."""
    for one in (axis, axis + 1):
        size = kernel.shape[one]
        kernel = lax.slice_in_dim(kernel, 1, size, axis=one) + lax.slice_in_dim(kernel, 0, size - 1, axis=one)
    return kernel
