"""Convolutions with fewer products, for CPUs: sums of pixels are multiplied with sums of weights.

A 3x3 convolution takes 9 products an output. For 2x2 outputs together 16 do instead of 36 (F(2x2, 3x3) of Winograd's
minimal filtering; Lavin and Gray 2016, Section 4.1). With the size halved behind it or doubled before it 9 do instead
of the 16 of a 4x4 kernel (`down`, `up`). Each of these is a product of matrices over all pixels at once, for which no
overlapping windows are copied; the sums around it cost little where there are many channels.

Kernels are [3, 3, I, O]. Short types are computed in float32.
"""
import functools
import math

import jax.numpy as jnp
import numpy as np
from jax import lax

_LEAST_CHANNELS, _LEAST_PIXELS = 128, 256        # below, the sums of `convolve` cost more than they save
# The factors that three weights of an axis (a, b, c) become.
_WINOGRAD = np.array([[1, 0, 0], [.5, .5, .5], [.5, -.5, .5], [0, 0, 1]])
_ENDS_AND_SUM = np.array([[1, 0, 0], [1, 1, 1], [0, 0, 1]])


def saves_time(x, y):
    """Whether the forms that keep the size are faster than plain ones, for x [N, H, W, I] and y [N, H, W, O]."""
    batch, height, width, inputs = x.shape
    return (height % 2 == width % 2 == 0 and batch * height * width >= _LEAST_PIXELS
            and min(inputs, y.shape[-1]) >= _LEAST_CHANNELS)


def _in_float32(function):
    """Has a function of two arrays compute in float32 at least, with a result in the type of the first."""
    @functools.wraps(function)
    def wrapped(*arrays):
        wide = (array.astype(jnp.promote_types(array.dtype, jnp.float32)) for array in arrays)
        return function(*wide).astype(arrays[0].dtype)
    return wrapped


@_in_float32
def convolve(x, kernel):
    """Correlates x [N, H, W, I], zero-padded, H and W even -> [N, H, W, O]."""
    factors = _combine_taps(_WINOGRAD, kernel)
    return _interleave(_from_tile, [_multiply(part, factor) for part, factor in zip(_tiles(x), factors)])


@_in_float32
def transposed_convolve(y, kernel):
    """Adjoint of `convolve` in its images: [N, H, W, O] -> [N, H, W, I]."""
    factors = _combine_taps(_WINOGRAD[:, ::-1], kernel)
    return _interleave(_from_tile, [_multiply(part, factor.T) for part, factor in zip(_tiles(y), factors)])


@_in_float32
def filter_gradient(x, y):
    """Adjoint of `convolve` in its kernel: ([N, H, W, I], [N, H, W, O]) -> [3, 3, I, O]."""
    return _gather_taps(_WINOGRAD, jnp.stack([_correlate(*parts) for parts in zip(_tiles(x), _along_both(_to_tile, y))]))


@_in_float32
def down(x, kernel):
    """Correlates x [N, 2h, 2w, I], zero-padded, and adds up 2x2 pixels -> [N, h, w, O].

    On one axis (a x[-1] + b x[0] + c x[1]) + (a x[0] + b x[1] + c x[2])
    = a (x[-1] - x[1]) + (a + b + c) (x[0] + x[1]) + c (x[2] - x[0]).
    """
    return _multiply(_pairs(x), _combine_taps(_ENDS_AND_SUM, kernel).reshape(9 * x.shape[-1], -1))


@_in_float32
def up(y, kernel):
    """Adjoint of `down` in its images: [N, h, w, O] -> [N, 2h, 2w, I]."""
    factors = _combine_taps(_ENDS_AND_SUM, kernel)
    return _interleave(_from_pair, [_multiply(y, factor.T) for factor in factors])


