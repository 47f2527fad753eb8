"""The layers that all networks share: parameters and their equalized scaling around `ops`."""
import math

import flax.linen as nn
import jax.numpy as jnp

from stylegan_jax.networks import ops


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


def conv_weight(module, inputs, features):
    """Makes the parameter `weight` of a 3x3 convolution in `module` and returns it scaled, [3, 3, I, O]."""
    weight = module.param('weight', nn.initializers.normal(1.0), (3, 3, inputs, features))
    return ops.equalized(weight, gain=ops.ACTIVATION_GAIN, fan_in=9 * inputs)


class ConvPixels(nn.Module):
    """1x1 convolution with bias: to_rgb (gain 1) and from_rgb (gain sqrt(2)).

    Attributes:
      features: O.
      gain: see `ops.equalized`.
    """
    features: int
    gain: float

    @nn.compact
    def __call__(self, x):
        inputs = x.shape[-1]
        weight = self.param('weight', nn.initializers.normal(1.0), (1, 1, inputs, self.features))
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        return ops.dense(x, ops.equalized(weight, gain=self.gain, fan_in=inputs)[0, 0]) + bias


def channels_first(x):
    """Flattens [N, H, W, C] to [N, C * H * W] in the order that dense weights of the official files have."""
    return jnp.transpose(x, (0, 3, 1, 2)).reshape(x.shape[0], -1)


def from_channels_first(x, height, width):
    """The inverse of `channels_first`: [N, C * H * W] -> [N, H, W, C]."""
    return jnp.transpose(x.reshape(x.shape[0], -1, height, width), (0, 2, 3, 1))


DENSE_INPUT_GAIN = math.sqrt(2) / 4      # of the dense layer that the traditional generator starts with


def stage_name(image, stage):
    """Name of a stage in the parameter tree: '4x4', '8x8', ... (height x width)."""
    height, width = image.stage_shape(stage)
    return f'{height}x{width}'
