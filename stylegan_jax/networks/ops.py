"""The arithmetic of the networks as plain functions; equations of the papers are cited here.

Images are [N, H, W, C]. Weights arrive already scaled (`equalized`); nothing here makes or stores parameters.
Activations may be bfloat16 or float16: whatever adds up many of them converts them first (`at_least_float32`).

"StyleGAN" is Karras et al. 2019 (arXiv:1812.04948), "ProGAN" is Karras et al. 2018 (arXiv:1710.10196).
"""

# Annotations stay text: building those with shapes takes time at each start, and only tests need them built.
from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float

from stylegan_jax.runtime.by_platform import PORTABLE, by_platform, traced_for

AnyArray = Array | np.ndarray  # JAX takes arrays of NumPy wherever it takes its own
_LEAK = 0.2  # negative slope of the leaky rectifier (ProGAN Appendix A.1)
EPSILON = 1e-8  # inside every square root of a norm, as in the official code
_SMALL = 1 << 19  # elements of an array that an accelerator adds up in less time than it takes to start
_LONG_SUM = 1024  # numbers that accelerators do not add up in one step
ACTIVATION_GAIN = math.sqrt(2)  # He initialisation's gain, used for both rectifiers


def equalized(
    weight: Float[AnyArray, '...'], *, gain: float = 1.0, fan_in: int, lr_multiplier: float = 1.0
) -> Float[AnyArray, '...']:
    """Scales a stored weight to the one in use (equalized learning rate, ProGAN Section 4.1).

    Adam's updates do not depend on the scale of a parameter. Parameters are therefore stored with about the same
    standard deviation everywhere, and He initialisation's constant is applied in every forward pass, so that all
    weights learn at the same relative speed.

    Args:
      weight: any shape, stored with standard deviation 1 / lr_multiplier.
      gain: sqrt(2) before a rectifier, 1 elsewhere.
      fan_in: number of inputs that add up to one output.
      lr_multiplier: learning rate of the weight in use relative to others (StyleGAN Appendix C: 0.01 in the mapping).

    Returns:
      The weight in use, of the same shape.
    """
    return weight * (gain / math.sqrt(fan_in) * lr_multiplier)


def at_least_float32(x: Float[AnyArray, '...']) -> Float[AnyArray, '...']:
    """Converts bfloat16 and float16 to float32, and returns float32 and float64 as they are."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def row_major(x: Float[AnyArray, '...']) -> Float[Array, '...']:
    """Pins the layout in memory to the logical order of axes (row-major, the last axis contiguous), on accelerators.

    Otherwise XLA:GPU picks layouts by the first user of an array, and spreads them to the arrays that it is made from.
    """
    if traced_for.value == PORTABLE:
        return x
    return with_layout_constraint(x, Layout(tuple(range(x.ndim))))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def rectify(x: Float[AnyArray, '...'], nonlinearity: str) -> Float[Array, '...']:
    """Applies the leaky rectifier of slope 0.2 ('lrelu') or the plain one ('relu')."""
    # A maximum is fewer operations than a choice. The derivative is written by hand because that of a maximum is 1/2
    # at zero, where both arguments are equal.
    return jnp.maximum(x, _LEAK * x if nonlinearity == 'lrelu' else 0)


@rectify.defjvp
def _rectify_jvp(nonlinearity, primals, tangents):
    return rectify(*primals, nonlinearity), rectifier_slope(*primals, nonlinearity) * tangents[0]


def rectifier_slope(x: Float[AnyArray, '...'], nonlinearity: str) -> Float[Array, '...']:
    """Returns the derivative of `rectify`. A rectifier keeps the sign, so `x` may be its argument or its result."""
    return jnp.where(x >= 0, 1.0, _LEAK) if nonlinearity == 'lrelu' else jnp.where(x > 0, 1.0, 0.0)


def dense(x: Float[AnyArray, '*batch I'], weight: Float[AnyArray, 'I O']) -> Float[Array, '*batch O']:
    """Multiplies the last axis of `x` [..., I] by `weight` [I, O]."""
    return jnp.matmul(x, weight)


def convolve_pixels(x: Float[AnyArray, 'N H W I'], weight: Float[AnyArray, 'I O']) -> Float[Array, 'N H W O']:
    """Applies a 1x1 convolution: [N, H, W, I] by [I, O] -> [N, H, W, O], in float32 or float64."""
    return jnp.matmul(x, weight.astype(x.dtype), preferred_element_type=jnp.promote_types(x.dtype, jnp.float32))


def pixel_norm(x: Float[AnyArray, '*batch C']) -> Float[Array, '*batch C']:
    """Scales each feature vector to unit mean square (pixelwise normalisation, ProGAN Section 4.2)."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + EPSILON)


