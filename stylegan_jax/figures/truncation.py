"""Figure 8: truncation from one end of W over the average to the other."""

import numpy as np

from stylegan_jax.config import GeneratorConfig
from stylegan_jax.figures import layout
from stylegan_jax.figures.look import Look
from stylegan_jax.figures.settings import Settings
from stylegan_jax.sampling.painter import Painter


def missing(config: GeneratorConfig) -> str | None:
    """Returns why a generator has no such figure, or None."""
    return None if config.mapping_layers else 'without a mapping network there is no W to truncate in'


def num_images(artist: Painter, settings: Settings) -> int:
    """Returns how many images are drawn."""
    del artist
    return len(settings.truncation_seeds) * len(settings.psis)


def draw(artist: Painter, settings: Settings, look: Look, psi: float | None = None) -> layout.Figure:
    """Draws the figure: a row for each seed, a column for each psi, which applies to all layers.

    Args:
      artist: a Painter.
      settings: a Settings, of which truncation_seeds and psis are used.
      look: a Look.
      psi: not used; the figure has its own.

    Returns:
      A `layout.Figure`; its cells are called (row, column).
    """
    del psi
    # With a cutoff at the number of layers, psi applies to all of them (Figure 8 is drawn so).
    ws = [artist.ws(settings.truncation_seeds, value, artist.config.num_ws) for value in settings.psis]
    drawn = look.enlarge(artist.images(np.concatenate(ws)))
    columns = np.split(drawn, len(settings.psis))
    own = ' of the class' if artist.labels.own_average else ''
    return look.table(
        list(map(list, zip(*columns))),
        height=drawn.shape[1],
        title=f'Truncation: psi = 0 is the average w{own}, negative values are opposites',
        columns=[f'psi = {value:g}' for value in settings.psis],
        beside=[artist.labels.caption(seed) for seed in settings.truncation_seeds],
    )
