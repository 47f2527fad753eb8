"""VGG16 with torchvision's names, whose features LPIPS and precision and recall compare.

Reference: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition (2014), column D.
"""

import dataclasses
import math
import typing
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks.arrays import checked, digest
from stylegan_jax.feature_networks.resizing import resize, to_colour
from stylegan_jax.networks.kernels import canonical
from stylegan_jax.runtime.by_platform import by_platform

SIZE = 224
# Each block: the indices of its convolutions in torchvision's `features`, and their width. A pool follows each block.
BLOCKS = (((0, 2), 64), ((5, 7), 128), ((10, 12, 14), 256), ((17, 19, 21), 512), ((24, 26, 28), 512))
WIDTHS = tuple(width for _, width in BLOCKS)
_FINAL_SHAPE = 7, 7, 512
# Mean and standard deviation of ImageNet's colours in -1..1; torchvision has them in 0..1, such as 0.485 for red.
_MEAN = np.float32([-0.030, -0.088, -0.188])
SPREAD = np.float32([0.458, 0.448, 0.450])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class VGG16:
    """The network with its weights; a pytree.

    Attributes:
      convolutions: {index: (kernel [3, 3, I, O], bias [O])}.
      dense: the two layers of 4096 as (weight, bias), the first one with weight [7, 7, 512, 4096]; () for a network
        without them, a trunk.
      digest: of the arrays that it was built from.
      name: 'vgg16', or 'vgg16-random-SEED' where the weights are `random_arrays`.
    """

    convolutions: typing.Any
    dense: tuple
    digest: str = dataclasses.field(metadata={'static': True})
    name: str = dataclasses.field(default='vgg16', metadata={'static': True})

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, ArrayLike], *, where: object, name: str = 'vgg16', trunk_only: bool = False
    ) -> typing.Self:
        """Builds the network from arrays with the names of torchvision's file.

        Args:
          arrays: {name: array}; all of 'classifier.*' may be missing, which suffices for `taps`.
          where: the file that the arrays came from, for messages.
          name: of the network.
          trunk_only: whether to leave 'classifier.*' out; the digest is then that of a trunk's file.

        Raises:
          UserError: names are missing or unknown, or a shape differs.
        """
        shapes = array_shapes()
        head = [key for key in shapes if key.startswith('classifier.')]
        arrays = checked(arrays, shapes, where=where, optional=head)
        if trunk_only:
            arrays = {key: array for key, array in arrays.items() if key not in head}
        convolutions = {
            place: (
                jnp.asarray(arrays[f'features.{place}.weight'].transpose(2, 3, 1, 0)),
                jnp.asarray(arrays[f'features.{place}.bias']),
            )
            for places, _ in BLOCKS
            for place in places
        }
        dense = ()
        if 'classifier.0.weight' in arrays:
            # PyTorch flattens the last activations as [C, h, w]; here they are [h, w, C].
            height, width, channels = _FINAL_SHAPE
            first = arrays['classifier.0.weight'].reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
            dense = (
                (jnp.asarray(first), jnp.asarray(arrays['classifier.0.bias'])),
                (jnp.asarray(arrays['classifier.3.weight'].T), jnp.asarray(arrays['classifier.3.bias'])),
            )
        return cls(convolutions, dense, digest(arrays), name)

    def features(self, images: ArrayLike) -> jax.Array:
        """Computes the features of improved precision and recall: the second dense layer after its ReLU.

        NVIDIA's vgg16.pkl cannot be run here. Its computation is known from torch-fidelity, whose VGG16 resizes as
        TensorFlow 1 to 224x224, normalises by ImageNet's colours and takes `fc2_relu`. The test there compares
        torchvision's weights with NVIDIA's vgg16.pt (`return_features=True`); they agree within 1e-4, from 32 to 512
        pixels.

        Args:
          images: [N, H, W, 1 or 3] of any size, uint8 or floats in 0..255.

        Returns:
          float32 [N, 4096].

        Raises:
          UserError: these weights are those of a trunk.
        """
        if not self.dense:
            raise UserError(
                f'{self.name} has no dense layers (classifier.*): give a whole file, such as vgg16-397923af.pth'
            )
        x = normalised(to_colour(resize(images, SIZE, 'legacy')) / 127.5 - 1)
        x = _pool(self.taps(x)[-1])
        for weight, bias in self.dense:
            x = jax.nn.relu(jnp.tensordot(x, weight, weight.ndim - 1, precision=lax.Precision.HIGHEST) + bias)
        return x

    def taps(self, x: jax.Array) -> list[jax.Array]:
        """Computes the five activations that LPIPS compares: the last ones before each pool.

        Args:
          x: the result of `normalised`, [N, H, W, 3].

        Returns:
          A list of [N, h, w, C] with C = 64, 128, 256, 512, 512.
        """
        found = []
        for places, _ in BLOCKS:
            x = _pool(x) if found else x
            for place in places:
                kernel, bias = self.convolutions[place]
                x = jax.nn.relu(convolve(x, kernel) + bias)
            found.append(x)
        return found


def normalised(x: jax.Array) -> jax.Array:
    """Normalises images [N, H, W, 3] in -1..1 by the mean and standard deviation of ImageNet's colours."""
    return (x - _MEAN) / SPREAD


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves [N, H, W, I] with [3, 3, I, O] to the same size, with exact products."""

    def default(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'), precision=lax.Precision.HIGHEST
        )

    return by_platform(x, kernel, cpu=canonical.convolve, default=default)


def array_shapes() -> dict[str, tuple[int, ...]]:
    """Returns {name: shape} of the arrays of a complete file, kernels as [O, I, h, w]."""
    shapes, before = {}, 3
    for places, width in BLOCKS:
        for place in places:
            shapes |= {f'features.{place}.weight': (width, before, 3, 3), f'features.{place}.bias': (width,)}
            before = width
    before = math.prod(_FINAL_SHAPE)
    for place, width in ((0, 4096), (3, 4096), (6, 1000)):
        shapes |= {f'classifier.{place}.weight': (width, before), f'classifier.{place}.bias': (width,)}
        before = width
    return shapes


def random_name(seed: int) -> str:
    """Returns the name of a network with `random_arrays(seed)`, so that results show that its weights are random."""
    return f'vgg16-random-{seed}'


def random_arrays(seed: int, *, trunk_only: bool = False) -> dict[str, np.ndarray]:
    """Draws random weights (He et al., 2015), for use where there are no trained ones.

    Distances in the features of random weights follow perception only weakly.

    Args:
      seed: of the numbers; the trunk is the same with and without 'classifier.*'.
      trunk_only: whether to leave 'classifier.*' out.

    Returns:
      {name: float32 array} as `VGG16.from_arrays` takes them; call the network `random_name(seed)`.
    """
    rng, arrays = np.random.default_rng(seed), {}
    for name, shape in array_shapes().items():
        if trunk_only and name.startswith('classifier.'):
            continue
        if name.endswith('.bias'):
            arrays[name] = np.zeros(shape, np.float32)
        else:
            spread = np.float32(math.sqrt(2 / math.prod(shape[1:])))
            arrays[name] = rng.standard_normal(shape, np.float32) * spread
    return arrays


def _pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID')