def instance_norm(x: Float[AnyArray, 'N H W C'], epsilon: float = EPSILON) -> Float[Array, 'N H W C']:
    """Normalises each feature map of each image: (x - mu(x)) / sigma(x) of StyleGAN Eq. 1, with biased variance."""
    mean, factor = instance_statistics(x, epsilon)
    return (x - mean) * factor


def instance_statistics(
    x: Float[AnyArray, 'N H W C'], epsilon: float = EPSILON
) -> tuple[Float[Array, 'N 1 1 C'], Float[Array, 'N 1 1 C']]:
    """Computes mu(x) and 1 / sigma(x) of StyleGAN Eq. 1 for each feature map of each image.

    Both statistics come out of one pass over the data, because the variance is computed from the first two moments
    rather than from deviations from a mean that is known first. E[x^2] - E[x]^2 cancels where the mean is large
    against the deviation, so the moments are taken about the central pixel, which is then near the mean. (Not a
    pixel at the edge: zero padding makes those differ from the others.)

    Args:
      x: [N, H, W, C].
      epsilon: added to the variance.

    Returns:
      mean: [N, 1, 1, C].
      factor: reciprocal standard deviation, [N, 1, 1, C].
    """
    row, column = x.shape[1] // 2, x.shape[2] // 2
    # The result does not depend on the shift, so no gradient needs to flow through it.
    shift = jax.lax.stop_gradient(x[:, row : row + 1, column : column + 1])
    x = x - shift
    mean, square = (mean_over_pixels(moment) for moment in (x, jnp.square(x)))
    return shift + mean, reciprocal_deviation(mean, square, epsilon)


def reciprocal_deviation(
    mean: Float[AnyArray, '*shape'], square: Float[AnyArray, '*shape'], epsilon: float = EPSILON
) -> Float[Array, '*shape']:
    """Returns one over the standard deviation of values with this mean and this mean square."""
    # Rounding can make the difference of the two moments slightly negative.
    return jax.lax.rsqrt(jnp.maximum(square - jnp.square(mean), 0) + epsilon)


def mean_over_pixels(x: Float[AnyArray, 'N H W C']) -> Float[Array, 'N 1 1 C']:
    """Averages each feature map of each image: [N, H, W, C] -> [N, 1, 1, C]."""
    batch, height, width, channels = x.shape
    return (_sum_rows(x, (batch,), (height, width)) / (height * width)).reshape(batch, 1, 1, channels)


def stylize(x: Float[AnyArray, 'N H W C'], style: Float[AnyArray, 'N 2*C']) -> Float[Array, 'N H W C']:
    """Scales and shifts normalised features: y_s * x + y_b of StyleGAN Eq. 1.

    Args:
      x: normalised features, [N, H, W, C].
      style: y = (y_s - 1, y_b), a learned affine map of w, [N, 2 * C]. The network learns scales less one, so that
        styles of zero change nothing.

    Returns:
      [N, H, W, C].
    """
    scale, bias = jnp.split(style[:, None, None, :], 2, axis=-1)
    return x * (scale + 1) + bias


def sum_over_images(x: Float[AnyArray, 'N H W C']) -> Float[Array, ' C']:
    """Adds up each channel over images and pixels: [N, H, W, C] -> [C]."""
    return _sum_rows(x, (), x.shape[:3])


