"""The channels of a picture: from any of Pillow's modes, also of more than 8 bits, to uint8 grey, RGB or RGBA."""

import numpy as np
from PIL import Image

from stylegan_jax.data.pixels import Rows
from stylegan_jax.data.values import Extrema, merged

# Pillow keeps only the high byte of 16-bit colours; `sources.pictures.decode` leaves the others here, in an image of
# the same mode and size.
LOW_BYTES = 'low bytes'
_TRANSPARENT = 'transparency'  # Pillow's name of the colour, or the palette's entries, that are to be seen through


def crop(picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Returns a part of a picture, (left, top, right, bottom), with all that is known about its values."""
    part = picture.crop(box)
    if LOW_BYTES in picture.info:
        part.info[LOW_BYTES] = picture.info[LOW_BYTES].crop(box)
    return part


def rows_of(
    picture: Image.Image,
    channels: int,
    *,
    box: tuple[int, int, int, int] | None = None,
    value_range: tuple[float, float] | None = None,
) -> Rows:
    """Returns a picture, or a part of it, as Rows, whose channels are converted when they are read.

    Args:
      picture: a PIL.Image.
      channels: C, see `to_channels`.
      box: (left, top, right, bottom) of the part; None for all of it.
      value_range: see `to_channels`.
    """
    left, top, right, bottom = box or (0, 0, *picture.size)

    def read(first, last):
        strip = left, top + first, right, top + last
        return to_channels(picture if strip == (0, 0, *picture.size) else crop(picture, strip), channels, value_range)

    return Rows((bottom - top, right - left, channels), read)


def to_channels(picture: Image.Image, channels: int, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """Returns a picture as [H, W, C]: uint8, or unrounded float32 where transparency is composited on white.

    Args:
      picture: a PIL.Image.
      channels: C: 1 (grey), 3 (RGB) or 4 (RGBA).
      value_range: (black, white) among the values of a picture of more than 8 bits. None for the high byte of 16
        bits, and for floats as if they were of 8 bits.
    """
    if is_deep(picture):
        picture = _eight_bits(picture, value_range)
    if channels == 4:
        return np.asarray(picture.convert('RGBA'))
    if not picture.has_transparency_data:
        pixels = np.asarray(picture.convert('L' if channels == 1 else 'RGB'))
        return pixels.reshape(*pixels.shape[:2], channels)
    picture = picture.convert('RGBA')
    pixels = np.asarray(picture.convert('LA') if channels == 1 else picture).astype(np.float32)
    # alpha * colour + (1 - alpha) * white, with white = 255.
    return 255 + (pixels[..., :-1] - 255) * (pixels[..., -1:] / 255)


def is_deep(picture: Image.Image) -> bool:
    """Says whether a picture has more than 8 bits: 16-bit grey or colours, integers, or floats."""
    return picture.mode[0] in 'IF' or LOW_BYTES in picture.info


def value_extrema(picture: Image.Image) -> Extrema | None:
    """Returns the extrema of a picture of more than 8 bits; None for any other.

    Opacity is left out. Floats that are not finite count as nothing.
    """
    if not is_deep(picture):
        return None
    width, height = picture.size
    found = []
    for first, last in Rows((height, width, 4), lambda *_: None).strips():
        values = _values(crop(picture, (0, first, width, last)))
        values = values[..., :3] if values.ndim == 3 else values
        white = 0xFFFF
        if values.dtype.kind == 'f':
            white, values = 0xFF, values[np.isfinite(values)]
        if values.size:
            found.append(Extrema(float(values.min()), float(values.max()), white))
    return merged(found)[0] if found else None


def _values(picture):
    """Returns the values of a deep picture, integers or floats [H, W] or [H, W, C]."""
    values = np.asarray(picture)
    if LOW_BYTES in picture.info:
        return values.astype(np.uint16) << 8 | np.asarray(picture.info[LOW_BYTES])
    return values


def _eight_bits(picture, value_range):
    """Returns a deep picture with 8 bits a channel."""
    transparent = picture.info.get(_TRANSPARENT)
    if value_range is None and picture.mode[0] != 'I' and transparent is None:
        return picture  # Pillow's own: the high bytes of colours, floats cut to 0..255
    values = _values(picture)
    if value_range is not None:
        low, high = value_range
        scaled = (np.nan_to_num(values.astype(np.float64)) - low) * (255 / (high - low))
        pixels = np.rint(scaled).clip(0, 255).astype(np.uint8)
    elif values.dtype.kind == 'f':
        pixels = values.clip(0, 255).astype(np.uint8)
    else:
        # Integers of 32 bits are taken for 16-bit ones, as which Pillow shows files of 16 bits in some cases.
        pixels = (values.clip(0, 0xFFFF) >> 8).astype(np.uint8)
    if transparent is None:
        return Image.fromarray(pixels)
    # One colour is to be seen through; it is compared in full, because others may share its high byte.
    seen = values != transparent
    seen = seen if seen.ndim == 2 else seen.any(axis=-1)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    return Image.fromarray(np.concatenate([pixels, np.where(seen, 255, 0).astype(np.uint8)[..., None]], axis=-1))
