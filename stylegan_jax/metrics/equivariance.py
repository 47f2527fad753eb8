"""Equivariance to translation (EQ-T): does a picture move with the input of the synthesis network?

The input of StyleGAN's synthesis network is a learned constant of 4x4 pixels and the noise. Here the constant is
shifted in a circle by one pixel, a quarter of a square picture, and the noise of each layer by as much of the picture.
Upsampling commutes with such a shift, so that what is left is how much positions are known from the borders, which
convolutions pad with zeros. Aliasing, by which detail sticks to pixels at small shifts, is not seen; `sticking` sees
it. The official definition shifts a continuous input, which StyleGAN does not have, by up to an eighth of the picture.
Its numbers are not comparable with these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.metrics import checks
from stylegan_jax.metrics.kind import MetricKind, Samples, Shifts, Value

SHIFTS = (1, 0), (-1, 0), (0, 1), (0, -1)  # rows and columns of the constant
_LARGEST = 2.0  # the range of pixels, from -1 to 1
_LEAST = 1e-12  # mean square: float32 is not more precise


class Equivariance(NamedTuple):
    """EQ-T [dB], and its standard error, floats."""

    decibels: float
    standard_error: float


def squares(synthesize: Callable[[jax.Array, jax.Array], jax.Array], base_shape: tuple[int, int]) -> jax.Array:
    """Computes how much pictures of shifted inputs differ from shifted pictures; can be compiled.

    Inputs are shifted in a circle. Compared are the pixels whose content is in both pictures: not those that came in at
    a border.

    Args:
      synthesize: takes rows and columns by which the input is shifted, in pixels of the constant, which are traced;
        returns images [N, H, W, C].
      base_shape: (h, w) of the constant, which divide H and W.

    Returns:
      [N], mean squared differences.
    """
    # A loop compiles the network once.
    image, *shifted = jax.lax.map(lambda shift: synthesize(*shift), jnp.array([(0, 0), *SHIFTS]))
    height, width = image.shape[1:3]
    found = []
    for (down, across), other in zip(SHIFTS, shifted, strict=True):
        rows, columns = down * (height // base_shape[0]), across * (width // base_shape[1])
        difference = _within(other, rows, columns) - _within(image, -rows, -columns)
        found.append(jnp.mean(jnp.square(difference), axis=(1, 2, 3)))
    return jnp.mean(jnp.stack(found), axis=0)


def _within(images, rows, columns):
    """Cuts off what came in at the borders of images that were shifted, [N, h, w, C]."""
    height, width = images.shape[1:3]
    return images[:, max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)]


def equivariance(differences: ArrayLike) -> Equivariance:
    """Computes the ratio of the range of pixels to the differences, as a peak signal-to-noise ratio.

    Args:
      differences: [N] from `squares`.

    Raises:
      UserError: the shape is another one, a number is not finite, or there are fewer than two.

    Reference: Karras et al. 2021, "Alias-Free Generative Adversarial Networks", equation 3.
    """
    differences = checks.vector(differences, 'differences of shifted pictures', at_least=2).astype(np.float64)
    mean = max(_LEAST, differences.mean())
    error = differences.std(ddof=1) / np.sqrt(len(differences)) / mean
    return Equivariance(float(10 * np.log10(_LARGEST**2 / mean)), float(10 / np.log(10) * error))


def _compute(samples: Samples):
    found = equivariance(samples.fakes['squares'][:, 0])
    return [Value(found.decibels, found.standard_error, {'precision': 'float32', 'psi': 1.0})]


EQT = MetricKind(
    name='eqt',
    published=('eqt',),
    count=1000,
    compute=_compute,
    network=None,
    keeps=(('squares', 'rows'),),
    source=Shifts(),
    larger_is_better=True,
    unit='fakes',
)