def sum_of_squares(arrays: Sequence[Float[AnyArray, '...']]) -> Float[Array, '']:
    """Adds up the squares of all elements of all arrays; exact products, and no derivative."""

    def on_cpu(*arrays):
        # A product of vectors is the fastest sum on CPUs, and takes accelerators several launches.
        return sum(jnp.vdot(x, x, precision='highest') for x in arrays)

    def on_accelerator(*arrays):
        # Most arrays of a network are small, and a kernel for each takes longer than its work. The barrier has them
        # copied next to one another.
        small = [x.ravel() for x in arrays if x.size <= _SMALL]
        together = [jax.lax.optimization_barrier(jnp.concatenate(small))] if small else []
        return sum(jnp.sum(jnp.square(x)) for x in [*together, *(x for x in arrays if x.size > _SMALL)])

    return by_platform(*arrays, cpu=on_cpu, default=on_accelerator)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _sum_rows(x, kept, summed):
    """Adds up axes in the middle: [*kept, *summed, C] -> [*kept, C].

    Written as two sums, in an order that suits the platform. The derivative is a broadcast whatever the order, and is
    written by hand so that the barrier and the product below do not appear in it.
    """
    axes = tuple(range(len(kept), len(kept) + len(summed)))

    def on_cpu(x):
        # The last axis is summed by a product with ones: XLA:CPU merges two sums into one, and then reads memory with
        # a large stride, one addition after another.
        return jnp.matmul(jnp.ones(summed[-1], x.dtype), jnp.sum(x, axis=axes[:-1]), precision='highest')

    def on_accelerator(x):
        # Each row by itself first, which many threads can do in parallel. The barrier keeps the two sums apart: of
        # one sum XLA:GPU computes the summands in a kernel of their own and stores them in float32. Long sums of rows
        # are apart once more, because a single block of threads would add them up one after another (28 us for 4096
        # rows of 32 features, measured).
        # Sums in another layout would not come from the kernel that makes the summands.
        rows = jax.lax.optimization_barrier(row_major(jnp.sum(x, axis=axes[-1])))
        left = axes[:-1]
        if len(left) > 1 and math.prod(summed[:-1]) > _LONG_SUM:
            rows, left = jax.lax.optimization_barrier(jnp.sum(rows, axis=left[-1])), left[:-1]
        return jnp.sum(rows, axis=left)

    return by_platform(x, cpu=on_cpu, default=on_accelerator)


_sum_rows.defvjp(
    lambda x, kept, summed: (_sum_rows(x, kept, summed), None),
    lambda kept, summed, _, dy: (
        jnp.broadcast_to(dy.reshape(*kept, *(1 for _ in summed), -1), (*kept, *summed, dy.shape[-1])),
    ),
)


def adaptive_instance_norm(
    content: Float[AnyArray, 'N H W C'], style: Float[AnyArray, 'N h w C']
) -> Float[Array, 'N H W C']:
    """Transfers the statistics of style features to content features (AdaIN, Huang and Belongie 2017, Eq. 8).

    StyleGAN's own form of AdaIN (Eq. 1) takes scale and bias from w instead: see `stylize`.

    Args:
      content: features [N, H, W, C].
      style: features [N, h, w, C], of any size.

    Returns:
      `content` with the mean and standard deviation that each feature map has in `style`, [N, H, W, C].
    """
    mean = jnp.mean(style, axis=(1, 2), keepdims=True)
    deviation = jnp.sqrt(jnp.var(style, axis=(1, 2), keepdims=True) + EPSILON)
    return instance_norm(content) * deviation + mean


