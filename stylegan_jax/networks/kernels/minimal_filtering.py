"""Convolutions with fewer products, for CPUs: sums of pixels are multiplied with sums of weights.

A 3x3 convolution takes 9 products an output. For 2x2 outputs together 16 do instead of 36 (F(2x2, 3x3) of Winograd's
minimal filtering; Lavin and Gray 2016, Section 4.1). With the size halved behind it or doubled before it 9 do instead
of the 16 of a 4x4 kernel (`down`, `up`). Each of these is a product of matrices over all pixels at once. The sums that
it multiplies take up to four times the memory of the images, and cost little time where there are many channels.

Kernels are [3, 3, I, O]. Short types are computed in float32.
"""

import functools
import math

import jax.numpy as jnp
from jax import lax

from stylegan_jax.networks.ops import widen

_LEAST_CHANNELS, _LEAST_PIXELS = 128, 256  # below, sums of `convolve` cost what they save


def saves_time(shape, channels):
    """Whether the forms that keep the size are faster than plain ones, from [N, H, W, C] to `channels` or back."""
    batch, height, width, others = shape
    return (
        height % 2 == width % 2 == 0
        and batch * height * width >= _LEAST_PIXELS
        and min(channels, others) >= _LEAST_CHANNELS
    )


def _widened(function):
    """Has a function of two arrays compute in float32 at least."""

    @functools.wraps(function)
    def wrapped(*arrays):
        return function(*map(widen, arrays))

    return wrapped


def _in_float32(function):
    """Has a function of images and a kernel compute in float32 at least, and return the type of the images."""

    @functools.wraps(function)
    def wrapped(images, kernel):
        return _widened(function)(images, kernel).astype(images.dtype)

    return wrapped


@_in_float32
def convolve(x, kernel):
    """Correlates x [N, H, W, I], zero-padded, H and W even -> [N, H, W, O]."""
    factors = _on_kernel(_four_of_taps, kernel)
    return _interleave(_two_of_four, [_multiply(part, factor) for part, factor in zip(_tiles(x), factors)])


@_in_float32
def transposed_convolve(y, kernel):
    """Adjoint of `convolve` in its images: [N, H, W, O] -> [N, H, W, I]."""
    factors = _on_kernel(_four_of_taps, kernel[::-1, ::-1])
    return _interleave(_two_of_four, [_multiply(part, factor.T) for part, factor in zip(_tiles(y), factors)])


@_widened
def filter_gradient(x, y):
    """Adjoint of `convolve` in its kernel: ([N, H, W, I], [N, H, W, O]) -> [3, 3, I, O], wide."""
    parts = zip(_tiles(x), _on_pixels(_four_of_two, y))
    return _to_kernel(_taps_of_four, [_sum_of_products(*pair) for pair in parts])


@_in_float32
def down(x, kernel):
    """Correlates x [N, 2h, 2w, I], zero-padded, and adds up 2x2 pixels -> [N, h, w, O].

    On one axis (a x[-1] + b x[0] + c x[1]) + (a x[0] + b x[1] + c x[2])
    = a (x[-1] - x[1]) + (a + b + c) (x[0] + x[1]) + c (x[2] - x[0]).
    """
    return _multiply(_pairs(x), jnp.concatenate(_on_kernel(_three_of_taps, kernel)))


@_in_float32
def up(y, kernel):
    """Adjoint of `down` in its images: [N, h, w, O] -> [N, 2h, 2w, I]."""
    products = _multiply(y, jnp.concatenate(_on_kernel(_three_of_taps, kernel)).T)
    return _interleave(_two_of_three, jnp.split(products, 9, axis=-1))


@_widened
def down_filter_gradient(x, y):
    """Adjoint of `down` in its kernel: ([N, 2h, 2w, I], [N, h, w, O]) -> [3, 3, I, O], wide."""
    return _to_kernel(_taps_of_three, jnp.split(_sum_of_products(_pairs(x), y), 9))


def _multiply(x, matrix):
    """[N, H, W, I] by [I, O] -> [N, H, W, O]; flat, as XLA knows products of two matrices best."""
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:3], -1)


def _sum_of_products(x, y):
    """Sum over images and pixels of [N, H, W, I] and [N, H, W, O] -> [I, O]."""
    return x.reshape(-1, x.shape[-1]).T @ y.reshape(-1, y.shape[-1])


# --- of weights


def _four_of_taps(a, b, c):
    """What three weights of an axis become for `_tiles`."""
    return a, (a + b + c) / 2, (a - b + c) / 2, c


def _taps_of_four(m0, m1, m2, m3):
    """Adjoint of `_four_of_taps`."""
    return m0 + (m1 + m2) / 2, (m1 - m2) / 2, (m1 + m2) / 2 + m3


def _three_of_taps(a, b, c):
    """What three weights of an axis become for `_pairs`."""
    return a, a + b + c, c


def _taps_of_three(m0, m1, m2):
    """Adjoint of `_three_of_taps`."""
    return m0 + m1, m1, m1 + m2


def _on_kernel(sums, kernel):
    """Applies `sums` of taps to both axes: [3, 3, I, O] -> arrays [I, O].

    Each is an array of its own: XLA copies a slice of one before it multiplies with it.
    """
    return [factor for row in sums(*kernel) for factor in sums(*row)]


def _to_kernel(sums, factors):
    """Applies `sums` to taps of both axes, arrays [I, O] -> [3, 3, I, O]."""
    side = math.isqrt(len(factors))
    rows = [sums(*factors[start : start + side]) for start in range(0, len(factors), side)]
    return jnp.stack([jnp.stack(row) for row in zip(*(sums(*taps) for taps in zip(*rows)))])


# --- of pixels


def _tiles(x):
    """The 16 sums of each 4x4 window, in steps of two, for `convolve`: [N, H, W, C] -> [N, H/2, W/2, C] each."""

    def sums(x, axis):
        d0, d1, d2, d3 = _around_pairs(x, axis)
        return d0 - d2, d1 + d2, d2 - d1, d1 - d3

    return _on_pixels(sums, _pad(x))


def _pairs(x):
    """The 9 sums of each 4x4 window, in steps of two, for `down`: [N, 2h, 2w, C] -> [N, h, w, 9 * C]."""

    def sums(x, axis):
        d0, d1, d2, d3 = _around_pairs(x, axis)
        return d0 - d2, d1 + d2, d3 - d1

    return jnp.concatenate(_on_pixels(sums, _pad(x)), axis=-1)


def _two_of_four(products, axis):
    """Two outputs of an axis from four products."""
    m0, m1, m2, m3 = products
    return m0 + m1 + m2, m1 - m2 - m3


def _four_of_two(y, axis):
    """Adjoint of `_two_of_four`."""
    even, odd = (lax.slice_in_dim(y, start, None, 2, axis) for start in range(2))
    return even, even + odd, even - odd, -odd


def _two_of_three(products, axis):
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


def _on_pixels(sums, x):
    """Applies `sums` (x, axis) -> arrays to the rows of images, then to the columns of each."""
    return [part for rows in sums(x, 1) for part in sums(rows, 2)]


def _interleave(outputs, parts):
    """Applies `outputs` (arrays, axis) -> (even, odd) to columns, then rows, and puts the pixels in their places."""
    side = math.isqrt(len(parts))
    columns = [outputs(parts[start : start + side], 2) for start in range(0, len(parts), side)]
    pixels = [outputs(rows, 1) for rows in zip(*columns)]  # [column][row]
    batch, height, width, channels = parts[0].shape
    rows = [jnp.stack(row, axis=3) for row in zip(*pixels)]
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, channels)
