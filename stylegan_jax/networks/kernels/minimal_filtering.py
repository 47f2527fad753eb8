"""Convolutions with fewer multiplications, for CPUs: sums of pixels are multiplied with sums of weights.

Two algorithms, both on tiles of 2x2 pixels and the 4x4 pixels around them:

- **Winograd's F(2x2, 3x3)** (Lavin and Gray 2016, arXiv:1509.09308, Section 4.1), for convolutions that keep the size.
  Four outputs of a 3x3 kernel g need the 4x4 window d of pixels. Computed one by one they take 36 multiplications,
  computed together 16:

      Y = A^T [(G g G^T) * (B^T d B)] A        (* is elementwise)

  The functions below are called by these matrices: `_winograd_kernel` is G, `_winograd_inputs` is B^T and
  `_winograd_outputs` is A^T, each applied to the rows and then to the columns.

- **Nine products**, where the size is halved behind the convolution or doubled before it. The sum of two neighbouring
  outputs of a row of three weights (a, b, c) is a sum of three products, where a kernel of four weights takes four:

      (a x[-1] + b x[0] + c x[1]) + (a x[0] + b x[1] + c x[2])
          = a (x[-1] - x[1]) + (a + b + c) (x[0] + x[1]) + c (x[2] - x[0])

  In two dimensions these are 9 instead of 16. The functions of this form are called `_pooled_...`, because the
  convolution is followed by the sum over 2x2 pixels (sum pooling).

With channels, each multiplication is a product of two matrices: pixels of all tiles [N * H/2 * W/2, I] by a factor of
the kernel [I, O]. The sums of pixels take 4 (Winograd) and 9/4 times the memory of the images, and little time where
there are many channels.

All maps are linear, so that the adjoints (input gradient, filter gradient) are the transposed maps in reversed order.
Kernels are [3, 3, I, O]. bfloat16 and float16 are computed in float32.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from stylegan_jax.networks.ops import at_least_float32

_LEAST_CHANNELS, _LEAST_PIXELS = 128, 256  # with fewer, Winograd's sums cost as much time as they save


def saves_time(shape: tuple[int, int, int, int], channels: int) -> bool:
    """Returns whether Winograd's form is faster than a plain convolution from [N, H, W, C] to `channels`, or back."""
    batch, height, width, others = shape
    if not isinstance(batch, int):
        batch = 1  # it is a symbol of `jax.export`: the program is for batches of any size
    return (
        height % 2 == width % 2 == 0
        and batch * height * width >= _LEAST_PIXELS
        and min(channels, others) >= _LEAST_CHANNELS
    )


def _in_float32(function: Callable) -> Callable:
    """Has a function of two arrays compute in float32 or float64."""

    @functools.wraps(function)
    def wrapped(*arrays):
        return function(*map(at_least_float32, arrays))

    return wrapped


def _in_float32_and_back(function: Callable) -> Callable:
    """Has a function of images and a kernel compute in float32 or float64, and return the type of the images."""

    @functools.wraps(function)
    def wrapped(images, kernel):
        return _in_float32(function)(images, kernel).astype(images.dtype)

    return wrapped


@_in_float32_and_back
def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Correlates x [N, H, W, I], zero-padded, H and W even -> [N, H, W, O]."""
    factors = _to_factors(_winograd_kernel, kernel)  # G g G^T
    products = [_multiply(tile, factor) for tile, factor in zip(_winograd_inputs(x), factors)]
    return _from_tiles(_winograd_outputs, products)


@_in_float32_and_back
def transposed_convolve(y: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes the adjoint of `convolve` in its images: [N, H, W, O] -> [N, H, W, I].

    With stride 1 it is a convolution again: with the kernel reversed, and inputs and outputs exchanged.
    """
    factors = _to_factors(_winograd_kernel, kernel[::-1, ::-1])
    products = [_multiply(tile, factor.T) for tile, factor in zip(_winograd_inputs(y), factors)]
    return _from_tiles(_winograd_outputs, products)


@_in_float32
def filter_gradient(x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the adjoint of `convolve` in its kernel: ([N, H, W, I], [N, H, W, O]) -> [3, 3, I, O], not rounded.

    The transposed algorithm: G^T [(B^T d B) * (A y A^T)] G, summed over tiles.
    """
    pairs = zip(_winograd_inputs(x), _on_pixels(_winograd_outputs_adjoint, y))
    return _from_factors(_winograd_kernel_adjoint, [_sum_of_products(*pair) for pair in pairs])


@_in_float32_and_back
def down(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Correlates x [N, 2h, 2w, I], zero-padded, and sums over 2x2 pixels -> [N, h, w, O]."""
    # An output is the sum of all nine products, so they are one product over 9 * I features.
    return _multiply(_pooled_inputs(x), jnp.concatenate(_to_factors(_pooled_kernel, kernel)))


@_in_float32_and_back
def up(y: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes the adjoint of `down` in its images: [N, h, w, O] -> [N, 2h, 2w, I]."""
    products = _multiply(y, jnp.concatenate(_to_factors(_pooled_kernel, kernel)).T)
    return _from_tiles(_pooled_inputs_adjoint, jnp.split(products, 9, axis=-1))


@_in_float32
def down_filter_gradient(x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the adjoint of `down` in its kernel: ([N, 2h, 2w, I], [N, h, w, O]) -> [3, 3, I, O], not rounded."""
    return _from_factors(_pooled_kernel_adjoint, jnp.split(_sum_of_products(_pooled_inputs(x), y), 9))


def _multiply(x, matrix):
    """[N, H, W, I] by [I, O] -> [N, H, W, O]. Flattened, because XLA is fastest at products of two matrices."""
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:3], -1)


