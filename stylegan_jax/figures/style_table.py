"""A table of the layers by resolution, with images that show the effect of the styles of each."""

import numpy as np

from stylegan_jax.config.network import num_fmaps
from stylegan_jax.errors import UserError
from stylegan_jax.figures import captions, layer_ranges, layout, style_mixing
from stylegan_jax.figures.look import Look
from stylegan_jax.figures.settings import Settings
from stylegan_jax.networks.generator import mix
from stylegan_jax.sampling.painter import Painter

missing = style_mixing.missing


def num_images(artist: Painter, settings: Settings) -> int:
    """Returns how many images are drawn."""
    return len(settings.table_seeds) + (len(settings.table_seeds) - 1) * (artist.stage + 1)


def draw(artist: Painter, settings: Settings, look: Look, psi: float | None = None) -> layout.Figure:
    """Draws the table: a row for each resolution, with the first seed's image in the styles of other ones there.

    Args:
      artist: a Painter.
      settings: a Settings, of which table_seeds are used.
      look: a Look; captions=False leaves out all words but those of the table.
      psi: truncation; None for none.

    Returns:
      A `layout.Figure`; the images are called (row, column), both from 1 on, and those of the seeds (0, column).

    Raises:
      UserError: there are fewer than two seeds.
    """
    if len(settings.table_seeds) < 2:
        raise UserError('give at least two, first the one that gets the styles of the others', field='table_seeds')
    one, *others = artist.ws(settings.table_seeds, 1.0 if psi is None else psi)
    others = np.stack(others)
    stages = range(artist.stage + 1)
    mixed = [
        np.asarray(mix(np.repeat(one[None], len(others), axis=0), others, range(2 * stage, 2 * stage + 2)))
        for stage in stages
    ]
    drawn = look.enlarge(artist.images(np.concatenate([one[None], others, *mixed])))
    size = captions.fitting_size(drawn.shape[1])
    head, rest = drawn[: 1 + len(others)], np.split(drawn[1 + len(others) :], len(stages))
    rows = [
        [head[0], *head[1:]],
        *([_text(words, size, drawn.shape[-1]), *row] for words, row in zip(_rows(artist), rest)),
    ]
    first, *more = settings.table_seeds
    return look.table(
        rows,
        height=drawn.shape[1],
        header_rows=1,
        header_columns=1,
        title=f'Styles by resolution: {artist.labels.caption(first)} with the styles of other seeds at one resolution',
        columns=[artist.labels.caption(first), *(f'styles of {artist.labels.caption(seed)}' for seed in more)],
    )


def _rows(artist):
    """The words of each resolution."""
    image, ranges = artist.config.image, layer_ranges.split(artist.config.image, artist.stage + 1)
    for stage in range(artist.stage + 1):
        height, width = image.stage_shape(stage)
        name = next(name for name, layers in ranges.items() if 2 * stage in layers)
        # Scales and offsets of all feature maps (Equation 1).
        numbers = f'2 x {num_fmaps(artist.config, stage + 1)} numbers'
        yield f'{width}x{height}: {name}\nlayers {2 * stage} and {2 * stage + 1},\neach with a style\nof {numbers}'


def _text(words, size, channels):
    mask = captions.text_mask(words, size)
    picture = np.full((*mask.shape, channels), 255, np.uint8)
    captions.paint(picture, mask, 0, 0)
    return layout.Figure(picture, {})
