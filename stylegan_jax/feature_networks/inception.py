"""The Inception network of 2015, which defines FID, KID and the Inception Score; names as in its PyTorch copies.

Its frozen TensorFlow graph differs from the published Inception v3: average pools leave the padding out of the mean,
the last block has a max pool in place of an average pool, there are 1008 outputs, and the batch normalisation's epsilon
is 1e-3.

Reference: Szegedy et al., Rethinking the Inception Architecture for Computer Vision (2015), Figures 5 to 7.
"""

import dataclasses
import functools
import typing
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from stylegan_jax.feature_networks.arrays import checked, digest
from stylegan_jax.feature_networks.resizing import resize, to_colour

SIZE = 299
NUM_FEATURES = 2048
NUM_CLASSES = 1008  # outputs of the graph; ImageNet has only 1000 classes
_EPSILON = 1e-3  # of the batch normalisation
_COUNTERS = '.num_batches_tracked'  # PyTorch's, which inference does not use
_BATCH_NORM = 'weight', 'bias', 'running_mean', 'running_var'


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Inception:
    """The network with its weights; a pytree.

    Attributes:
      kernels: {layer: [h, w, I, O]}, multiplied by the scale of the batch normalisation.
      shifts: {layer: [O]}, the shift of the batch normalisation.
      fc_weight: [2048, 1008].
      fc_bias: [1008].
      digest: of the arrays that it was built from.
      dtype: of the activations, 'float32' (exact products) or 'bfloat16'; results are float32.
      name: 'inception-2015'.
    """

    kernels: typing.Any
    shifts: typing.Any
    fc_weight: typing.Any
    fc_bias: typing.Any
    digest: str = dataclasses.field(metadata={'static': True})
    dtype: str = dataclasses.field(default='float32', metadata={'static': True})
    name: str = dataclasses.field(default='inception-2015', metadata={'static': True})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike], *, where: object, dtype: str = 'float32') -> typing.Self:
        """Builds the network from arrays with the names of pytorch-fid's and torch-fidelity's files.

        Args:
          arrays: {name: array}; counters of batches are ignored.
          where: the file that the arrays came from, for messages.
          dtype: see the class.

        Raises:
          UserError: names are missing or unknown, or a shape differs.
        """
        arrays = {name: array for name, array in arrays.items() if not name.endswith(_COUNTERS)}
        arrays = checked(arrays, array_shapes(), where=where)
        kernels, shifts = {}, {}
        # Batch normalisation with fixed statistics is linear: y = scale * x + (beta - mean * scale). Its scale is
        # folded into the kernel, in float64 so that it is rounded only once.
        for layer in _kernel_shapes():
            gamma, beta, mean, variance = (np.float64(arrays[f'{layer}.bn.{part}']) for part in _BATCH_NORM)
            scale = gamma / np.sqrt(variance + _EPSILON)
            kernel = arrays[f'{layer}.conv.weight'].transpose(2, 3, 1, 0) * scale
            kernels[layer] = jnp.asarray(np.float32(kernel).astype(jnp.dtype(dtype)))
            shifts[layer] = jnp.asarray(np.float32(beta - mean * scale))
        return cls(
            kernels, shifts, jnp.asarray(arrays['fc.weight'].T), jnp.asarray(arrays['fc.bias']), digest(arrays), dtype
        )

    def features(self, images: ArrayLike, way: str = 'legacy') -> jax.Array:
        """Computes the features that FID compares.

        Args:
          images: [N, H, W, 1 or 3] of any size, uint8 or floats in 0..255.
          way: of resizing, see `resizing.resize`; 'half_pixel' also means the scale of pytorch-fid.

        Returns:
          float32 [N, 2048].
        """
        return self.activations(inputs(images, way))['AvgPool']

    def logits(self, features: jax.Array, *, biased: bool = True) -> jax.Array:
        """Computes logits from features.

        Args:
          features: [N, 2048].
          biased: whether to add the bias, which the official Inception Score leaves out.

        Returns:
          float32 [N, 1008].
        """
        logits = jnp.matmul(features, self.fc_weight, precision=lax.Precision.HIGHEST)
        return logits + self.fc_bias if biased else logits

    def activations(self, x: jax.Array) -> dict[str, jax.Array]:
        """Computes the output of every stage.

        Args:
          x: the result of `inputs`, [N, 299, 299, 3].

        Returns:
          {name of the stage: [N, h, w, C]}, and 'AvgPool' float32 [N, 2048]. Compilers drop the stages that are not
          used.
        """
        layers = _Layers(lambda name, shape: (self.kernels[name], self.shifts[name]))
        return _stages(layers, x.astype(self.dtype))


