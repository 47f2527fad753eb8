"""Figure 5: the effect of noise at all layers, at none, at the fine ones only, and at the coarse ones only."""

import numpy as np

from stylegan_jax.config import ImageConfig
from stylegan_jax.figures import layer_ranges, layout, noise_detail
from stylegan_jax.figures.look import Look
from stylegan_jax.figures.settings import Settings
from stylegan_jax.sampling.painter import Painter

missing = noise_detail.missing
_COLUMNS = 4


def num_images(artist: Painter, settings: Settings) -> int:
    """Returns how many images are drawn."""
    del artist
    return len(settings.component_seeds) * _COLUMNS


def draw(artist: Painter, settings: Settings, look: Look, psi: float | None = None) -> layout.Figure:
    """Draws the figure: a row for each seed, with the stored noise inputs at different layers.

    Args:
      artist: a Painter.
      settings: a Settings, of which component_seeds are used.
      look: a Look.
      psi: truncation; None for none, as in the paper.

    Returns:
      A `layout.Figure`; its cells are called (row, column).
    """
    ws = artist.ws(settings.component_seeds, 1.0 if psi is None else psi)
    image = artist.config.image
    kinds = components(image, artist.stage + 1)
    drawn = [look.enlarge(artist.images(ws, noise_at(artist, layers))) for layers in kinds.values()]
    columns = [
        name if not layers or name == 'all layers' else f'{name}\n({layer_ranges.resolutions(image, layers)})'
        for name, layers in kinds.items()
    ]
    return look.table(
        list(map(list, zip(*drawn))),
        height=drawn[0].shape[1],
        columns=columns,
        title='Noise at different layers',
        beside=[artist.labels.caption(seed) for seed in settings.component_seeds],
    )


def components(image: ImageConfig, num_stages: int) -> dict[str, range]:
    """Returns the columns of the figure, {words: layers that have noise}; fine means 64 pixels and up in the paper."""
    every = range(2 * num_stages)
    # A network that is too small for a fine range gets the upper half of its layers.
    fine = layer_ranges.split(image, num_stages).get('fine', every[len(every) // 2 :])
    return {'all layers': every, 'no noise': every[:0], 'fine layers': fine, 'coarse layers': every[: fine.start]}


def noise_at(artist: Painter, layers: range) -> list[np.ndarray]:
    """Returns the stored noise inputs of these layers, and zeros for the others."""
    return [np.asarray(array) * (layer in layers) for layer, array in enumerate(artist.generator.noise)]
