"""Figure 4: the effect of noise on an image: in a crop of it, and as the deviation over many draws of noise."""

import numpy as np

from stylegan_jax.config import GeneratorConfig
from stylegan_jax.errors import UserError
from stylegan_jax.figures import layout
from stylegan_jax.figures.look import Look
from stylegan_jax.figures.settings import Settings
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.painter import Painter, noise_keys

_AMPLIFICATION = 4  # of the standard deviation, as in the official script
_CROPS = 2  # rows and columns of crops


def missing(config: GeneratorConfig) -> str | None:
    """Returns why a generator has no such figure, or None."""
    return None if config.use_noise else 'it has no noise inputs (configurations E and F have)'


def num_images(artist: Painter, settings: Settings) -> int:
    """Returns how many images are drawn."""
    del artist
    return len(settings.detail_seeds) * settings.samples


def draw(artist: Painter, settings: Settings, look: Look, psi: float | None = None) -> layout.Figure:
    """Draws the figure: for each seed an image, a crop of four others with other noise, and the standard deviation.

    Args:
      artist: a Painter.
      settings: a Settings, of which detail_seeds, detail_crop and samples are used.
      look: a Look.
      psi: truncation; None for none, as in the paper.

    Returns:
      A `layout.Figure`; its cells are called (row, 0), (row, 1, i, j) for the crops, and (row, 2).

    Raises:
      UserError: the crop is not inside of the image, or there are fewer samples than it takes.
    """
    height, width = artist.shape[:2]
    left, top, right, bottom = box = settings.detail_crop
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise UserError(
            f'give left,top,right,bottom inside of {width}x{height}',
            field='detail_crop',
            value=','.join(map(str, box)),
        )
    if settings.samples <= _CROPS**2:
        raise UserError(f'give at least {_CROPS**2 + 1}', field='samples', value=settings.samples)
    scale = look.scale_of(artist.shape)
    # Two crops, one above the other, are about as high as the image. The factor is whole, so that pixels stay squares.
    zoom = max(1, min(height, width) * scale // (_CROPS * max(bottom - top, right - left)))
    rows = []
    for seed in settings.detail_seeds:
        images, deviation = _sampled(artist, seed, settings.samples, 1.0 if psi is None else psi)
        crops = grid.enlarge(images[1:, top:bottom, left:right], zoom)
        rows.append(
            [
                grid.enlarge(images[0], scale),
                layout.table([crops[i : i + _CROPS] for i in range(0, len(crops), _CROPS)]),
                grid.enlarge(deviation, scale),
            ]
        )
    return look.table(
        rows,
        height=height * scale,
        title='Stochastic variation: the same latents with other noise',
        columns=['image', 'details', f'std. deviation of {settings.samples}'],
        beside=[artist.labels.caption(seed) for seed in settings.detail_seeds],
    )


def _sampled(artist, seed, samples, psi):
    """Returns the first five images of a seed, and the deviation of all as a picture; one batch is held at a time."""
    keys = noise_keys(seed, samples)
    first, sums = [], Deviation()
    for images in artist.batches(np.repeat(artist.ws([seed], psi), samples, axis=0), keys):
        first.extend(images[: _CROPS**2 + 1 - len(first)])
        for image in images:
            sums.add(image)
    return np.stack(first), sums.picture(artist.shape[-1])


class Deviation:
    """The standard deviation of the brightness (the mean over channels) at each pixel, over images added so far."""

    def __init__(self):
        self._count = self._sums = self._squares = 0

    def add(self, image: np.ndarray) -> None:
        """Adds an image uint8 [H, W, C]. Sums are of integers and so exact: the order of images does not matter."""
        brightness = np.sum(image, axis=-1, dtype=np.int64)
        self._count, self._channels = self._count + 1, image.shape[-1]
        self._sums, self._squares = self._sums + brightness, self._squares + brightness**2

    def values(self) -> np.ndarray:
        """Returns the deviation, floats [H, W], on the scale of 0 to 255."""
        # sqrt(E[b^2] - E[b]^2), where the subtraction is of integers; brightness b is a sum over channels so far.
        return np.sqrt(self._count * self._squares - self._sums**2) / (self._count * self._channels)

    def picture(self, channels: int) -> np.ndarray:
        """Returns four times the deviation as a grey image, uint8 [H, W, C]."""
        grey = np.clip(self.values() * _AMPLIFICATION + 0.5, 0, 255).astype(np.uint8)
        picture = np.repeat(grey[..., None], channels, axis=-1)
        if channels == 4:
            picture[..., 3] = 255  # alpha: opaque
        return picture
