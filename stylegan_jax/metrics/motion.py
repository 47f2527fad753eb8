"""Motion between two pictures: dense, to fractions of a pixel, from coarse to fine. It can be compiled."""

import jax
import jax.numpy as jnp

_WINDOW = 3.0  # standard deviation of the window [pixels of a level], in which all pixels are taken to move alike
_STEPS = 4  # at each level of the pyramid
_COARSEST = 12  # the shorter side of the coarsest level is at least this [pixels]
_FLOOR = (2 / 255) ** 2  # mean square of a gradient that is too small to show a motion; a grey level a pixel


def blur(images: jax.Array, sigma: float, *, stride: int = 1) -> jax.Array:
    """Averages [N, H, W, C] with a Gaussian of standard deviation `sigma` [pixels], which ends at the border.

    A matrix product for each axis: on accelerators that is as fast as anything, and it compiles at once.
    """
    for axis in (1, 2):
        matrix = _gaussian(images.shape[axis], sigma, images.dtype)[::stride]
        images = jnp.moveaxis(jnp.tensordot(matrix, images, (1, axis)), 0, axis)
    return images


def _gaussian(size, sigma, dtype):
    """Returns the matrix of a blur, [size, size], whose rows have the sum 1."""
    places = jnp.arange(size, dtype=dtype)
    matrix = jnp.exp(-0.5 * jnp.square((places[:, None] - places) / sigma))
    return matrix / jnp.sum(matrix, axis=1, keepdims=True)


def moved(images: jax.Array, motion: jax.Array) -> jax.Array:
    """Moves the content of pictures along a motion, with cubic interpolation (Keys 1981, a = -1/2).

    Args:
      images: [N, H, W, C].
      motion: [N, H, W, 2], rows and columns: the pixel at p gets what was at p - motion(p) [pixels]. Beyond the border
        are copies of it.

    Returns:
      [N, H, W, C].
    """
    height, width = images.shape[1:3]
    rows = jnp.arange(height, dtype=motion.dtype)[:, None] - motion[..., 0]
    columns = jnp.arange(width, dtype=motion.dtype) - motion[..., 1]
    top, left = jnp.floor(rows), jnp.floor(columns)
    row_weights, column_weights = _keys(rows - top), jnp.stack(_keys(columns - left), axis=-1)
    neighbours = jnp.clip(left.astype(jnp.int32)[..., None] + jnp.arange(-1, 3), 0, width - 1)  # [N, H, W, 4]
    number = jnp.arange(len(images))[:, None, None, None]
    result = 0
    for i, row_weight in enumerate(row_weights, -1):
        row = jnp.clip(top.astype(jnp.int32) + i, 0, height - 1)[..., None]
        along_row = jnp.einsum('nhwkc,nhwk->nhwc', images[number, row, neighbours], column_weights)
        result += row_weight[..., None] * along_row
    return result


def _keys(t):
    """Returns the weights of four neighbours, those at -1, 0, 1 and 2, for a place at t in [0, 1)."""
    return (
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


def estimated(before: jax.Array, after: jax.Array) -> jax.Array:
    """Estimates the motion that made one picture of another one.

    Args:
      before: [N, H, W, C] in -1..1, without the detail that may move otherwise.
      after: the same, a moment later.

    Returns:
      [N, H, W, 2], rows and columns [pixels]: `moved(before, motion)` is close to `after`. Where a picture is flat, the
      motion is that of the surroundings, as coarser levels see them.

    Reference: Lucas and Kanade 1981; Bouguet 2001 for the pyramid.
    """
    levels = [(before, after)]
    while min(levels[-1][0].shape[1:3]) >= 2 * _COARSEST:
        levels.append(tuple(_halved(image) for image in levels[-1]))
    motion = jnp.zeros((*levels[-1][0].shape[:3], 2), before.dtype)
    for one, other in reversed(levels):
        if motion.shape[1:3] != one.shape[1:3]:
            shape = (*one.shape[:3], 2)
            motion = 2 * jax.image.resize(motion, shape, 'linear')
        motion = jax.lax.fori_loop(0, _STEPS, lambda _, m, one=one, other=other: m + _step(one, other, m), motion)
    return motion


def _halved(images):
    return blur(images, 1.0, stride=2)


def _step(before, after, motion):
    """Returns what a motion has to change by, [N, H, W, 2]: Gauss-Newton's step of least squares in each window."""
    before = moved(before, motion)
    down, across = (_slope(before, axis) for axis in (1, 2))
    # after(p) = before(p - step), so that the difference is minus the slope times the step.
    difference = before - after
    products = [jnp.sum(some, axis=-1) for some in (down * down, across * across, down * across, down * difference)]
    products = jnp.stack([*products, jnp.sum(across * difference, axis=-1)], axis=-1)
    yy, xx, yx, yd, xd = jnp.moveaxis(blur(products, _WINDOW), -1, 0)
    yy, xx = yy + _FLOOR, xx + _FLOOR
    determinant = yy * xx - yx * yx
    step = jnp.stack([xx * yd - yx * xd, yy * xd - yx * yd], axis=-1) / determinant[..., None]
    return jnp.clip(step, -1, 1)


def _slope(images, axis):
    """Returns central differences along an axis; borders are repeated."""
    pads = [(0, 0)] * images.ndim
    pads[axis] = 1, 1
    padded, size = jnp.pad(images, pads, mode='edge'), images.shape[axis]
    ahead = jax.lax.slice_in_dim(padded, 2, size + 2, axis=axis)
    return (ahead - jax.lax.slice_in_dim(padded, 0, size, axis=axis)) / 2
