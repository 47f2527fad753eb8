"""The seeds, layers, crops and psi of the figures: the paper's, or others that suit another network."""

import dataclasses
import os

from stylegan_jax.config import ImageConfig
from stylegan_jax.errors import UserError
from stylegan_jax.figures import layer_ranges


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of all figures; the defaults are those of the official script for faces of 1024x1024."""

    seed: int = 5  # uncurated: one seed for all latents
    rows: int = 3  # uncurated: images of the largest size in a column
    lods: tuple[int, ...] = (0, 1, 2, 2, 3, 3)  # uncurated: how often the images of a column are halved
    crop: tuple[int, int, int, int] | None = None  # uncurated: left, top, right, bottom
    sources: tuple[int, ...] = (639, 701, 687, 615, 2268)  # style mixing: columns
    destinations: tuple[int, ...] = (888, 829, 1898, 1733, 1614, 845)  # style mixing: rows
    ranges: tuple[str, ...] = ('coarse', 'coarse', 'coarse', 'middle', 'middle', 'fine')  # of each destination
    detail_seeds: tuple[int, ...] = (1157, 1012)  # noise detail
    detail_crop: tuple[int, int, int, int] = (650, 180, 906, 436)
    samples: int = 100  # noise detail: noises that the deviation is taken over
    component_seeds: tuple[int, ...] = (1967, 1555)  # noise components
    truncation_seeds: tuple[int, ...] = (91, 388)
    psis: tuple[float, ...] = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)
    table_seeds: tuple[int, ...] = (888, 639, 701, 687, 615)  # style table, not in the paper: first the one
    # that gets the others' styles


# Figures 2, 10, 11 and 12: the size of the network, words in the names of its files, and what differs.
PAPER = {
    'ffhq': ((1024, 1024), ('ffhq', 'celebahq'), {}),
    'bedrooms': ((256, 256), ('bedroom',), {'seed': 0, 'rows': 5, 'lods': (0, 0, 1, 1, 2, 2, 2)}),
    'cars': ((512, 512), ('cars',), {'seed': 2, 'rows': 4, 'crop': (0, 64, 512, 448)}),
    'cats': ((256, 256), ('cats',), {'seed': 1, 'rows': 5, 'lods': (0, 0, 1, 1, 2, 2, 2)}),
}


def chosen(image: ImageConfig, stage: int, path: str | os.PathLike, paper: str = 'auto') -> Settings:
    """Returns the Settings for a network.

    Args:
      image: the network's ImageConfig.
      stage: the last stage in use.
      path: where it was loaded from; the official files are known by their names.
      paper: a name in PAPER; 'none' for settings that suit the size; 'auto' for the paper's where size and name are
        those of an official file, or the size is 1024x1024.

    Raises:
      UserError: the network has another size than the one in the paper.
    """
    shape = image.stage_shape(stage)
    if paper not in ('auto', 'none'):
        if shape != PAPER[paper][0]:
            height, width = PAPER[paper][0]
            raise UserError(
                f'its crops are for images of {width}x{height}, and this network makes {shape[1]}x{shape[0]}',
                field='paper',
                value=paper,
                remedy='leave it out',
            )
        return _fitted(image, stage, Settings(**PAPER[paper][2]))
    name = os.path.basename(os.fspath(path)).lower()
    fields = next(
        (
            fields
            for size, words, fields in PAPER.values()
            if paper == 'auto' and size == shape and any(word in name for word in words)
        ),
        {},
    )
    return _fitted(image, stage, Settings(**fields))


def _fitted(image, stage, settings):
    """Leaves out ranges that the network does not have, and moves the crop of the detail to the same part of it."""
    height, width = image.stage_shape(stage)
    names = layer_ranges.split(image, stage + 1)
    kept = [number for number, name in enumerate(settings.ranges) if name in names]
    # The paper's crop of 1024x1024, at the same share of this network's width and height, and at least one pixel.
    scaled = [round(edge * side / 1024) for edge, side in zip(settings.detail_crop, (width, height) * 2)]
    left, top = min(scaled[0], width - 1), min(scaled[1], height - 1)
    side = max(1, min(scaled[2] - left, scaled[3] - top))
    return dataclasses.replace(
        settings,
        ranges=tuple(settings.ranges[number] for number in kept),
        destinations=tuple(settings.destinations[number] for number in kept),
        detail_crop=(left, top, left + side, top + side),
    )
