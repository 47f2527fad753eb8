"""Arithmetic of pixels that all kinds of data set share: cropping, reducing, rounding.

Reductions by boxes are means of unrounded values, rounded once at the end; rounding at every level of the
pyramid would change one pixel in nine.
"""

import numpy as np
from PIL import Image


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


def box_reduce(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Reduces an image by the box filter, without rounding.

    Args:
      pixels: [H, W, C], integers or floats, not smaller than the result.
      height, width: of the result. Where one whole factor leads there, the result is the exact mean over
        its boxes; otherwise Pillow's box filter decides.

    Returns:
      [height, width, C]; floats, unless nothing was to be done.
    """
    old_height, old_width, channels = pixels.shape
    if (old_height, old_width) == (height, width):
        return pixels
    factor = old_height // height
    if (old_height, old_width) == (height * factor, width * factor):
        # Sums of integers are exact, and so is the mean in double precision. Rows are summed first, over whole lines
        # of memory, which is several times as fast as both axes in one call.
        kind = np.int64 if np.issubdtype(pixels.dtype, np.integer) else np.float64
        rows = pixels.reshape(height, factor, old_width * channels).sum(axis=1, dtype=kind)
        return rows.reshape(height, width, factor, channels).sum(axis=2) / factor**2
    return _resize_planes(pixels.astype(np.float32), height, width, Image.Resampling.BOX)


def lanczos_reduce(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Reduces an image by Pillow's Lanczos filter, on and to uint8 as the official tool for LSUN does.

    Args:
      pixels: [H, W, C], not smaller than the result; floats are rounded first.
      height, width: of the result.

    Returns:
      uint8 [height, width, C].
    """
    pixels = to_uint8(pixels)
    if pixels.shape[:2] == (height, width):
        return pixels
    return _resize_planes(pixels, height, width, Image.Resampling.LANCZOS)


def _resize_planes(pixels, height, width, resample):
    """Resizes each channel by itself, because Pillow would multiply the colours of RGBA by their opacity."""
    planes = [Image.fromarray(np.ascontiguousarray(pixels[..., channel])) for channel in range(pixels.shape[2])]
    return np.stack([plane.resize((width, height), resample) for plane in planes], axis=-1)


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Rounds to the nearest integer, ties to even as the official tools do, and clips to 0..255."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels).clip(0, 255).astype(np.uint8)
