"""The arithmetic of the networks as plain functions; equations of the papers are cited here.

Images are [N, H, W, C]. Weights come in scaled (`equalized`); nothing here makes or stores parameters.
Activations may be in a short type (bfloat16, float16): `widen` before arithmetic that adds up many of them.
"""

import functools
import math

import jax
import jax.numpy as jnp

_LEAK = 0.2
EPSILON = 1e-8  # inside every square root of a norm, as in the official code
ACTIVATION_GAIN = math.sqrt(2)  # He initialisation's gain, which both rectifiers use


def equalized(weight, *, gain=1.0, fan_in, lr_multiplier=1.0):
    """Scales a stored weight to the one in use (equalized learning rate, ProGAN Section 4.1).

    Args:
      weight: any shape, stored with standard deviation 1 / lr_multiplier.
      gain: sqrt(2) before a rectifier, 1 elsewhere.
      fan_in: number of inputs that add up to one output.
      lr_multiplier: how much more slowly the weight in use learns (StyleGAN Appendix C).
    """
    return weight * (gain / math.sqrt(fan_in) * lr_multiplier)


def widen(x):
    """Returns short floats as float32; float32 and float64 as they are."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def rectify(x, nonlinearity):
    """Applies 'lrelu' (slope 0.2) or 'relu'."""
    return jnp.maximum(x, _LEAK * x if nonlinearity == 'lrelu' else 0)


@rectify.defjvp
def _rectify_jvp(nonlinearity, primals, tangents):
    return rectify(*primals, nonlinearity), rectifier_slope(*primals, nonlinearity) * tangents[0]


def rectifier_slope(x, nonlinearity):
    """Derivative of `rectify`; the same for its argument and for its result."""
    return jnp.where(x >= 0, 1.0, _LEAK) if nonlinearity == 'lrelu' else jnp.where(x > 0, 1.0, 0.0)


def dense(x, weight):
    """Multiplies the last axis of `x` [..., I] by `weight` [I, O]."""
    return jnp.matmul(x, weight)


def convolve_pixels(x, weight):
    """1x1 convolution: [N, H, W, I] by [I, O] -> [N, H, W, O], never shorter than float32."""
    return jnp.matmul(x, weight.astype(x.dtype), preferred_element_type=jnp.promote_types(x.dtype, jnp.float32))


def pixel_norm(x):
    """Scales each feature vector to unit mean square (ProGAN Section 4.2)."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + EPSILON)


def instance_norm(x):
    """Normalises each feature map of each image to zero mean and unit (biased) variance."""
    mean, factor = instance_statistics(x)
    return (x - mean) * factor


def instance_statistics(x):
    """Returns mean and reciprocal deviation of each feature map of each image [N, H, W, C], both [N, 1, 1, C].

    Both statistics come out of one pass over the data: moments about the central pixel, which is near the mean where
    the mean is large against the deviation, so that little cancels. (Padding shows in pixels at the edges.)
    """
    row, column = x.shape[1] // 2, x.shape[2] // 2
    shift = jax.lax.stop_gradient(x[:, row : row + 1, column : column + 1])
    x = x - shift
    mean, square = (mean_over_pixels(moment) for moment in (x, jnp.square(x)))
    return shift + mean, reciprocal_deviation(mean, square)


def reciprocal_deviation(mean, square):
    """Returns one over the standard deviation of what has this mean and this mean square."""
    return jax.lax.rsqrt(jnp.maximum(square - jnp.square(mean), 0) + EPSILON)


def mean_over_pixels(x):
    """Averages each feature map of each image: [N, H, W, C] -> [N, 1, 1, C]."""
    batch, height, width, channels = x.shape
    return (_sum_rows(x, (batch,), (height, width)) / (height * width)).reshape(batch, 1, 1, channels)


def stylize(x, style):
    """Applies a style to normalised features (StyleGAN equation 1).

    Args:
      x: [N, H, W, C].
      style: [N, 2 * C], an affine map of w: scales less one, then biases.
    """
    scale, bias = jnp.split(style[:, None, None, :], 2, axis=-1)
    return x * (scale + 1) + bias


def sum_over_images(x):
    """Adds up each channel: [N, H, W, C] -> [C]."""
    return _sum_rows(x, (), x.shape[:3])


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _sum_rows(x, kept, summed):
    """Adds up axes in the middle: [*kept, *summed, C] -> [*kept, C]."""
    axes = tuple(range(len(kept), len(kept) + len(summed)))

    def rows(x):  # and a product for the rest, or XLA for CPUs would merge them, and jump through memory
        return jnp.matmul(jnp.ones(summed[-1], x.dtype), jnp.sum(x, axis=axes[:-1]), precision='highest')

    def columns(x):  # what many threads can do first, or XLA for GPUs would store what is added up
        return jnp.sum(jax.lax.optimization_barrier(jnp.sum(x, axis=axes[-1])), axis=axes[:-1])

    return jax.lax.platform_dependent(x, cpu=rows, default=columns)


_sum_rows.defvjp(
    lambda x, kept, summed: (_sum_rows(x, kept, summed), None),
    lambda kept, summed, _, dy: (
        jnp.broadcast_to(dy.reshape(*kept, *(1 for _ in summed), -1), (*kept, *summed, dy.shape[-1])),
    ),
)


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def blur(x, taps):
    """Smooths with the separable filter `taps` (odd in number, scaled to sum 1), zero-padded; () does nothing.

    Shifted adds rather than a depthwise convolution, and of both axes in one expression: they fuse with what stands
    around them, where compilers store what is between two axes.
    """
    if not taps:
        return x
    half, (_, height, width, _) = len(taps) // 2, x.shape
    padded = jnp.pad(widen(x), ((0, 0), (half, half), (half, half), (0, 0)))
    sums = {}  # of pixels with the same weight, for few products
    for i, row in enumerate(taps):
        for j, column in enumerate(taps):
            sums[row * column] = sums.get(row * column, 0) + padded[:, i : i + height, j : j + width]
    return sum(pixels * (weight / sum(taps) ** 2) for weight, pixels in sums.items()).astype(x.dtype)


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
    dtype, x = x.dtype, widen(x)
    group_size = min(group_size, batch // replicas)
    if batch % (replicas * group_size):
        raise ValueError(
            f'{batch} images of {replicas} replicas cannot be divided into groups of {group_size}; '
            'choose another batch or another mbstd_group_size'
        )
    groups = x.reshape(replicas, group_size, -1, height, width, num_features, channels // num_features)
    deviation = jnp.sqrt(jnp.var(groups, axis=1, keepdims=True) + EPSILON)  # [R, 1, M, H, W, F, C / F]
    statistic = jnp.mean(deviation, axis=(3, 4, 6))  # [R, 1, M, F]
    statistic = jnp.broadcast_to(statistic, (replicas, group_size, *statistic.shape[2:]))
    statistic = statistic.reshape(batch, 1, 1, num_features)
    statistic = jnp.broadcast_to(statistic, (batch, height, width, num_features))
    return jnp.concatenate([x, statistic], axis=-1).astype(dtype)


def fade(older, newer, alpha):
    """Interpolates from the lower stage (alpha 0) to the newest one (alpha 1) (ProGAN Figure 2)."""
    return (widen(newer) * alpha + widen(older) * (1 - alpha)).astype(newer.dtype)
