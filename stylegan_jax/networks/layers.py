"""The layers that all networks share: parameters and their equalized scaling around `ops`."""

import math

import flax.linen as nn
import jax.numpy as jnp

from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import epilogue


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
    def __call__(self, x):
        weight = self.param('weight', nn.initializers.normal(1 / self.lr_multiplier), (x.shape[-1], self.features))
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        weight = ops.equalized(weight, gain=self.gain, fan_in=x.shape[-1], lr_multiplier=self.lr_multiplier)
        return ops.dense(x, weight) + bias * self.lr_multiplier


def conv_weight(module, x, features):
    """Makes the parameter `weight` of a 3x3 convolution of `x` in `module`; returns it scaled, [3, 3, I, O]."""
    inputs = x.shape[-1]
    weight = module.param('weight', nn.initializers.normal(1.0), (3, 3, inputs, features))
    return ops.equalized(weight, gain=ops.ACTIVATION_GAIN, fan_in=9 * inputs)


class ToRGB(nn.Module):
    """1x1 convolution with bias, to colours, which are never shorter than float32.

    Attributes:
      channels: of colour.
    """

    channels: int

    @nn.compact
    def __call__(self, x):
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
    def __call__(self, images, dtype):
        weight, bias = _pixel_weights(self, images, self.features, gain=ops.ACTIVATION_GAIN)
        return epilogue.features_of_colours(images, weight, bias, self.nonlinearity, dtype)


def _pixel_weights(module, x, features, *, gain):
    """Makes the parameters of a 1x1 convolution; returns the weight, scaled [I, O], and the bias."""
    inputs = x.shape[-1]
    weight = module.param('weight', nn.initializers.normal(1.0), (1, 1, inputs, features))
    bias = module.param('bias', nn.initializers.zeros, (features,))
    return ops.equalized(weight, gain=gain, fan_in=inputs)[0, 0], bias


def channels_first(x):
    """Flattens [N, H, W, C] to [N, C * H * W] in the order that dense weights of the official files have."""
    return jnp.transpose(x, (0, 3, 1, 2)).reshape(x.shape[0], -1)


def from_channels_first(x, height, width):
    """The inverse of `channels_first`: [N, C * H * W] -> [N, H, W, C]."""
    return jnp.transpose(x.reshape(x.shape[0], -1, height, width), (0, 2, 3, 1))


DENSE_INPUT_GAIN = math.sqrt(2) / 4  # of the dense layer that the traditional generator starts with


def stage_name(image, stage):
    """Name of a stage in the parameter tree: '4x4', '8x8', ... (height x width)."""
    height, width = image.stage_shape(stage)
    return f'{height}x{width}'
