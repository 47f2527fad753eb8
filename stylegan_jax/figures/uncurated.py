"""Figures 2, 10, 11 and 12: uncurated images at several sizes."""

import numpy as np

from stylegan_jax.config import GeneratorConfig
from stylegan_jax.data.pixels import lanczos_reduce
from stylegan_jax.errors import UserError
from stylegan_jax.figures import captions, layout
from stylegan_jax.figures.look import Look
from stylegan_jax.figures.settings import Settings
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.painter import Painter, noise_keys

_LARGEST_SIDE = 256  # pixels of the first column, at least


def missing(config: GeneratorConfig) -> str | None:
    """Returns why a generator has no such figure, or None."""
    del config


def num_images(artist: Painter, settings: Settings) -> int:
    """Returns how many images are drawn."""
    del artist
    return sum(settings.rows << lod for lod in settings.lods)


def draw(artist: Painter, settings: Settings, look: Look, psi: float | None = None) -> layout.Figure:
    """Draws the figure: each column has images of one size, in the order of the seed's latents, with fresh noise.

    Args:
      artist: a Painter.
      settings: a Settings, of which seed, rows, lods and crop are used.
      look: a Look.
      psi: truncation; None for the network's own.

    Returns:
      A `layout.Figure`; its cells are called (0, column, row, 0).

    Raises:
      UserError: the crop or a size does not fit.
    """
    height, width = artist.shape[:2]
    left, top, right, bottom = box = settings.crop or (0, 0, width, height)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise UserError(
            f'give left,top,right,bottom inside of {width}x{height}', field='crop', value=','.join(map(str, box))
        )
    # Images are enlarged and then halved `lod` times, so the halves must be whole pixels.
    scale = look.scale_of((bottom - top, right - left), _LARGEST_SIDE)
    factor = 1 << max(settings.lods)
    if (bottom - top) * scale % factor or (right - left) * scale % factor:
        raise UserError(
            f'{(right - left) * scale}x{(bottom - top) * scale} pixels cannot be halved {max(settings.lods)} times',
            field='lods',
            remedy='give smaller numbers, or another crop or scale',
        )
    images = iter(_images(artist, settings, psi))
    columns = [
        layout.table([[_sized(next(images)[top:bottom, left:right], scale, lod)] for _ in range(settings.rows << lod)])
        for lod in settings.lods
    ]
    if not look.captions:
        return layout.table([columns])
    sizes = ', '.join(
        f'{(right - left) * scale >> lod}x{(bottom - top) * scale >> lod}' for lod in sorted(set(settings.lods))
    )
    size = captions.fitting_size((bottom - top) * scale // 2)
    title = f'Uncurated images, seed {settings.seed}, at {sizes}'
    return layout.table([columns], words=layout.Captions(title, size=size))


def _images(artist, settings, psi):
    """Yields the images. As in the official script, a single draw gives the latents of all of them."""
    count = num_images(artist, settings)
    z = np.random.RandomState(settings.seed).randn(count, artist.generator.z_dim)
    keys = noise_keys(settings.seed, count) if artist.config.use_noise else None
    for images in artist.batches(artist.ws_of_z(z, psi), 'none' if keys is None else keys):
        yield from images


def _sized(image, scale, lod):
    if scale >> lod:
        return grid.enlarge(image, scale >> lod)
    height, width = image.shape[:2]
    return lanczos_reduce(image, height * scale >> lod, width * scale >> lod, fourth_channel='alpha')
