"""Resizing images to the input size of a feature network, in the ways that published numbers were computed with.

FID changes visibly with the way of resizing, so each way reproduces one implementation. The pictures of data sets are
resized in `data`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError

WAYS = 'legacy', 'clean', 'half_pixel'
_LARGEST = float(np.finfo(np.float32).max)


@functools.partial(jax.jit, static_argnames=('size', 'way'))
def resize(images: ArrayLike, size: int, way: str) -> jax.Array:
    """Resizes images to a square.

    Args:
      images: [N, H, W, C], uint8 or floats in 0..255.
      size: side of the result.
      way: 'legacy', as TensorFlow 1's ResizeBilinear (the official StyleGAN metrics; corners not aligned, pixels
        without half-pixel centres, no filter against aliasing), bit for bit; 'clean', as Pillow's bicubic filter
        on floats (clean-fid), clipped to 0..255 and not rounded; 'half_pixel', as PyTorch's bilinear interpolation
        without aligned corners or filter (pytorch-fid).

    Returns:
      float32 [N, size, size, C] in 0..255.

    Raises:
      UserError: there is no such way.
    """
    if way not in WAYS:
        raise UserError('choose ' + ', '.join(map(repr, WAYS)), field='way', value=repr(way))
    images = images.astype(jnp.float32)
    _, height, width, _ = images.shape
    for axis, length in (
        (2, width),
        (1, height),
    ):  # columns first: the result is rounded in between, as in all three originals
        if way == 'clean':
            images = _apply(_bicubic_matrix(length, size), images, axis)
        else:
            places = _legacy_places if way == 'legacy' else _half_pixel_places
            images = _between(images, *places(length, size), axis=axis)
    return jnp.clip(images, 0, 255) if way == 'clean' else images


def _legacy_places(length, size):
    """Returns (old pixel before, old pixel after, weight of the latter) for each new pixel, as in TensorFlow 1."""
    scale = np.float32(length) / np.float32(size)
    return _split(np.arange(size, dtype=np.float32) * scale, length)


def _half_pixel_places(length, size):
    """Returns the same as PyTorch computes it, in float32 as well: at 512 pixels the difference can be seen."""
    scale = np.float32(length) / np.float32(size)
    centres = scale * (np.arange(size, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    return _split(np.maximum(centres, np.float32(0)), length)


def _split(places, length):
    before = places.astype(np.int32)
    return before, np.minimum(before + 1, length - 1), places - before.astype(np.float32)


def _between(images, before, after, weight, *, axis):
    """Interpolates linearly along an axis."""
    first, second = jnp.take(images, before, axis), jnp.take(images, after, axis)
    product = (second - first) * jnp.asarray(np.expand_dims(weight, tuple(i for i in range(4) if i != axis)))
    # Clipping changes no value, but keeps compilers from fusing product and sum into one FMA, which rounds only once.
    return first + jnp.clip(product, -_LARGEST, _LARGEST)


def _apply(matrix, images, axis):
    """Multiplies an axis of the images with a matrix [new, old]."""
    product = jnp.tensordot(images, matrix, ((axis,), (1,)), precision=jax.lax.Precision.HIGHEST)
    return jnp.moveaxis(product, -1, axis)


@functools.cache
def _bicubic_matrix(length, size):
    """Weights [size, length] of Pillow's bicubic filter, which is widened where the image shrinks."""
    scale = length / size
    widening = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    support = 2.0 * widening
    # Pillow rounds the ends of the filter to whole pixels, and cuts it off there.
    first = np.maximum((centres - support + 0.5).astype(int), 0)
    last = np.minimum((centres + support + 0.5).astype(int), length)
    pixels = np.arange(length)
    weights = _bicubic((pixels + 0.5 - centres[:, None]) / widening)
    weights *= (pixels >= first[:, None]) & (pixels < last[:, None])
    return np.float32(weights / weights.sum(axis=1, keepdims=True))


def _bicubic(x):
    """Keys' cubic convolution kernel with a = -1/2."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


def to_colour(images: jax.Array) -> jax.Array:
    """Repeats the channel of grey images: [N, H, W, 1 or 3] -> [N, H, W, 3]."""
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise UserError(f'images have shape {images.shape}', remedy='give [N, H, W, 1 or 3]')
    return jnp.broadcast_to(images, (*images.shape[:3], 3))
