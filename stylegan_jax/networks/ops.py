"""The arithmetic of the networks as plain functions; equations of the papers are cited here.

Images are [N, H, W, C]. Weights come in scaled (`equalized`); nothing here makes or stores parameters.
"""
import functools
import math

import jax
import jax.numpy as jnp

from stylegan_jax.networks.convolution import convolve, transposed_convolve

EPSILON = 1e-8                   # inside every square root of a norm, as in the official code
ACTIVATION_GAIN = math.sqrt(2)   # He initialisation's gain, which both rectifiers use


def equalized(weight, *, gain=1.0, fan_in, lr_multiplier=1.0):
    """Scales a stored weight to the one in use (equalized learning rate, ProGAN Section 4.1).

    Args:
      weight: any shape, stored with standard deviation 1 / lr_multiplier.
      gain: sqrt(2) before a rectifier, 1 elsewhere.
      fan_in: number of inputs that add up to one output.
      lr_multiplier: how much more slowly the weight in use learns (StyleGAN Appendix C).
    """
    return weight * (gain / math.sqrt(fan_in) * lr_multiplier)


def rectify(x, nonlinearity):
    """Applies 'lrelu' (slope 0.2) or 'relu'."""
    return jax.nn.leaky_relu(x, 0.2) if nonlinearity == 'lrelu' else jax.nn.relu(x)


def dense(x, weight):
    """Multiplies the last axis of `x` [..., I] by `weight` [I, O]; also the 1x1 convolution."""
    return jnp.matmul(x, weight)


def pixel_norm(x):
    """Scales each feature vector to unit mean square (ProGAN Section 4.2)."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + EPSILON)


def instance_norm(x):
    """Normalises each feature map of each image to zero mean and unit (biased) variance."""
    x = x - jnp.mean(x, axis=(1, 2), keepdims=True)
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=(1, 2), keepdims=True) + EPSILON)


def stylize(x, style):
    """Applies a style to normalised features (StyleGAN equation 1).

    Args:
      x: [N, H, W, C].
      style: [N, 2 * C], an affine map of w: scales less one, then biases.
    """
    scale, bias = jnp.split(style[:, None, None, :], 2, axis=-1)
    return x * (scale + 1) + bias


def adaptive_instance_norm(content, style):
    """Gives content features the statistics of style features (Huang and Belongie 2017, equation 8).

    Args:
      content: features [N, H, W, C].
      style: features [N, h, w, C], of any size.

    Returns:
      `content` with the mean and standard deviation that each feature map has in `style`, [N, H, W, C].
    """
    mean = jnp.mean(style, axis=(1, 2), keepdims=True)
    deviation = jnp.sqrt(jnp.var(style, axis=(1, 2), keepdims=True) + EPSILON)
    return instance_norm(content) * deviation + mean


def upscale(x):
    """Repeats every pixel: [N, H, W, C] -> [N, 2 * H, 2 * W, C]."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def downscale(x):
    """Averages 2x2 pixels: [N, H, W, C] -> [N, H / 2, W / 2, C]."""
    batch, height, width, channels = x.shape
    return jnp.mean(x.reshape(batch, height // 2, 2, width // 2, 2, channels), axis=(2, 4))


def _spread(kernel):
    """Adds the four copies of a 3x3 kernel shifted by one pixel: [3, 3, I, O] -> [4, 4, I, O]."""
    kernel = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    return kernel[1:, 1:] + kernel[:-1, 1:] + kernel[1:, :-1] + kernel[:-1, :-1]


def up_convolve(x, kernel, *, flip):
    """Doubles the size and convolves with a 3x3 kernel, in one 4x4 transposed convolution.

    The same arithmetic as `upscale` followed by the convolution, at 4/9 of its cost.

    Args:
      x: [N, H, W, I].
      kernel: [3, 3, I, O].
      flip: mirror the kernel in both axes, as the official fused form does. That is what a transposed
        convolution does by itself, so `False` is the case that turns the kernel around here.
    """
    kernel = _spread(kernel)
    if not flip:
        kernel = kernel[::-1, ::-1]
    return transposed_convolve(x, kernel.swapaxes(2, 3), 2)


def down_convolve(x, kernel):
    """Convolves with a 3x3 kernel [3, 3, I, O] and averages 2x2 pixels, in one 4x4 convolution of stride 2."""
    return convolve(x, _spread(kernel) / 4, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def blur(x, taps):
    """Smooths with the separable filter `taps` (odd in number, scaled to sum 1), zero-padded; () does nothing.

    Shifted adds rather than a depthwise convolution: they fuse with what stands around them.
    """
    if not taps:
        return x
    half, total = len(taps) // 2, sum(taps)
    for axis in (1, 2):
        padding = [(half, half) if a == axis else (0, 0) for a in range(4)]
        padded = jnp.pad(x, padding)
        x = sum(jax.lax.slice_in_dim(padded, i, i + x.shape[axis], axis=axis) * (tap / total)
                for i, tap in enumerate(taps))
    return x


# The adjoint of a zero-padded correlation is the correlation with the filter turned around.
blur.defvjp(lambda x, taps: (blur(x, taps), None), lambda taps, _, dy: (blur(dy, taps[::-1]),))


def minibatch_stddev(x, group_size, num_features, replicas=1):
    """Appends how much the samples of a group differ (ProGAN Section 3; parity with the official grouping).

    Each replica has N / replicas consecutive samples; of those, group m of M holds samples m, m + M, m + 2M, ...

    Args:
      x: [N, H, W, C].
      group_size: samples a group, at most a replica's (a smaller batch is one group).
      num_features: channels to append; each is the mean over C / num_features feature maps.
      replicas: how many replicas' samples `x` holds one after another.

    Returns:
      [N, H, W, C + num_features].

    Raises:
      ValueError: the samples cannot be divided into such groups.
    """
    batch, height, width, channels = x.shape
    group_size = min(group_size, batch // replicas)
    if batch % (replicas * group_size):
        raise ValueError(f'{batch} images of {replicas} replicas cannot be divided into groups of {group_size}; '
                         'choose another batch or another mbstd_group_size')
    groups = x.reshape(replicas, group_size, -1, height, width, num_features, channels // num_features)
    deviation = jnp.sqrt(jnp.var(groups, axis=1, keepdims=True) + EPSILON)         # [R, 1, M, H, W, F, C / F]
    statistic = jnp.mean(deviation, axis=(3, 4, 6))                                # [R, 1, M, F]
    statistic = jnp.broadcast_to(statistic, (replicas, group_size, *statistic.shape[2:]))
    statistic = statistic.reshape(batch, 1, 1, num_features)
    return jnp.concatenate([x, jnp.broadcast_to(statistic, (batch, height, width, num_features))], axis=-1)


def fade(older, newer, alpha):
    """Interpolates from the lower stage (alpha 0) to the newest one (alpha 1) (ProGAN Figure 2)."""
    return newer + (older - newer) * (1 - alpha)