def upscale(x: Float[AnyArray, 'N H W C']) -> Float[Array, 'N 2*H 2*W C']:
    """Repeats every pixel (nearest-neighbour upsampling): [N, H, W, C] -> [N, 2 * H, 2 * W, C]."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def upscale_bilinear(x: Float[AnyArray, 'N H W C']) -> Float[Array, 'N 2*H 2*W C']:
    """Doubles the size by linear interpolation: [N, H, W, C] -> [N, 2 * H, 2 * W, C].

    Centres of pixels stay in place, so that each new pixel is 3/4 of the nearest old one and 1/4 of the next one along
    each axis. Beyond the edges the image goes on with its last pixel.
    """
    for axis in (1, 2):
        size = x.shape[axis]
        padded = jnp.pad(x, [(1, 1) if i == axis else (0, 0) for i in range(4)], mode='edge')
        before, after = (jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in (0, 2))
        pairs = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])
    return x


def downscale(x: Float[AnyArray, 'N H W C']) -> Float[Array, 'N H//2 W//2 C']:
    """Averages 2x2 pixels: [N, H, W, C] -> [N, H / 2, W / 2, C]."""
    batch, height, width, channels = x.shape
    return jnp.mean(x.reshape(batch, height // 2, 2, width // 2, 2, channels), axis=(2, 4))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def blur(x: Float[AnyArray, 'N H W C'], taps: Sequence[float]) -> Float[AnyArray, 'N H W C']:
    """Low-pass filters with the separable filter `taps`, zero-padded.

    With (1, 2, 1), after each upsampling by repeated pixels and before each downsampling by averages, it makes both
    bilinear (StyleGAN Section 2.1, configuration B, and Appendix C).

    Args:
      x: [N, H, W, C].
      taps: an odd number of weights, which are scaled to sum 1; () does nothing.

    Returns:
      [N, H, W, C].
    """
    if not taps:
        return x
    # Additions of shifted images rather than a depthwise convolution, and both axes in one expression: this fuses
    # with the elementwise work around it. (In half precision `kernels.two_pass_blur` is faster on a GPU.)
    half, (_, height, width, _) = len(taps) // 2, x.shape
    padded = jnp.pad(at_least_float32(x), ((0, 0), (half, half), (half, half), (0, 0)))
    sums = {}  # weight -> sum of the pixels that have it: one product for each different weight
    for i, row in enumerate(taps):
        for j, column in enumerate(taps):
            sums[row * column] = sums.get(row * column, 0) + padded[:, i : i + height, j : j + width]
    return sum(pixels * (weight / sum(taps) ** 2) for weight, pixels in sums.items()).astype(x.dtype)


# The adjoint of a zero-padded correlation is the correlation with the reversed filter.
blur.defvjp(lambda x, taps: (blur(x, taps), None), lambda taps, _, dy: (blur(dy, taps[::-1]),))


def minibatch_stddev(
    x: Float[AnyArray, 'N H W C'], group_size: int, num_features: int, replicas: int = 1
) -> Float[Array, 'N H W C+{num_features}']:
    """Appends the standard deviation within groups of samples as feature maps (ProGAN Section 3).

    Each replica has N / replicas consecutive samples. They are divided into M groups as the official code does it:
    group m holds samples m, m + M, m + 2M, ...

    Args:
      x: [N, H, W, C].
      group_size: samples per group, at most a replica's (a smaller batch is one group).
      num_features: channels to append; each is the mean over C / num_features feature maps.
      replicas: number of replicas whose samples `x` holds, one replica after another.

    Returns:
      [N, H, W, C + num_features].

    Raises:
      ValueError: the samples cannot be divided into such groups.
    """
    batch, height, width, channels = x.shape
    dtype, x = x.dtype, at_least_float32(x)
    group_size = min(group_size, batch // replicas)
    if batch % (replicas * group_size):
        raise ValueError(
            f'{batch} images of {replicas} replicas cannot be divided into groups of {group_size}; '
            'choose another batch or another mbstd_group_size'
        )
    # R replicas, G samples a group, M groups a replica, F appended channels.
    groups = x.reshape(replicas, group_size, -1, height, width, num_features, channels // num_features)
    # 1. Standard deviation of each feature at each pixel over the samples of a group.
    deviation = jnp.sqrt(jnp.var(groups, axis=1, keepdims=True) + EPSILON)  # [R, 1, M, H, W, F, C / F]
    # 2. Its mean over pixels and features is one number for each group and appended channel. Pixels come first: their
    # mean for each feature is many sums at once, where a mean over both is few long ones.
    statistic = mean_over_pixels(deviation.reshape(-1, height, width, channels))
    statistic = statistic.reshape(replicas, 1, -1, num_features, channels // num_features)
    statistic = jnp.mean(statistic, axis=4)  # [R, 1, M, F]
    # 3. Every pixel of every sample of the group gets this number.
    statistic = jnp.broadcast_to(statistic, (replicas, group_size, *statistic.shape[2:]))  # [R, G, M, F]
    statistic = statistic.reshape(batch, 1, 1, num_features)
    statistic = jnp.broadcast_to(statistic, (batch, height, width, num_features))
    return jnp.concatenate([x, statistic], axis=-1).astype(dtype)


def fade(
    older: Float[AnyArray, 'N H W C'], newer: Float[AnyArray, 'N H W C'], alpha: float | Float[AnyArray, '']
) -> Float[AnyArray, 'N H W C']:
    """Interpolates from the lower stage (alpha 0) to the newest one (alpha 1): the fade-in of ProGAN Figure 2.

    The generator fades its images, the discriminator its features; `config.schedule.setting_at` gives alpha.
    """
    return (at_least_float32(newer) * alpha + at_least_float32(older) * (1 - alpha)).astype(newer.dtype)
