"""The course of a training: the sample grids of a run's ticks, one after another."""

import glob
import os
from collections.abc import Iterator, Sequence

import numpy as np
import PIL.Image

from stylegan_jax.data.channels import to_channels
from stylegan_jax.data.pixels import to_uint8
from stylegan_jax.errors import UserError


def pictures(run: str) -> list[str]:
    """Returns the paths of a run's sample grids in the order of the ticks; UserError where there are none."""
    found = sorted(glob.glob(os.path.join(glob.escape(run), 'fakes[0-9]*.png')))
    if not found:
        raise UserError(
            'has no fakes*.png', field='run', value=run, remedy='give the folder of a run that has made a tick'
        )
    return found


def frames(paths: Sequence[str], hold: int) -> Iterator[np.ndarray]:
    """Makes a frame of each picture.

    Args:
      paths: of the pictures.
      hold: how many frames the last one stays longer.

    Yields:
      uint8 [H, W, 3].

    Raises:
      UserError: a picture is damaged, or has another size than those before it.
    """
    size = None
    for path in paths:
        try:
            with PIL.Image.open(path) as image:
                picture = to_uint8(to_channels(image, 3))
        except (OSError, SyntaxError) as error:
            raise UserError(f'{path}: is no whole picture ({error}); remove it') from None
        if size not in (None, picture.shape):
            raise UserError(
                f'{path}: has {picture.shape[1]}x{picture.shape[0]} pixels, and those before it '
                f'{size[1]}x{size[0]}; remove the ones of another run'
            )
        size = picture.shape
        yield picture
    for _ in range(hold):
        yield picture
