"""Diversity of the images of a generator: the mean perceptual distance of independent pairs."""

from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks
from stylegan_jax.metrics.kind import MetricKind, Samples, Value


class Diversity(NamedTuple):
    """Mean distance of the pairs, and the standard error of that mean, floats."""

    mean: float
    standard_error: float


def pairs(samples: jax.Array | np.ndarray) -> tuple[jax.Array | np.ndarray, jax.Array | np.ndarray]:
    """Splits samples [2 P, ...] into (first [P, ...], second [P, ...]): rows 2i and 2i + 1 are a pair.

    Raises:
      UserError: the number of samples is odd.
    """
    if len(samples) % 2:
        raise UserError(f'{len(samples)} samples do not make pairs', remedy='give an even number')
    return samples[0::2], samples[1::2]


def diversity(distances: ArrayLike) -> Diversity:
    """Averages perceptual distances (LPIPS) of independent pairs of images.

    Args:
      distances: [P], of the pairs that `pairs` makes, so that each image is in one of them.

    Raises:
      UserError: the shape is another one, a number is not finite, or there are fewer than two.

    Reference: Zhu et al. 2017, "Toward multimodal image-to-image translation", which evaluates diversity in this way.
    """
    distances = checks.vector(distances, 'distances of pairs', at_least=2).astype(np.float64)
    return Diversity(float(distances.mean()), float(distances.std(ddof=1) / np.sqrt(len(distances))))


def _compute(samples: Samples):
    value = diversity(samples.fakes['distances'][:, 0])
    return [Value(value.mean, value.standard_error)]


DIVERSITY = MetricKind(
    name='diversity',
    published=('diversity',),
    count=10_000,
    compute=_compute,
    network='lpips',
    keeps=(('distances', 'rows'),),
    source='pairs',
    larger_is_better=True,
    unit='pairs',
)
