"""Figure 3: images that take a range of styles from another one."""

import numpy as np

from stylegan_jax.config import GeneratorConfig, ImageConfig
from stylegan_jax.errors import UserError
from stylegan_jax.figures import layer_ranges, layout
from stylegan_jax.figures.look import Look
from stylegan_jax.figures.settings import Settings
from stylegan_jax.networks.generator import mix
from stylegan_jax.sampling.painter import Painter


def missing(config: GeneratorConfig) -> str | None:
    """Returns why a generator has no such figure, or None."""
    return None if config.use_styles else 'its layers have no styles (configurations C to F have)'


def num_images(artist: Painter, settings: Settings) -> int:
    """Returns how many images are drawn."""
    del artist
    rows, columns = len(settings.destinations), len(settings.sources)
    return rows + columns + rows * columns


def draw(artist: Painter, settings: Settings, look: Look, psi: float | None = None) -> layout.Figure:
    """Draws the figure: sources above, destinations on the left, and destinations with styles of the sources.

    Args:
      artist: a Painter.
      settings: a Settings, of which sources, destinations and ranges are used.
      look: a Look.
      psi: truncation; None for none, as in the paper.

    Returns:
      A `layout.Figure`; its cells are called (row, column), from 1 on without the headers.

    Raises:
      UserError: there are not as many ranges as destinations, or one does not exist.
    """
    if len(settings.ranges) != len(settings.destinations):
        raise UserError(
            f'{len(settings.ranges)} were given for {len(settings.destinations)} destinations',
            field='ranges',
            remedy='give each destination one',
        )
    image = artist.config.image
    ranges = [parse_range(text, image, artist.stage + 1) for text in settings.ranges]
    psi = 1.0 if psi is None else psi
    sources, destinations = (artist.ws(seeds, psi) for seeds in (settings.sources, settings.destinations))
    mixed = [
        np.asarray(mix(np.repeat(destination[None], len(sources), axis=0), sources, layers))
        for destination, layers in zip(destinations, ranges)
    ]
    drawn = look.enlarge(artist.images(np.concatenate([sources, destinations, *mixed])))
    above, left, rest = np.split(drawn, [len(sources), len(sources) + len(destinations)])
    # The corner above the destinations is empty.
    rows = [[None, *above], *([one, *some] for one, some in zip(left, np.split(rest, len(destinations))))]
    beside = [''] + [
        _words(text, layers, image) + f'\nof the source\ninto {artist.labels.caption(seed)}'
        for text, layers, seed in zip(settings.ranges, ranges, settings.destinations)
    ]
    return look.table(
        rows,
        height=drawn.shape[1],
        header_rows=1,
        header_columns=1,
        beside=beside,
        title='Style mixing: each row copies a range of styles from the sources above',
        columns=['destination', *map(artist.labels.caption, settings.sources)],
    )


def parse_range(text: str, image: ImageConfig, num_stages: int) -> range:
    """Returns the layers [range] that 'coarse', 'middle', 'fine' or a text such as '4-7' names.

    Raises:
      UserError: the network has no such layers.
    """
    named = layer_ranges.split(image, num_stages)
    if text in named:
        return named[text]
    first, _, last = text.partition('-')
    if (
        text in layer_ranges.NAMES
        or not first.isdecimal()
        or not (last or first).isdecimal()
        or not int(first) <= int(last or first) < 2 * num_stages
    ):
        raise UserError(
            f'{text!r} is no range of layers here',
            field='ranges',
            remedy=f'give {", ".join(named)}, or layers from 0 to {2 * num_stages - 1} such as 0-3',
        )
    return range(int(first), int(last or first) + 1)


def _words(text, layers, image):
    name = f'{text} styles' if text in layer_ranges.NAMES else f'styles of layers {text}'
    return f'{name}\n({layer_ranges.resolutions(image, layers)})'
