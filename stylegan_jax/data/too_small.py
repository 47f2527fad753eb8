"""Which resolution pictures that are too small for the one that was asked for are large enough for."""

import collections
import contextlib
import dataclasses
from collections.abc import Mapping, Sequence

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data.fitting import Unusable, placement
from stylegan_jax.data.source_sample import some_indices
from stylegan_jax.data.sources.base import MAX_UNUSABLE, PictureSource
from stylegan_jax.errors import UserError

_LOOKED_AT = 1000  # pictures, since even the headers of millions take minutes


def sizes_of(source: PictureSource, rows: Sequence[int]) -> collections.Counter:
    """Counts the sizes (height, width) of some pictures, evenly spread if there are many, but for damaged ones."""
    if (size := source.common_size()) is not None:
        return collections.Counter([size])
    sizes = collections.Counter()
    for index in some_indices(rows, _LOOKED_AT):
        with contextlib.suppress(Unusable):
            sizes[source.size(rows[index])] += 1
    return sizes


def sufficient_resolution(sizes: Mapping[tuple[int, int], int], image: ImageConfig, fit: str) -> int | None:
    """Returns the largest resolution for which pictures are large enough that are too small for an image.

    Args:
      sizes: {(height, width): how many pictures have it}, of which those that are large enough do not count.
      image: the image that they are too small for.
      fit: see `fitting.placement`.

    Returns:
      That of a stage of the image; one picture in a hundred may be smaller still. None if no picture is too small, or
      they are too small for every stage.
    """
    small = {size: number for size, number in sizes.items() if not _suffices(size, image.shape, fit)}
    for stage in reversed(range(image.num_stages - 1)):
        resolution = image.stage_resolution(stage)
        shape = dataclasses.replace(image, resolution=resolution).shape
        smaller = sum(number for size, number in small.items() if not _suffices(size, shape, fit))
        if small and smaller <= MAX_UNUSABLE * sum(small.values()):
            return resolution
    return None


def _suffices(size, shape, fit):
    try:
        placement(*size, shape, fit)
    except (Unusable, UserError):  # the second where the fit does not make images of such a shape
        return False
    return True