def _sum_of_products(x, y):
    """Sum over images and pixels of [N, H, W, I] and [N, H, W, O] -> [I, O]."""
    return x.reshape(-1, x.shape[-1]).T @ y.reshape(-1, y.shape[-1])


# --- Weights. The functions of one axis take and return one array per weight or factor.


def _winograd_kernel(a, b, c):
    """G g: the factors of three weights of an axis."""
    return a, (a + b + c) / 2, (a - b + c) / 2, c


def _winograd_kernel_adjoint(m0, m1, m2, m3):
    """G^T m: adjoint of `_winograd_kernel`."""
    return m0 + (m1 + m2) / 2, (m1 - m2) / 2, (m1 + m2) / 2 + m3


def _pooled_kernel(a, b, c):
    """The factors of three weights of an axis in the form with nine products."""
    return a, a + b + c, c


def _pooled_kernel_adjoint(m0, m1, m2):
    """Adjoint of `_pooled_kernel`."""
    return m0 + m1, m1, m1 + m2


def _to_factors(transform, kernel):
    """Applies a transform of an axis to the rows and the columns of a kernel: [3, 3, I, O] -> 16 or 9 arrays [I, O].

    Each factor is an array of its own, because XLA copies a slice of an array before it multiplies with it.
    """
    return [factor for row in transform(*kernel) for factor in transform(*row)]


def _from_factors(transform, factors):
    """Applies a transform of an axis to the columns and the rows of factors, arrays [I, O] -> [3, 3, I, O]."""
    side = math.isqrt(len(factors))
    rows = [transform(*factors[start : start + side]) for start in range(0, len(factors), side)]
    return jnp.stack([jnp.stack(row) for row in zip(*(transform(*column) for column in zip(*rows)))])


# --- Pixels. The functions of one axis take an array or arrays and the number of the axis.


def _winograd_inputs(x):
    """B^T d B: 16 sums of each 4x4 window, in steps of two pixels: [N, H, W, C] -> 16 arrays [N, H/2, W/2, C]."""

    def transform(x, axis):
        d0, d1, d2, d3 = _windows(x, axis)
        return d0 - d2, d1 + d2, d2 - d1, d1 - d3

    return _on_pixels(transform, _pad(x))


def _winograd_outputs(products, axis):
    """A^T m: two outputs of an axis, (even, odd), from four products."""
    m0, m1, m2, m3 = products
    return m0 + m1 + m2, m1 - m2 - m3


def _winograd_outputs_adjoint(y, axis):
    """A y: adjoint of `_winograd_outputs`."""
    even, odd = (lax.slice_in_dim(y, start, None, 2, axis) for start in range(2))
    return even, even + odd, even - odd, -odd


def _pooled_inputs(x):
    """Nine sums of each 4x4 window, in steps of two pixels: [N, 2h, 2w, C] -> [N, h, w, 9 * C]."""

    def transform(x, axis):
        d0, d1, d2, d3 = _windows(x, axis)  # x[-1], x[0], x[1] and x[2] of the equation above
        return d0 - d2, d1 + d2, d3 - d1

    return jnp.concatenate(_on_pixels(transform, _pad(x)), axis=-1)


def _pooled_inputs_adjoint(products, axis):
    """Adjoint of the sums of one axis in `_pooled_inputs`: three products -> two pixels, (even, odd).

    An even pixel is x[0] of its own tile and x[2] of the tile before; an odd one is x[1] of its own tile and x[-1] of
    the tile after.
    """
    a, both, c = products
    return both + _shift(c, 1, axis) - c, both + _shift(a, -1, axis) - a


def _windows(x, axis):
    """Of padded pixels along an axis: those before each pair, the first and second of each pair, those after."""
    pairs = x.shape[axis] // 2 - 1
    return (lax.slice_in_dim(x, start, start + 2 * pairs - 1, 2, axis) for start in range(4))


def _pad(x):
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _shift(x, by, axis):
    """Moves pixels along an axis by one place forward (1) or back (-1), and fills in zeros."""
    edges = [(0, 0, 0)] * x.ndim
    edges[axis] = (by, -by, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), edges)


def _on_pixels(transform, x):
    """Applies a transform (x, axis) -> arrays to the rows of images, and then to the columns of each result."""
    return [part for rows in transform(x, 1) for part in transform(rows, 2)]


def _from_tiles(transform, parts):
    """Applies a transform (arrays, axis) -> (even, odd) to columns and rows, and interleaves the pixels.

    Args:
      transform: `_winograd_outputs` or `_pooled_inputs_adjoint`.
      parts: 16 or 9 arrays [N, h, w, C], row by row.

    Returns:
      [N, 2 * h, 2 * w, C].
    """
    side = math.isqrt(len(parts))
    columns = [transform(parts[start : start + side], 2) for start in range(0, len(parts), side)]
    pixels = [transform(rows, 1) for rows in zip(*columns)]  # [parity of the column][parity of the row]
    batch, height, width, channels = parts[0].shape
    rows = [jnp.stack(row, axis=3) for row in zip(*pixels)]  # each [N, h, w, 2, C]
    # [N, h, 2, w, 2, C] is row-major [N, 2h, 2w, C]: the reshape moves nothing.
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, channels)
