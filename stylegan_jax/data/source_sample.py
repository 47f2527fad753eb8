"""A few pictures of a source, which stand for all of them before all are read."""

import contextlib
import typing
from collections.abc import Callable, Sized

import numpy as np
from PIL import Image

from stylegan_jax.data.channels import value_extrema
from stylegan_jax.data.fitting import Unusable
from stylegan_jax.data.sources.base import PictureSource
from stylegan_jax.data.values import Extrema
from stylegan_jax.runtime.memory import available_bytes

_BYTES_PER_PIXEL = 16  # Pillow has 4, twice while it turns a picture upright; while it decodes WebP, four times
_HEADERS, _PICTURES = 32, 16  # how many are looked at
_SHARE = 0.5  # of the memory that is free


def some_indices(pictures: Sized, count: int) -> list[int]:
    """Returns at most `count` indices of pictures, evenly spread."""
    return np.unique(np.linspace(0, len(pictures) - 1, count).astype(int)).tolist() if len(pictures) else []


def map_some(
    function: Callable[[Image.Image | np.ndarray], typing.Any], source: PictureSource, count: int
) -> list[typing.Any]:
    """Returns function(picture) of at most `count` pictures, evenly spread, but for those that are Unusable.

    One picture is in memory at a time.
    """
    results = []
    for index in some_indices(source, count):
        with contextlib.suppress(Unusable):  # it is reported when all are read
            results.append(function(source.picture(index)))
    return results


def pictures_at_once(source: PictureSource) -> int:
    """Returns how many pictures may be decoded at once, so that photos of many megapixels fit the memory.

    Returns:
      At least one; of small pictures more than any machine has cores.
    """
    return max(1, int(_SHARE * available_bytes() // (_most_pixels(source) * _BYTES_PER_PIXEL + 1)))


def extrema_of_some(source: PictureSource) -> list[Extrema]:
    """Returns the values of some pictures, as far as they have more than 8 bits."""
    found = map_some(
        lambda picture: None if isinstance(picture, np.ndarray) else value_extrema(picture), source, _PICTURES
    )
    return [extrema for extrema in found if extrema]


def _most_pixels(source):
    if (size := source.common_size()) is not None:
        return size[0] * size[1]
    most = 0
    for index in some_indices(source, _HEADERS):
        try:
            height, width = source.size(index)
        except Unusable:
            continue
        most = max(most, height * width)
    return most
