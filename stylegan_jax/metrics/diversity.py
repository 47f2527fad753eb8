"""How unlike one another the images of a generator are: mean perceptual distance of independent pairs."""

from typing import NamedTuple

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks


class Diversity(NamedTuple):
    """Mean distance of the pairs, and the standard error of that mean, floats."""

    mean: float
    standard_error: float


def pairs(samples):
    """Splits samples [2 P, ...] into (first [P, ...], second [P, ...]): rows 2i and 2i + 1 are a pair.

    Raises:
      UserError: their number is odd.
    """
    if len(samples) % 2:
        raise UserError(f'{len(samples)} samples do not make pairs; give an even number')
    return samples[0::2], samples[1::2]


def diversity(distances):
    """Means perceptual distances (LPIPS) of independent pairs of images.

    Args:
      distances: [P], of the pairs that `pairs` makes, so that each image is in one of them.

    Raises:
      UserError: another shape, a number that is not finite, or fewer than two.

    Reference: Zhu et al. 2017, "Toward multimodal image-to-image translation", where diversity is evaluated so.
    """
    distances = checks.vector(distances, 'distances of pairs', at_least=2).astype(np.float64)
    return Diversity(float(distances.mean()), float(distances.std(ddof=1) / np.sqrt(len(distances))))
