"""Epilogues, the elementwise work and the statistics after a convolution, with derivatives that cost few memory passes.

On accelerators these operations are limited by memory bandwidth, and cost as much as the convolutions. Two things keep
the bytes low:

- Derivatives are written by hand (`jax.custom_vjp`). With bfloat16 and float16 activations only the output of a
  convolution and the input of the next one are stored; everything in between is recomputed in the backward pass.
- XLA shares equal subexpressions, and stores what several kernels read. Where an expression is to be recomputed,
  its input comes from behind an `optimization_barrier`, which makes it another value to the compiler
  (`_behind_barriers`). Each recomputation then fuses into the one kernel that needs it.

The operations are those of `ops`; tests hold these functions against plain compositions of them.
"""

import functools

import jax
import jax.numpy as jnp
from jax.lax import optimization_barrier

from stylegan_jax.networks import ops


def _is_half_precision(dtype):
    """Whether this is bfloat16 or float16."""
    return jnp.dtype(dtype).itemsize < 4


# --- The discriminator's epilogue.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def rectify_channels(x: jax.Array, bias: jax.Array, nonlinearity: str, taps: tuple[float, ...] = ()) -> jax.Array:
    """Adds biases, applies the rectifier, and blurs: the discriminator's epilogue.

    Args:
      x: [N, H, W, C].
      bias: [C].
      nonlinearity: see `ops.rectify`.
      taps: see `ops.blur`; () for no blur.

    Returns:
      [N, H, W, C] in the type of `x`.
    """
    return ops.blur(ops.rectify(ops.at_least_float32(x) + bias, nonlinearity), taps).astype(x.dtype)


# Let s be the slope of the rectifier at x + bias, and B the blur. The derivative of the epilogue applied to a tangent t
# is B(s * t), and its adjoint applied to dy is s * B'(dy), B' being the blur with reversed taps. Both are linear in
# their last argument, and s is piecewise constant, so that x and bias get no gradient from either. As with the
# convolutions, the two are one another's derivatives: the second derivatives that R1 needs are these two again.


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _rectify_tangent(x, bias, tangent, nonlinearity, taps):
    """B(s * tangent): [N, H, W, C]."""
    return ops.blur(_slope(x, bias, nonlinearity) * ops.at_least_float32(tangent), taps).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _rectify_cotangent(x, bias, dy, nonlinearity, taps):
    """s * B'(dy): [N, H, W, C]."""
    return (_slope(x, bias, nonlinearity) * ops.blur(ops.at_least_float32(dy), taps[::-1])).astype(x.dtype)


def _slope(x, bias, nonlinearity):
    # The barrier keeps XLA from storing x + bias, or the slope, of the forward pass.
    return ops.rectifier_slope(ops.at_least_float32(optimization_barrier(x)) + bias, nonlinearity)


def _rectify_backward(nonlinearity, taps, saved, dy):
    dx = _rectify_cotangent(*saved, dy, nonlinearity, taps)
    return dx, ops.sum_over_images(ops.at_least_float32(dx)).astype(saved[1].dtype)


rectify_channels.defvjp(lambda x, bias, *static: (rectify_channels(x, bias, *static), (x, bias)), _rectify_backward)
_rectify_tangent.defvjp(
    lambda x, bias, tangent, *static: (_rectify_tangent(x, bias, tangent, *static), (x, bias)),
    lambda nonlinearity, taps, saved, dy: (
        *map(jnp.zeros_like, saved),
        _rectify_cotangent(*saved, dy, nonlinearity, taps),
    ),
)
_rectify_cotangent.defvjp(
    lambda x, bias, dy, *static: (_rectify_cotangent(x, bias, dy, *static), (x, bias)),
    lambda nonlinearity, taps, saved, t: (*map(jnp.zeros_like, saved), _rectify_tangent(*saved, t, nonlinearity, taps)),
)


# --- From colours to features (from_rgb): a 1x1 convolution of very few channels, bias and rectifier.


def features_of_colours(
    images: jax.Array, weight: jax.Array, bias: jax.Array, nonlinearity: str, dtype: jax.typing.DTypeLike
) -> jax.Array:
    """Applies a 1x1 convolution, biases and the rectifier to colours: how images enter the discriminator.

    Args:
      images: [N, H, W, channels].
      weight: [channels, C].
      bias: [C].
      nonlinearity: see `ops.rectify`.
      dtype: of the result.

    Returns:
      [N, H, W, C].
    """
    if _is_half_precision(dtype):
        return _half_precision_features(images, weight, bias, nonlinearity, dtype)
    # The bias is the weight of one more channel, which is 1 everywhere. Then its gradient is part of a matrix product.
    images = jnp.concatenate([images, jnp.ones_like(images[..., :1])], axis=-1)
    # Flattened to a matrix [N * H * W, channels], or XLA transposes the features for the gradient of the weight.
    pixels = images.reshape(-1, images.shape[-1])
    features = ops.dense(pixels, jnp.concatenate([weight, bias[None]]))
    return ops.rectify(features.reshape(*images.shape[:3], -1), nonlinearity)


