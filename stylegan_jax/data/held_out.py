"""The images that are held out of training, by which the log tells when the discriminator memorises the others."""

import numpy as np

from stylegan_jax.errors import UserError

_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # multipliers of SplitMix64 (Steele et al. 2014, Figure 16)
_STEP = 0x9E3779B97F4A7C15


def held_out(count: int, share: float) -> np.ndarray:
    """Returns which images are held out, bool [count].

    An image is held out by a hash of its number alone, so it is the same in every run with any seed, and also with a
    larger share.

    Args:
      count: of images in the data set.
      share: of them that is to be held out; 0 for none.

    Raises:
      UserError: no image would be held out, or none would be left.
    """
    if not share:
        return np.zeros(count, bool)
    x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_MIX[0])
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_MIX[1])
    x = x ^ (x >> np.uint64(31))
    held = x / 2.0**64 < share
    if held.all() or not held.any():
        what = 'no image would be left' if held.all() else 'none would be held out'
        raise UserError(
            f'of {count} images {what}',
            field='data.validation',
            value=share,
            remedy='give a smaller share' if held.all() else 'give a larger share, or 0 for none',
        )
    return held
