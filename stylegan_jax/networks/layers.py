"""The layers that all networks share: parameters, and their equalized scaling, around `ops`.

All weights are stored as standard normal numbers and scaled when they are used (equalized learning rate, ProGAN
Section 4.1; `ops.equalized`). Biases start at zero, and only `lr_multiplier` scales them.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import from_rgb


class Dense(nn.Module):
    """Fully connected layer with bias.

    Attributes:
      features: O.
      gain: see `ops.equalized`.
      lr_multiplier: see `ops.equalized`; the bias is multiplied by it as well.
    """

    features: int
    gain: float = 1.0
    lr_multiplier: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., I] to [..., O]."""
        weight = self.param('weight', nn.initializers.normal(1 / self.lr_multiplier), (x.shape[-1], self.features))
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        weight = ops.equalized(weight, gain=self.gain, fan_in=x.shape[-1], lr_multiplier=self.lr_multiplier)
        return ops.dense(x, weight) + bias * self.lr_multiplier


def conv_weight(module: nn.Module, x: jax.Array, features: int) -> jax.Array:
    """Makes the parameter `weight` of a 3x3 convolution of `x` in `module`; returns it scaled, [3, 3, I, O]."""
    inputs = x.shape[-1]
    weight = module.param('weight', nn.initializers.normal(1.0), (3, 3, inputs, features))
    return ops.equalized(weight, gain=ops.ACTIVATION_GAIN, fan_in=9 * inputs)


class ToRGB(nn.Module):
    """1x1 convolution with bias, from features to colours in float32 or float64.

    Attributes:
      channels: number of colour channels.
    """

    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, H, W, C] to [N, H, W, channels]."""
        weight, bias = _pixel_weights(self, x, self.channels, gain=1.0)
        return ops.convolve_pixels(x, weight) + bias


class FromRGB(nn.Module):
    """1x1 convolution of colours with bias, and the rectifier.

    Attributes:
      features: O.
      nonlinearity: see `ops.rectify`.
    """

    features: int
    nonlinearity: str

    @nn.compact
    def __call__(self, images: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
        """Maps [N, H, W, channels] to [N, H, W, O] in `dtype`."""
        weight, bias = _pixel_weights(self, images, self.features, gain=ops.ACTIVATION_GAIN)
        return from_rgb.features_of_colours(images, weight, bias, self.nonlinearity, dtype)


def _pixel_weights(module, x, features, *, gain):
    """Makes the parameters of a 1x1 convolution; returns the weight, scaled [I, O], and the bias."""
    inputs = x.shape[-1]
    weight = module.param('weight', nn.initializers.normal(1.0), (1, 1, inputs, features))
    bias = module.param('bias', nn.initializers.zeros, (features,))
    return ops.equalized(weight, gain=gain, fan_in=inputs)[0, 0], bias


def channels_first(x: jax.Array) -> jax.Array:
    """Flattens [N, H, W, C] to [N, C * H * W], the order of inputs of dense weights in the official files."""
    return jnp.transpose(x, (0, 3, 1, 2)).reshape(x.shape[0], -1)


def from_channels_first(x: jax.Array, height: int, width: int) -> jax.Array:
    """Inverts `channels_first`: [N, C * H * W] -> [N, H, W, C]."""
    return jnp.transpose(x.reshape(x.shape[0], -1, height, width), (0, 2, 3, 1))


# Gain of the first dense layer of the traditional generator. The official code divides He's sqrt(2) by 4 to match
# the original Theano implementation of Progressive GAN.
DENSE_INPUT_GAIN = math.sqrt(2) / 4


def stage_name(image: ImageConfig, stage: int) -> str:
    """Returns the name of a stage in the parameter tree: '4x4', '8x8', ... (height x width)."""
    height, width = image.stage_shape(stage)
    return f'{height}x{width}'