def inputs(images: ArrayLike, way: str) -> jax.Array:
    """Resizes and scales images [N, H, W, 1 or 3] in 0..255 to the network's input, float32 [N, 299, 299, 3]."""
    x = to_colour(resize(images, SIZE, way))
    return x / 255 * 2 - 1 if way == 'half_pixel' else (x - 128) / 128


@functools.cache
def array_shapes() -> dict[str, tuple[int, ...]]:
    """Returns {name: shape} of the arrays of a file, kernels as [O, I, h, w]."""
    shapes = {'fc.weight': (NUM_CLASSES, NUM_FEATURES), 'fc.bias': (NUM_CLASSES,)}
    for layer, (height, width, before, after) in _kernel_shapes().items():
        shapes[f'{layer}.conv.weight'] = after, before, height, width
        shapes |= {f'{layer}.bn.{part}': (after,) for part in _BATCH_NORM}
    return shapes


@functools.cache
def _kernel_shapes():
    """{layer: (h, w, I, O)}, recorded while the network is traced, so that the code has each shape only once."""
    shapes = {}

    def parameters(name, shape):
        shapes[name] = shape
        return jnp.zeros(shape), jnp.zeros(shape[-1:])

    jax.eval_shape(lambda x: _stages(_Layers(parameters), x), jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32))
    return shapes


class _Layers:
    """The convolutional layers of the network, or of one block: convolution, batch normalisation and ReLU."""

    def __init__(self, parameters, prefix=''):
        self._parameters, self._prefix = parameters, prefix

    def within(self, block):
        return _Layers(self._parameters, f'{self._prefix}{block}.')

    def __call__(self, name, x, channels, kernel=(1, 1), *, stride=1, padding='SAME'):
        weight, shift = self._parameters(self._prefix + name, (*kernel, x.shape[-1], channels))
        y = lax.conv_general_dilated(
            x,
            weight,
            (stride, stride),
            padding,
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
            precision=lax.Precision.HIGHEST if x.dtype == jnp.float32 else None,
        )
        return jax.nn.relu(y + shift).astype(x.dtype)


def _stages(layers, x):
    stages = {}
    x = stages['Conv2d_1a_3x3'] = layers('Conv2d_1a_3x3', x, 32, (3, 3), stride=2, padding='VALID')
    x = stages['Conv2d_2a_3x3'] = layers('Conv2d_2a_3x3', x, 32, (3, 3), padding='VALID')
    x = stages['Conv2d_2b_3x3'] = layers('Conv2d_2b_3x3', x, 64, (3, 3))
    x = stages['MaxPool_1'] = _max_pool(x, stride=2, padding='VALID')
    x = stages['Conv2d_3b_1x1'] = layers('Conv2d_3b_1x1', x, 80)
    x = stages['Conv2d_4a_3x3'] = layers('Conv2d_4a_3x3', x, 192, (3, 3), padding='VALID')
    x = stages['MaxPool_2'] = _max_pool(x, stride=2, padding='VALID')
    for name, block, options in _BLOCKS:
        x = stages[name] = block(layers.within(name), x, **options)
    stages['AvgPool'] = jnp.mean(x, (1, 2), jnp.float32)
    return stages


def _block_35(layer, x, pooled):
    """Inception block at 35x35 pixels (Figure 5)."""
    fives = layer('branch5x5_2', layer('branch5x5_1', x, 48), 64, (5, 5))
    threes = layer('branch3x3dbl_2', layer('branch3x3dbl_1', x, 64), 96, (3, 3))
    threes = layer('branch3x3dbl_3', threes, 96, (3, 3))
    return _joined(layer('branch1x1', x, 64), fives, threes, layer('branch_pool', _average_pool(x), pooled))


