"""Which resolution pictures that are too small for the one that was asked for are large enough for."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data.fitting import Unusable, placement
from stylegan_jax.data.source_sample import some_indices
from stylegan_jax.data.sources.base import PictureSource
from stylegan_jax.errors import UserError

_LOOKED_AT = 1000  # pictures, since even the headers of millions take minutes
_MOST_LEFT_OUT = 0.5  # of a set; LSUN may leave out all but one, but no such set is worth a suggestion


def sizes_of(source: PictureSource, rows: Sequence[int]) -> collections.Counter:
    """Counts sizes (height, width) of pictures, or of evenly spread ones of many; None is the size of damaged ones."""
    if (size := source.common_size()) is not None:
        return collections.Counter([size])
    sizes = collections.Counter()
    for index in some_indices(rows, _LOOKED_AT):
        try:
            size = source.size(rows[index])
        except Unusable:
            size = None
        sizes[size] += 1
    return sizes


def suggestion(
    sizes: Mapping[tuple[int, int] | None, int],
    image: ImageConfig,
    fit: str,
    *,
    unusable: int,
    total: int,
    max_skipped: float,
    setting: str = 'image.resolution={}',
) -> str:
    """Suggests the largest resolution at which a set that has too many unusable pictures could be used.

    Args:
      sizes: {(height, width): how many} of unusable pictures, or of some that stand for them; None is the size of
        damaged ones, and those that are large enough count as damaged.
      image: the image that they are unusable for.
      fit: see `fitting.placement`.
      unusable: how many pictures are unusable for it.
      total: how many pictures there are.
      max_skipped: largest share of them that may be left out.
      setting: the setting that is to be changed, with {} in the place of the resolution.

    Returns:
      A remedy such as 'set image.resolution=512, for which the small ones suffice'. It is empty if at every smaller
      stage of the image there are still too many pictures that are damaged or too small.
    """
    small = {size: number for size, number in sizes.items() if size and not _suffices(size, image.shape, fit)}
    looked_at = sum(sizes.values())
    allowed = min(max_skipped, _MOST_LEFT_OUT) * total
    lost = total - unusable if fit == 'exact' else 0  # those of the size that was asked for
    for stage in reversed(range(image.num_stages - 1)):
        resolution = image.stage_resolution(stage)
        shape = dataclasses.replace(image, resolution=resolution).shape
        sufficient = sum(number for size, number in small.items() if _suffices(size, shape, fit))
        if sufficient and lost + unusable * (looked_at - sufficient) / looked_at <= allowed:
            which = 'the small ones' if sufficient == sum(small.values()) else 'enough of the small ones'
            return f'set {setting.format(resolution)}, for which {which} suffice'
    return ''


def _suffices(size, shape, fit):
    try:
        placement(*size, shape, fit)
    except (Unusable, UserError):  # the second where the fit does not make images of such a shape
        return False
    return True