# In half precision the convolution is written as a sum of products, one per colour, which fuses with the work around
# it (a matrix product would not). Images are much smaller than features. Nothing of the size of the features is stored
# for derivatives, therefore: each function below recomputes the slope of the rectifier from the images.
#
# Every gradient is one or several reductions over the features. Each starts from its own recomputation, numbered by
# `recomputation`, so that XLA does not store what two of them could share. The numbers are counted up through the
# backward pass, and go on in its derivative: no two reductions in one program have the same one. With c colours:
#
#     first derivative     weight 1 to c, bias c + 1, images c + 2 to 2c + 1
#     second derivative    weight 2c + 2 to 3c + 1, the gradient dy that came in 3c + 2


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _half_precision_features(images, weight, bias, nonlinearity, dtype):
    return ops.rectify(_mix_colours(images, weight) + bias, nonlinearity).astype(dtype)


def _mix_colours(images, weight, recomputation=0):
    """The 1x1 convolution: [N, H, W, channels] by [channels, C] -> [N, H, W, C]."""
    return sum(_behind_barriers(images[..., i : i + 1], recomputation) * weight[i] for i in range(images.shape[-1]))


def _half_precision_features_backward(nonlinearity, _, saved, dy):
    count = saved[0].shape[-1]
    dbias = ops.sum_over_images(_masked(*saved, _behind_barriers(dy, count + 1), nonlinearity, count + 1))
    return (_colour_gradient(*saved, dy, nonlinearity), _weight_gradient(saved, saved[0], dy, nonlinearity, 1), dbias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _colour_gradient(images, weight, bias, dy, nonlinearity):
    """Gradient with respect to the images, [N, H, W, channels]: R1 differentiates it once more."""
    return jnp.stack(
        [
            jnp.sum(
                _masked(images, weight, bias, _behind_barriers(dy, recomputation), nonlinearity, recomputation) * row,
                axis=-1,
            )
            for recomputation, row in enumerate(weight, start=images.shape[-1] + 2)
        ],
        axis=-1,
    )


def _colour_gradient_backward(nonlinearity, saved, d):
    images, weight, bias, dy = saved
    first = 2 * images.shape[-1] + 2
    dweight = _weight_gradient(saved[:3], d, dy, nonlinearity, first)
    ddy = _masked(images, weight, bias, _mix_colours(d, weight), nonlinearity, first + images.shape[-1])
    # Images and biases matter only by way of the slope, which is piecewise constant.
    return jnp.zeros_like(images), dweight, jnp.zeros_like(bias), ddy.astype(dy.dtype)


def _weight_gradient(saved, colours, dy, nonlinearity, first):
    """Sum over images and pixels of masked dy times each colour: [channels, C].

    Args:
      saved: (images, weight, bias), which the slope is recomputed from.
      colours: [N, H, W, channels].
      dy: [N, H, W, C].
      nonlinearity: see `ops.rectify`.
      first: number of the first recomputation; there is one per channel.
    """
    return jnp.stack(
        [
            ops.sum_over_images(
                _masked(*saved, _behind_barriers(dy, first + i), nonlinearity, first + i) * colours[..., i : i + 1]
            )
            for i in range(colours.shape[-1])
        ]
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _masked(images, weight, bias, dy, nonlinearity, recomputation):
    """Multiplies dy [N, H, W, C] by the slope of the rectifier, recomputed; see `_behind_barriers`."""
    pre = _mix_colours(images, weight, recomputation) + bias
    return ops.rectifier_slope(pre, nonlinearity) * ops.at_least_float32(dy)


_half_precision_features.defvjp(
    lambda *arguments: (_half_precision_features(*arguments), arguments[:3]), _half_precision_features_backward
)
_colour_gradient.defvjp(lambda *arguments: (_colour_gradient(*arguments), arguments[:4]), _colour_gradient_backward)
# A product with a piecewise constant slope is its own adjoint in dy, and other arguments get no gradient. Of dy only
# the type is saved, in an empty array.
_masked.defvjp(
    lambda *arguments: (_masked(*arguments), (arguments[:3], jnp.zeros((), arguments[3].dtype))),
    lambda nonlinearity, _, saved, d: (
        *map(jnp.zeros_like, saved[0]),
        _masked(*saved[0], d, nonlinearity, 0).astype(saved[1].dtype),
    ),
)


def _behind_barriers(x, recomputation):
    """Returns x behind as many optimization barriers as `recomputation` says.

    XLA sees another value behind each number of barriers. It recomputes what is derived from them, rather than
    sharing it between two users (and storing it).
    """
    for _ in range(recomputation):
        x = optimization_barrier(x)
    return x


# --- The generator's epilogue.


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def stylize_channels(
    x: jax.Array,
    noise: jax.Array | None,
    strength: jax.Array | None,
    bias: jax.Array,
    style: jax.Array,
    nonlinearity: str,
    taps: tuple[float, ...] = (),
) -> jax.Array:
    """Blurs, adds noise and biases, applies the rectifier and AdaIN: the generator's epilogue (StyleGAN Figure 1b).

    Args:
      x: [N, H, W, C].
      noise: [1 or N, H, W, 1], or None for none.
      strength: of the noise, B of Figure 1b, [C], or None.
      bias: [C].
      style: y of StyleGAN Eq. 1, see `ops.stylize`, [N, 2 * C].
      nonlinearity: see `ops.rectify`.
      taps: see `ops.blur`; () for no blur.

    Returns:
      [N, H, W, C] in the type of `x`.
    """
    return _stylize_forward(x, noise, strength, bias, style, nonlinearity, taps)[0]


def _rectified(inputs, nonlinearity, taps):
    """Returns the features that AdaIN normalises.

    They are rounded to the type of the activations, so that they are the same whether they are stored or recomputed.
    """
    x, noise, strength, bias = inputs
    pre = ops.blur(ops.at_least_float32(x), taps) + bias
    if noise is not None:
        pre = pre + noise * strength
    return ops.at_least_float32(ops.rectify(pre, nonlinearity).astype(x.dtype))


def _stored_or_recomputed(inputs, stored, recomputation, nonlinearity, taps):
    """Returns the stored rectified features, or recomputes them if None; `recomputation` tells these apart."""
    if stored is not None:
        return stored
    x, *rest = inputs
    return _rectified((_behind_barriers(x, recomputation), *rest), nonlinearity, taps)


def _stylize_forward(x, noise, strength, bias, style, nonlinearity, taps):
    inputs = x, noise, strength, bias
    rectified = _rectified(inputs, nonlinearity, taps)
    # Float32 serves CPUs and exact comparisons. There memory is not the limit, and the features are stored.
    stored = None if _is_half_precision(x.dtype) else rectified
    if stored is None:
        mean, factor = _half_precision_statistics(inputs, nonlinearity, taps)
    else:
        mean, factor = ops.instance_statistics(rectified)
    y = ops.stylize((rectified - mean) * factor, style).astype(x.dtype)  # StyleGAN Eq. 1
    return y, (inputs, stored, style, mean, factor)


def _half_precision_statistics(inputs, nonlinearity, taps):
    """Returns mean and reciprocal deviation of the rectified features, like `ops.instance_statistics`.

    Raw moments (about zero rather than about a pixel): in bfloat16 and float16, rounding loses more than cancellation,
    and a pixel to be subtracted would take a pass of its own. Each moment recomputes its input, which lets XLA fuse
    both into one pass; if they shared it, XLA would store it.
    """
    mean, square = (
        ops.mean_over_pixels(power(_stored_or_recomputed(inputs, None, recomputation, nonlinearity, taps)))
        for recomputation, power in ((1, jnp.positive), (2, jnp.square))
    )
    return mean, ops.reciprocal_deviation(mean, square)


def _stylize_backward(nonlinearity, taps, saved, dy):
    """Derivative of `stylize_channels`.

    With r the rectified features, n = (r - mean) * factor the normalised ones, g the gradient of n (which is dy times
    the scale of the style) and <.> the mean over the pixels of a feature map, instance normalisation has the derivative

        dr = factor * (g - <g> - n * <g * n>).

    The scale is constant over pixels, so that means of dy and of dy * n suffice; times the number of pixels these are
    the gradients of the style as well.
    """
    inputs, stored, style, mean, factor = saved
    x, noise, strength, bias = inputs
    pixels, scale = x.shape[1] * x.shape[2], style[:, None, None, : x.shape[-1]] + 1
    dy = ops.at_least_float32(dy)
    # Recomputed once for the two means (a reduction), and once for the elementwise result, which has to wait for them.
    # The numbers go on from those of the statistics.
    for_means, for_result = (
        _stored_or_recomputed(inputs, stored, recomputation, nonlinearity, taps) for recomputation in (3, 4)
    )
    normal = (for_means - mean) * factor
    dy_mean, dy_normal_mean = (ops.mean_over_pixels(product) for product in (dy, dy * normal))
    d = (dy - dy_mean - (for_result - mean) * factor * dy_normal_mean) * (scale * factor)
    # A rectifier keeps the sign, so that its slope can be read off its result.
    d = (d * ops.rectifier_slope(for_result, nonlinearity)).astype(x.dtype)
    d_float32 = ops.at_least_float32(d)
    dstyle = jnp.concatenate([dy_normal_mean, dy_mean], axis=-1)[:, 0, 0] * pixels
    dnoise = dstrength = None
    if noise is not None:
        dnoise = jnp.sum(d_float32 * strength, axis=-1, keepdims=True)
        dnoise = jnp.sum(dnoise, axis=0, keepdims=True) if noise.shape[0] == 1 else dnoise
        dnoise, dstrength = dnoise.astype(noise.dtype), ops.sum_over_images(d_float32 * noise).astype(strength.dtype)
    dbias = ops.sum_over_images(d_float32).astype(bias.dtype)
    return ops.blur(d, taps[::-1]), dnoise, dstrength, dbias, dstyle.astype(style.dtype)


stylize_channels.defvjp(_stylize_forward, _stylize_backward)