def _block_to_17(layer, x):
    """Reduces 35x35 pixels to 17x17."""
    threes = layer('branch3x3dbl_2', layer('branch3x3dbl_1', x, 64), 96, (3, 3))
    return _joined(
        layer('branch3x3', x, 384, (3, 3), stride=2, padding='VALID'),
        layer('branch3x3dbl_3', threes, 96, (3, 3), stride=2, padding='VALID'),
        _max_pool(x, stride=2, padding='VALID'),
    )


def _block_17(layer, x, inner):
    """Inception block at 17x17 pixels; each 7x7 kernel is factorised into 1x7 and 7x1 (Figure 6)."""
    once = layer('branch7x7_2', layer('branch7x7_1', x, inner), inner, (1, 7))
    once = layer('branch7x7_3', once, 192, (7, 1))
    twice = layer('branch7x7dbl_2', layer('branch7x7dbl_1', x, inner), inner, (7, 1))
    twice = layer('branch7x7dbl_4', layer('branch7x7dbl_3', twice, inner, (1, 7)), inner, (7, 1))
    twice = layer('branch7x7dbl_5', twice, 192, (1, 7))
    return _joined(layer('branch1x1', x, 192), once, twice, layer('branch_pool', _average_pool(x), 192))


def _block_to_8(layer, x):
    """Reduces 17x17 pixels to 8x8."""
    threes = layer('branch3x3_2', layer('branch3x3_1', x, 192), 320, (3, 3), stride=2, padding='VALID')
    sevens = layer('branch7x7x3_2', layer('branch7x7x3_1', x, 192), 192, (1, 7))
    sevens = layer('branch7x7x3_3', sevens, 192, (7, 1))
    sevens = layer('branch7x7x3_4', sevens, 192, (3, 3), stride=2, padding='VALID')
    return _joined(threes, sevens, _max_pool(x, stride=2, padding='VALID'))


def _block_8(layer, x, pool):
    """Inception block at 8x8 pixels; 1x3 and 3x1 kernels side by side take the place of 3x3 ones (Figure 7)."""
    once = layer('branch3x3_1', x, 384)
    twice = layer('branch3x3dbl_2', layer('branch3x3dbl_1', x, 448), 384, (3, 3))
    return _joined(
        layer('branch1x1', x, 320),
        layer('branch3x3_2a', once, 384, (1, 3)),
        layer('branch3x3_2b', once, 384, (3, 1)),
        layer('branch3x3dbl_3a', twice, 384, (1, 3)),
        layer('branch3x3dbl_3b', twice, 384, (3, 1)),
        layer('branch_pool', pool(x), 192),
    )


def _joined(*branches):
    return jnp.concatenate(branches, axis=-1)


def _max_pool(x, stride=1, padding='SAME'):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, stride, stride, 1), padding)


def _average_pool(x):
    """Means of 3x3 pixels, and of fewer at the edges: the padding is not counted."""

    def sums(x):
        return lax.reduce_window(x, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), 'SAME')

    # An edge has two rows or columns in its window, all other places have three.
    height, width = (np.minimum(np.arange(n), 1) + 1 + np.minimum(np.arange(n)[::-1], 1) for n in x.shape[1:3])
    counts = np.float32(height[:, None, None] * width[:, None])
    return (sums(x.astype(jnp.float32)) / counts).astype(x.dtype)


_BLOCKS = (
    ('Mixed_5b', _block_35, {'pooled': 32}),
    ('Mixed_5c', _block_35, {'pooled': 64}),
    ('Mixed_5d', _block_35, {'pooled': 64}),
    ('Mixed_6a', _block_to_17, {}),
    ('Mixed_6b', _block_17, {'inner': 128}),
    ('Mixed_6c', _block_17, {'inner': 160}),
    ('Mixed_6d', _block_17, {'inner': 160}),
    ('Mixed_6e', _block_17, {'inner': 192}),
    ('Mixed_7a', _block_to_8, {}),
    ('Mixed_7b', _block_8, {'pool': _average_pool}),
    ('Mixed_7c', _block_8, {'pool': _max_pool}),
)
