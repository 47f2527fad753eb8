"""Which comparison projection makes: LPIPS where its weights are there, else features of the discriminator."""

import collections.abc
import os
import typing

from stylegan_jax.editing.distance import LPIPS_LEAST
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks import catalogue
from stylegan_jax.feature_networks.lpips import LPIPS
from stylegan_jax.feature_networks.weight_files import read_arrays
from stylegan_jax.networks.discriminator import Discriminator


class Comparison(typing.NamedTuple):
    """What images are compared by, beside their pixels, and the choice and its reason in words."""

    discriminator: Discriminator | None
    lpips: LPIPS | None
    words: str


def choose(
    shape: tuple[int, int, int, int],
    load_discriminator: collections.abc.Callable[[], Discriminator],
    *,
    where: str | os.PathLike,
    vgg: str | None = None,
    left_out: str | None = None,
) -> Comparison:
    """Chooses how images are compared.

    Args:
      shape: of the images, [N, H, W, C].
      load_discriminator: loads the discriminator of the same training, or raises UserError if there is none.
      where: what it is loaded from, for the words.
      vgg: file of the weights of VGG16; None for the one in the cache, if it is there.
      left_out: why LPIPS is not wanted, in words; None if it is.

    Raises:
      UserError: `vgg` is given, and cannot be read.
    """
    reason = left_out
    if reason is None:
        try:
            path = catalogue.find('vgg16', vgg)
            if min(shape[1:3]) >= LPIPS_LEAST and shape[3] != 4:
                lpips = LPIPS.from_arrays(read_arrays(path), where=path)
                return Comparison(None, lpips, f'LPIPS ({path}), and pixels at all sizes')
            reason = f'the images have fewer than {LPIPS_LEAST} pixels, or are transparent'
        except UserError as error:
            if vgg is not None:
                raise
            is_missing = isinstance(error, catalogue.MissingWeights)
            reason = 'no weights of VGG16 are there' if is_missing else str(error)
    try:
        discriminator = load_discriminator()
    except UserError:
        return Comparison(None, None, f'pixels at all sizes (no LPIPS: {reason}; no discriminator in {where})')
    words = f'features of the discriminator, and pixels at all sizes (no LPIPS: {reason})'
    return Comparison(discriminator, None, words)
