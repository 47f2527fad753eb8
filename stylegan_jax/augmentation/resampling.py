"""Moves the pixels of images along matrices of plane coordinates, with little aliasing.

An image goes on without end by reflection. It is upsampled by 2, looked up bilinearly at twice the resolution, and
downsampled by 2; both filters are the low-pass filter of the wavelet sym6. All of it is linear in the pixels, and
written as matrix products and as gathers with constant weights: derivatives of any order are such products and their
transposes, as R1 needs them.

Reference:
  Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", Appendix B, Figure 10, "Pad image
  and adjust origin" and "Execute geometric transformations".
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

# The orthogonal low-pass filter of the least asymmetric wavelet with six vanishing moments (Daubechies 1992, Table
# 6.3). Its squares sum to 1, and it sums to the root of 2.
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
_BEFORE = len(SYM6) // 2 - 1  # places of the filter before its centre, which is between two places


def transform(images: jax.Array, matrices: jax.Array) -> jax.Array:
    """Moves pixels.

    Args:
      images: [N, H, W, C], float32 or float64.
      matrices: G of each image [N, 3, 3], from places of the image to places of the result, in pixels from the centre;
        they have no derivative.

    Returns:
      [N, H, W, C].
    """
    height, width = images.shape[1:3]
    matrices = jax.lax.stop_gradient(matrices).astype(images.dtype)
    x = _along_both(images, _upsampling(height), _upsampling(width))
    x = jax.vmap(functools.partial(_look_up, height=height, width=width))(x, matrices)
    return _along_both(x, _downsampling(height), _downsampling(width))


def _look_up(x, matrix, *, height, width):
    """Looks up the places that downsampling reads.

    Args:
      x: one period of the upsampled image without end [4H - 3, 4W - 3, C].
      matrix: [3, 3].
      height, width: H and W.

    Returns:
      [2H + 10, 2W + 10, C].
    """
    # Places of the result at twice the resolution, from its centre; T and S of Figure 10 are these two lines.
    ys, xs = (jnp.arange(-_BEFORE, 2 * side + _BEFORE, dtype=x.dtype) - (side - 0.5) for side in (height, width))
    ys, xs = ys[:, None], xs[None, :]
    # G^-1. Its last row is (0, 0, 1), so the inverse of four numbers is all of the work.
    (a, b, shift_x), (c, d, shift_y) = matrix[0], matrix[1]
    determinant = a * d - b * c
    xs, ys = xs - 2 * shift_x, ys - 2 * shift_y
    xs, ys = (d * xs - b * ys) / determinant, (a * ys - c * xs) / determinant
    rows, below = _place(ys + (height - 0.5), x.shape[0] - 1)
    columns, right = _place(xs + (width - 0.5), x.shape[1] - 1)
    weights = jnp.stack([(1 - below) * (1 - right), (1 - below) * right, below * (1 - right), below * right], -1)
    return _bilinear(x, rows, columns, weights, x.shape[:2])


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _bilinear(x, rows, columns, weights, shape):
    """Returns sums over boxes of 2x2 pixels, which begin at the given places.

    It and `_bilinear_transposed` are each other's derivative with respect to the pixels, which are all that is
    differentiated. Gathers of single pixels are the fastest form of the one, and a scatter of boxes that of the other:
    0.09 and 0.45 ms for 64x64 pixels on a core of a CPU, where the transpose of the gathers takes 1.2 ms.

    Args:
      x: [H, W, C].
      rows, columns: of the boxes' first pixels, int32 [h, w].
      weights: of a box's pixels, row after row [h, w, 4].
      shape: (H, W).

    Returns:
      [h, w, C].
    """
    pixels, first = x.reshape(-1, x.shape[2]), rows * shape[1] + columns
    offsets = 0, 1, shape[1], shape[1] + 1
    return sum(
        pixels.at[first + offset].get(mode='promise_in_bounds') * weights[..., number, None]
        for number, offset in enumerate(offsets)
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _bilinear_transposed(y, rows, columns, weights, shape):
    """Returns a derivative with respect to the pixels [H, W, C], from one with respect to the result of `_bilinear`."""
    boxes = y[..., None, None, :] * weights.reshape(*weights.shape[:-1], 2, 2)[..., None]
    places = jax.lax.ScatterDimensionNumbers(
        update_window_dims=(2, 3, 4), inserted_window_dims=(), scatter_dims_to_operand_dims=(0, 1)
    )
    zeros = jnp.zeros((*shape, y.shape[-1]), y.dtype)
    indices = jnp.stack([rows, columns], -1)
    return jax.lax.scatter_add(zeros, indices, boxes, places, mode='promise_in_bounds')


_bilinear.defvjp(
    lambda x, *places_and_shape: (_bilinear(x, *places_and_shape), places_and_shape[:3]),
    lambda shape, places, y: (_bilinear_transposed(y, *places, shape), None, None, None),
)
_bilinear_transposed.defvjp(
    lambda y, *places_and_shape: (_bilinear_transposed(y, *places_and_shape), places_and_shape[:3]),
    lambda shape, places, x: (_bilinear(x, *places, shape), None, None, None),
)


def _place(position, period):
    """Returns (the last whole place before a position, in the first period; the fraction behind it)."""
    position = position - period * jnp.floor(position / period)
    # Rounding may lead to the period itself; a matrix that is not finite leads anywhere.
    whole = jnp.clip(jnp.floor(position), 0, period - 1)
    return whole.astype(jnp.int32), position - whole


def _along_both(x, rows, columns):
    """Applies a matrix [h, H] along the rows' axis of images [N, H, W, C], and one [w, W] along that of columns."""
    x = jnp.einsum('hH,nHWc->nhWc', rows.astype(x.dtype), x, precision='highest')
    return jnp.einsum('wW,nhWc->nhwc', columns.astype(x.dtype), x, precision='highest')


@functools.cache
def _upsampling(side):
    """Returns UPSAMPLE2X2 of one axis, after PAD by reflection, as a matrix [4 side - 3, side].

    Reflection about the first and the last pixel has a period of 2 side - 2 pixels, which are 4 side - 4 places. One
    place more lets the lookup read the place behind each of them.
    """
    period = max(2 * side - 2, 1)  # a single pixel is all of the image without end
    matrix = np.zeros((2 * period + 1, side))
    for place in range(len(matrix)):
        for number in range(math.ceil((place - _BEFORE - 1) / 2), (place + _BEFORE) // 2 + 1):
            pixel = min(number % period, period - number % period) if side > 1 else 0
            # The factor makes up for the zeros between pixels; SYM6 over the root of 2 sums to 1.
            matrix[place, pixel] += 2 * SYM6[place - 2 * number + _BEFORE] / math.sqrt(2)
    return matrix


@functools.cache
def _downsampling(side):
    """Returns DOWNSAMPLE2X2 of one axis as a matrix [side, 2 side + 10], whose result is cropped to the image."""
    matrix = np.zeros((side, 2 * side + 2 * _BEFORE))
    for pixel in range(side):
        matrix[pixel, 2 * pixel : 2 * pixel + len(SYM6)] = np.array(SYM6) / math.sqrt(2)
    return matrix
