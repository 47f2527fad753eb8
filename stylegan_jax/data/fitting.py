"""From a picture of any size and mode to the pixels of every stage; not for where pictures come from."""

import typing

import numpy as np
from PIL import Image

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data.channels import rows_of
from stylegan_jax.data.pixels import FOURTH_CHANNELS, box_reduce, central_crop, lanczos_reduce, to_uint8
from stylegan_jax.errors import UserError

FITS = ('crop', 'pad', 'resize', 'exact', 'wide')
_FILTERS = {'box': box_reduce, 'lanczos': lanczos_reduce}


class Unusable(Exception):
    """A picture cannot be used; the message says why."""


class Placement(typing.NamedTuple):
    """How a picture is cut and reduced; where it stays smaller than the full size, it is centred on black."""

    box: tuple[int, int, int, int]  # (left, top, right, bottom) to cut out
    size: tuple[int, int]  # (H, W) to reduce that to


def placement(height: int, width: int, shape: tuple[int, int, int], fit: str) -> Placement:
    """Says how a picture is cut and reduced.

    Args:
      height, width: of the picture, upright.
      shape: (H, W, C) at full size.
      fit: how the one becomes the other. 'crop': the largest central box of the aspect ratio, reduced. 'pad':
        reduced as a whole if it is larger, centred on black. 'resize': reduced to another aspect ratio. 'exact':
        not at all. 'wide': reduced to W x 3W/4 and centred on a black square W x W, as the official LSUN Car, whose
        arithmetic this is: of a picture of width w and height h the central round(W * h / w) rows, counted in its own
        pixels, are squeezed to 3W/4. Nothing is ever enlarged.

    Raises:
      Unusable: the picture is too small, or not of the exact size.
      UserError: there is no such `fit`, or it does not make such a shape.
    """
    if fit not in FITS:
        raise UserError(f'choose one of {", ".join(FITS)}', field='fit', value=repr(fit))
    full = shape[:2]
    whole = (0, 0, width, height)
    if fit == 'pad':
        scale = min(full[0] / height, full[1] / width, 1)
        return Placement(whole, (max(1, round(height * scale)), max(1, round(width * scale))))
    if fit == 'exact' and (height, width) != full:
        raise Unusable(f'its size is {width}x{height}, not {full[1]}x{full[0]}')
    if fit == 'wide':
        full = _wide_size(full)
        rows = round(full[1] * height / width)
        if width < full[1] or rows < full[0]:
            raise Unusable(f'its {width}x{height} pixels are too few, or too wide, for {full[1]}x{full[0]}')
        return Placement((0, (height - rows) // 2, width, (height + rows) // 2), full)
    box = left, top, right, bottom = central_crop(height, width, full) if fit == 'crop' else whole
    if right - left < full[1] or bottom - top < full[0]:
        raise Unusable(f'its {width}x{height} pixels are too few for {full[1]}x{full[0]}')
    return Placement(box, full)


def _wide_size(full):
    height, width = full
    if height != width or width % 8:  # then as many whole rows are above the picture as below: W/8 each
        raise UserError(
            f'it makes a 4:3 picture on a square, not {width}x{height}',
            field='fit',
            value=repr('wide'),
            remedy='give a square whose side is a multiple of 8',
        )
    return width * 3 // 4, width


def fitted(
    picture: Image.Image | np.ndarray,
    shape: tuple[int, int, int],
    *,
    fit: str,
    resize_filter: str,
    fourth_channel: str = 'alpha',
    value_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """Returns a picture as full-size pixels.

    Beside the picture, only a part of it is in memory at a time.

    Args:
      picture: a PIL.Image, upright; or uint8 [H, W] or [H, W, C], C 1 (grey), 3 (RGB) or 4 (RGBA).
      shape: (H, W, C) of the result; transparency is composited on white unless C is 4.
      fit: see `placement`.
      resize_filter: 'box', means over whole boxes of unrounded values where one whole factor leads to the full size
        and Pillow's box filter on float planes otherwise; or 'lanczos', Pillow's on uint8 as the official tool.
      fourth_channel: 'alpha' where the last of four channels is opacity, by which colours are weighted; 'data' where
        it is anything else, and reduced alone.
      value_range: (black, white) among the values of a picture of more than 8 bits; see `channels.to_channels`.

    Returns:
      [H, W, C], uint8, or unrounded floats.

    Raises:
      Unusable: the picture is too small, or not of the exact size.
      UserError: there is no such fit, filter or fourth channel.
    """
    _check_choice('resize_filter', resize_filter, _FILTERS)
    _check_choice('fourth_channel', fourth_channel, FOURTH_CHANNELS)
    if isinstance(picture, np.ndarray):
        picture = as_picture(picture)
    box, size = placement(*picture.size[::-1], shape, fit)
    rows = rows_of(picture, shape[2], box=box, value_range=value_range)
    return _centred(_FILTERS[resize_filter](rows, *size, fourth_channel=fourth_channel), shape)


def _check_choice(field, value, choices):
    if value not in choices:
        raise UserError(f'choose one of {", ".join(choices)}', field=field, value=repr(value))


def as_picture(pixels: np.ndarray) -> Image.Image:
    """Returns uint8 [H, W] or [H, W, 1, 3 or 4] as a PIL.Image; raises Unusable for anything else."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise Unusable(f'{pixels.dtype} {list(pixels.shape)} is not uint8 [H, W, 1, 3 or 4]')
    return Image.fromarray(np.ascontiguousarray(pixels))


def _centred(pixels, shape):
    """Puts pixels into the middle of a black picture."""
    height, width, channels = pixels.shape
    if (height, width) == shape[:2]:
        return pixels
    canvas = np.zeros(shape, pixels.dtype)
    if channels == 4:
        canvas[..., 3] = 255  # opaque black
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def pyramid(
    pixels: np.ndarray, image: ImageConfig, level_filter: str, fourth_channel: str = 'alpha'
) -> list[np.ndarray]:
    """Returns an image at every stage.

    Args:
      pixels: full-size, [H, W, C], uint8 or unrounded floats.
      image: the shapes of the stages.
      level_filter: 'box', the mean of 2x2 unrounded values of the level above, which is that over the whole factor
        (the official tool's); or 'lanczos', Pillow's on uint8, from full size to each level.
      fourth_channel: see `fitted`.

    Returns:
      A list of uint8 [h, w, C], from full size down to the base shape, each rounded once.

    Raises:
      UserError: there is no such filter.
    """
    _check_choice('level_filter', level_filter, _FILTERS)
    levels = [to_uint8(pixels)]
    for stage in reversed(range(image.num_stages - 1)):
        if level_filter == 'box':
            # From the unrounded level above, so that the result is that of one reduction from full size.
            pixels = box_reduce(pixels, *image.stage_shape(stage), fourth_channel=fourth_channel)
            levels.append(to_uint8(pixels))
        else:
            levels.append(lanczos_reduce(levels[0], *image.stage_shape(stage), fourth_channel=fourth_channel))
    return levels
