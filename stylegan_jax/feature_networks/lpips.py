"""LPIPS v0.1 'vgg', the perceptual distance of two images.

Reference: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric (2018), Equation 1, and
version 0.1 of its code. According to public sources, NVIDIA's vgg16_zhang_perceptual.pkl computes the same for images
in 0..255: the README of the official code calls it the standard LPIPS, and the tests of torch-fidelity compare their
LPIPS with NVIDIA's later vgg16.pt and agree within 1e-5.
"""

import dataclasses
import typing
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks import catalogue
from stylegan_jax.feature_networks.arrays import checked, digest
from stylegan_jax.feature_networks.resizing import to_colour
from stylegan_jax.feature_networks.vgg import BLOCKS, SPREAD, VGG16, WIDTHS, convolve, normalised
from stylegan_jax.feature_networks.weight_files import read_arrays

_SMALL = 1e-10  # added to lengths of feature vectors, as in the reference code
_SMALLEST = 16  # [pixels]; four pools halve the size


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LPIPS:
    """The distance with its weights; a pytree.

    Attributes:
      vgg: a VGG16, of which only the convolutions are used.
      linear: for each of the five taps, a weight for each channel, [C].
      digest: of all arrays that it was built from.
      name: 'lpips-vgg-0.1', or 'lpips-' and the name of another VGG16.
    """

    vgg: VGG16
    linear: typing.Any
    digest: str = dataclasses.field(metadata={'static': True})
    name: str = dataclasses.field(default='lpips-vgg-0.1', metadata={'static': True})

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, ArrayLike],
        *,
        where: object,
        name: str = 'vgg16',
        linear: Mapping[str, np.ndarray] | None = None,
    ) -> typing.Self:
        """Builds the distance from arrays with torchvision's names.

        Args:
          arrays: {name: array} of VGG16; 'classifier.*' may be missing.
          where: the file that the arrays came from, for messages.
          name: of the VGG16, see there.
          linear: {name: array} of the linear layers, [C] or [1, C, 1, 1], named as in the lpips package's vgg.pth; None
            for those of version 0.1, which this package includes.

        Raises:
          UserError: names are missing or unknown, or a shape differs.
        """
        vgg = VGG16.from_arrays(arrays, where=where, name=name, trunk_only=True)
        if linear is None:
            linear, where = shipped_linear_arrays(), catalogue.find('lpips-vgg-0.1')
        shapes = {f'lin{i}.model.1.weight': (width,) for i, width in enumerate(WIDTHS)}
        flat = {
            key: array.reshape(-1) if array.shape[:1] + array.shape[2:] == (1, 1, 1) else array
            for key, array in linear.items()
        }
        flat = checked(flat, shapes, where=where)
        whole = digest(flat | {'vgg': np.frombuffer(vgg.digest.encode(), np.uint8)})
        return cls(
            vgg,
            tuple(jnp.asarray(flat[key]) for key in shapes),
            whole,
            'lpips-vgg-0.1' if name == 'vgg16' else f'lpips-{name}',
        )

    def distance(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """Computes the distance of images, in float32 with exact products.

        Args:
          a, b: [N, H, W, 1 or 3] in 0..255, not necessarily rounded; at least 16 pixels high and wide.

        Returns:
          float32 [N].

        Raises:
          UserError: images are too small.
        """
        if min(a.shape[1:3]) < _SMALLEST:
            raise UserError(
                f'images of {a.shape[1]}x{a.shape[2]} are too small for LPIPS; at least {_SMALLEST}x{_SMALLEST}'
            )
        return self.layer_distances(*(to_colour(x).astype(jnp.float32) / 127.5 - 1 for x in (a, b))).sum(axis=1)

    def layer_distances(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """Computes the contribution of each of the five taps to the distance.

        The network carries a and the difference b - a from layer to layer. Neighbouring images of a perceptual path
        differ by less than the rounding error of an activation, so that the difference of two separately rounded
        activations would consist largely of rounding errors.

        Args:
          a, b: [N, H, W, 3] in -1..1.

        Returns:
          float32 [N, 5].
        """
        x, step = normalised(a), (b - a) / SPREAD
        distances = []
        for (places, _), weight in zip(BLOCKS, self.linear):
            if distances:
                x, step = _pool(x, step)
            for place in places:
                kernel, bias = self.vgg.convolutions[place]
                x, step = _relu(convolve(x, kernel) + bias, convolve(step, kernel))
            distances.append(_tap_distance(x, step, weight))
        return jnp.stack(distances, axis=1)


def shipped_linear_arrays() -> dict[str, np.ndarray]:
    """Returns the linear layers of LPIPS v0.1 'vgg', {name: [C]}; see lpips_vgg_v0.1.LICENSE.txt."""
    return read_arrays(catalogue.find('lpips-vgg-0.1'))


def _relu(x, step):
    """Returns ReLU(x), and ReLU(x + step) - ReLU(x)."""
    return jnp.maximum(x, 0), jnp.where(x > 0, jnp.maximum(step, -x), jnp.maximum(x + step, 0))


def _pool(x, step):
    """Returns the maximum of each 2x2 pixels of x, and the maximum of x + step minus it."""
    count, height, width, channels = x.shape
    height, width = height // 2, width // 2
    x, step = (y[:, : 2 * height, : 2 * width].reshape(count, height, 2, width, 2, channels) for y in (x, step))
    largest = x.max((2, 4), keepdims=True)
    return largest[:, :, 0, :, 0], (x - largest + step).max((2, 4))


def _tap_distance(x, step, weight):
    """Equation 1 for one tap: x and step [N, h, w, C] -> [N]."""
    length, other = (jnp.sqrt(jnp.sum(y * y, axis=-1, keepdims=True)) for y in (x, x + step))
    # |x + step| - |x| = (|x + step|^2 - |x|^2) / (|x + step| + |x|), which cancels no digits.
    longer = jnp.sum(step * (2 * x + step), axis=-1, keepdims=True) / (length + other + _SMALL)
    difference = (x * (longer / (length + _SMALL)) - step) / (other + _SMALL)
    return jnp.mean(jnp.matmul(difference**2, weight, precision=lax.Precision.HIGHEST), axis=(1, 2))