@_in_float32
def down_filter_gradient(x, y):
    """Adjoint of `down` in its kernel: ([N, 2h, 2w, I], [N, h, w, O]) -> [3, 3, I, O]."""
    return _gather_taps(_ENDS_AND_SUM, _correlate(_pairs(x), y).reshape(9, x.shape[-1], -1))


def _multiply(x, matrix):
    """[N, H, W, I] by [I, O] -> [N, H, W, O]; flat, as XLA knows products of two matrices best."""
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:3], -1)


def _correlate(x, y):
    """Sum over images and pixels of [N, H, W, I] and [N, H, W, O] -> [I, O]."""
    return x.reshape(-1, x.shape[-1]).T @ y.reshape(-1, y.shape[-1])


def _combine_taps(matrix, kernel):
    """Applies a matrix [m, 3] to both axes of taps: [3, 3, I, O] -> [m * m, I, O]."""
    both = jnp.asarray(np.kron(matrix, matrix), kernel.dtype)
    return (both @ kernel.reshape(9, -1)).reshape(-1, *kernel.shape[2:])


def _gather_taps(matrix, factors):
    """Adjoint of `_combine_taps`: [m * m, I, O] -> [3, 3, I, O]."""
    both = jnp.asarray(np.kron(matrix, matrix).T, factors.dtype)
    return (both @ factors.reshape(len(factors), -1)).reshape(3, 3, *factors.shape[1:])


def _tiles(x):
    """The 16 sums of 4x4 pixels, every second pixel, that `convolve` multiplies: [N, H, W, C] -> [N, H/2, W/2, C] each."""
    def sums(x, axis):
        d0, d1, d2, d3 = _around_pairs(x, axis)
        return d0 - d2, d1 + d2, d2 - d1, d1 - d3
    return _along_both(sums, _pad(x))


def _pairs(x):
    """The 9 sums of pixels that `down` multiplies, one after another: [N, 2h, 2w, C] -> [N, h, w, 9 * C]."""
    def sums(x, axis):
        d0, d1, d2, d3 = _around_pairs(x, axis)
        return d0 - d2, d1 + d2, d3 - d1
    return jnp.concatenate(_along_both(sums, _pad(x)), axis=-1)


def _from_tile(products, axis):
    """Two outputs of an axis from four products."""
    m0, m1, m2, m3 = products
    return m0 + m1 + m2, m1 - m2 - m3


def _to_tile(y, axis):
    """Adjoint of `_from_tile`."""
    even, odd = (lax.slice_in_dim(y, start, None, 2, axis) for start in range(2))
    return even, even + odd, even - odd, -odd


def _from_pair(products, axis):
    """Two outputs of an axis from three products; adjoint of the sums in `_pairs`."""
    a, both, c = products
    return both + _shift(c, 1, axis) - c, both + _shift(a, -1, axis) - a


def _around_pairs(x, axis):
    """Of padded pixels the one before each pair, the pair, and the one after."""
    pairs = x.shape[axis] // 2 - 1
    return (lax.slice_in_dim(x, start, start + 2 * pairs - 1, 2, axis) for start in range(4))


def _pad(x):
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _shift(x, by, axis):
    """Moves pixels on by one (or back, -1) and fills in zeros."""
    edges = [(0, 0, 0)] * x.ndim
    edges[axis] = (by, -by, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), edges)


def _along_both(sums, x):
    """Applies `sums` (x, axis) -> arrays to the rows of images, then to the columns of each."""
    return [part for rows in sums(x, 1) for part in sums(rows, 2)]


def _interleave(outputs, parts):
    """Applies `outputs` (arrays, axis) -> (even, odd) to columns, then rows, and puts the pixels in their places."""
    side = math.isqrt(len(parts))
    columns = [outputs(parts[start:start + side], 2) for start in range(0, len(parts), side)]
    pixels = [outputs(rows, 1) for rows in zip(*columns)]            # [column][row]
    batch, height, width, channels = parts[0].shape
    rows = [jnp.stack(row, axis=3) for row in zip(*pixels)]
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, channels)
