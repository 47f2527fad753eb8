"""Arithmetic of pixels that all kinds of data set share: cropping, reducing, rounding.

Reductions by boxes are means of unrounded values, rounded once at the end; rounding at every level of the
pyramid would change one pixel in nine.

A large photo is reduced in strips of rows, so that of its unrounded values only those of one strip are in memory. The
result is the same to the bit as that of all rows at once.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

FOURTH_CHANNELS = ('alpha', 'data')  # opacity, by which colours are weighted; or anything else
_STRIP_VALUES = 1 << 20  # pixels times channels that are worked on at once


class Rows(typing.NamedTuple):
    """An image that is read a few rows at a time.

    Attributes:
      shape: (H, W, C).
      read: from (first, last) to the rows from `first` up to but not including `last`, [last - first, W, C].
    """

    shape: tuple[int, int, int]
    read: Callable[[int, int], np.ndarray]

    @classmethod
    def of(cls, pixels: np.ndarray | Rows) -> Rows:
        """Returns the Rows of pixels [H, W, C]; Rows as they are."""
        return pixels if isinstance(pixels, Rows) else cls(pixels.shape, lambda first, last: pixels[first:last])

    def strips(self, multiple: int = 1) -> Iterator[tuple[int, int]]:
        """Yields (first, last) of strips that cover all rows; each but the last has a multiple of so many rows."""
        height, width, channels = self.shape
        step = max(1, _STRIP_VALUES // (width * channels * multiple)) * multiple
        for first in range(0, height, step):
            yield first, min(first + step, height)

    def whole(self) -> np.ndarray:
        """Returns all rows, [H, W, C]."""
        return _joined((self.read(*strip) for strip in self.strips()), self.shape[0])


def central_crop(height: int, width: int, aspect: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns the largest central box with the aspect ratio of `aspect`, a (H, W).

    Args:
      height, width: of the picture [pixels].
      aspect: any (H, W) of the aspect ratio.

    Returns:
      (left, top, right, bottom), whole pixels, as Pillow takes it.
    """
    crop_height = min(height, width * aspect[0] // aspect[1])
    crop_width = min(width, height * aspect[1] // aspect[0])
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return left, top, left + crop_width, top + crop_height


def box_reduce(pixels: np.ndarray | Rows, height: int, width: int, *, fourth_channel: str = 'data') -> np.ndarray:
    """Reduces an image by the box filter, without rounding.

    Args:
      pixels: [H, W, C], integers or floats, not smaller than the result.
      height, width: of the result. Where one whole factor leads there, the result is the exact mean over
        its boxes; otherwise Pillow's box filter decides.
      fourth_channel: 'alpha' where the last of four channels is opacity [0, 255], by which colours are weighted;
        'data' where every channel is reduced alone.

    Returns:
      [height, width, C]; floats, unless nothing was to be done.
    """
    rows = Rows.of(pixels)
    if rows.shape[:2] == (height, width):
        return rows.whole() if isinstance(pixels, Rows) else pixels
    if _has_opacity(rows, fourth_channel):
        return _weighted(_box_means, rows, height, width)
    return _box_means(rows, height, width)


def lanczos_reduce(pixels: np.ndarray | Rows, height: int, width: int, *, fourth_channel: str = 'data') -> np.ndarray:
    """Reduces an image by Pillow's Lanczos filter, on and to uint8 as the official tool for LSUN does.

    Args:
      pixels: [H, W, C], not smaller than the result; floats are rounded first.
      height, width: of the result.
      fourth_channel: see `box_reduce`. Colours weighted by opacity are not rounded before the reduction.

    Returns:
      uint8 [height, width, C].
    """
    rows = Rows.of(pixels)
    if rows.shape[:2] == (height, width):
        return to_uint8(rows.whole() if isinstance(pixels, Rows) else pixels)
    if _has_opacity(rows, fourth_channel):
        reduce = functools.partial(_resize_planes, kind=np.float32, resample=Image.Resampling.LANCZOS)
        return to_uint8(_weighted(reduce, rows, height, width))
    return _resize_planes(rows, height, width, np.uint8, Image.Resampling.LANCZOS)


def _has_opacity(rows, fourth_channel):
    """Says whether colours must be weighted: an opaque image is the mean of its colours, to the bit."""
    if rows.shape[2] != 4 or fourth_channel != 'alpha':
        return False
    return not all((rows.read(*strip)[..., 3] == 255).all() for strip in rows.strips())


def _weighted(reduce, rows, height, width):
    """Reduces colours with their opacity as weight, which is how eyes mix them, and the opacity itself.

    Where nothing is visible, the colour is the unweighted mean: it has no meaning, but it must be some number.
    """

    def weighted(first, last):
        some = rows.read(first, last)
        some = some.astype(np.int64 if some.dtype == np.uint8 else np.float64)
        return np.concatenate([some[..., :3] * some[..., 3:], some[..., 3:]], axis=-1)

    sums = reduce(Rows(rows.shape, weighted), height, width)
    opacity = sums[..., 3:]
    visible = opacity > 0
    colours = sums[..., :3] / np.where(visible, opacity, 1)
    if not visible.all():
        plain = Rows((*rows.shape[:2], 3), lambda first, last: rows.read(first, last)[..., :3])
        colours = np.where(visible, colours, reduce(plain, height, width))
    return np.concatenate([colours, opacity], axis=-1).clip(0, 255)


def _box_means(rows, height, width):
    """Returns the means over boxes, [height, width, C]."""
    old_height, old_width, _ = rows.shape
    factor = old_height // height
    if (old_height, old_width) == (height * factor, width * factor):
        parts = (_means(rows.read(*strip), factor) for strip in rows.strips(factor))
        return _joined(parts, height)
    return _resize_planes(rows, height, width, np.float32, Image.Resampling.BOX)


def _means(pixels, factor):
    """Returns the means over boxes of factor x factor pixels."""
    height, width, channels = pixels.shape
    # Sums of integers are exact, and so is the mean in double precision. Rows are summed first, over whole lines
    # of memory, which is several times as fast as both axes in one call.
    kind = np.int64 if np.issubdtype(pixels.dtype, np.integer) else np.float64
    rows = pixels.reshape(height // factor, factor, width * channels).sum(axis=1, dtype=kind)
    return rows.reshape(height // factor, width // factor, factor, channels).sum(axis=2) / factor**2


def _resize_planes(rows, height, width, kind, resample):
    """Resizes each channel by itself, because Pillow would multiply the colours of RGBA by their rounded opacity.

    Pillow resizes along rows first, and keeps the result of that in the type of the image. So rows can be done strip
    by strip, and columns when all strips are there. Channels come one after another: an unrounded channel takes as
    much memory as the picture.
    """
    old_height, _, channels = rows.shape
    strips = list(rows.strips())
    whole = rows.read(*strips[0]) if len(strips) == 1 else None
    reduced = np.empty([height, width, channels], kind)
    for channel in range(channels):
        if whole is not None:
            plane = _plane(whole, channel, kind)
        else:
            parts = (
                np.asarray(_plane(rows.read(first, last), channel, kind).resize((width, last - first), resample))
                for first, last in strips
            )
            plane = Image.fromarray(_joined(parts, old_height))
        reduced[..., channel] = plane.resize((width, height), resample)
    return reduced


def _plane(pixels, channel, kind):
    values = pixels[..., channel]
    return Image.fromarray(np.ascontiguousarray(to_uint8(values) if kind == np.uint8 else values.astype(kind)))


def _joined(parts, height):
    """Puts strips below one another; only one at a time is in memory beside the result."""
    joined, top = None, 0
    for part in parts:
        if joined is None:
            if len(part) == height:
                return part
            joined = np.empty([height, *part.shape[1:]], part.dtype)
        joined[top : top + len(part)] = part
        top += len(part)
    return joined


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Rounds to the nearest integer, ties to even as the official tools do, and clips to 0..255."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels).clip(0, 255).astype(np.uint8)
