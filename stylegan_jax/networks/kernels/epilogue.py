"""Epilogues, the elementwise work and the statistics after a convolution, with derivatives that cost little time.

On accelerators these operations cost as much as the convolutions. Their derivatives are written by hand
(`jax.custom_vjp`), and in half precision it is said which arrays are stored:

- The discriminator keeps the output of a convolution for the backward pass, and recomputes the slope of the rectifier
  from it, which is cheap.
- The generator keeps the blurred output of a convolution in place of the output, where there is a blur: to recompute it
  would be the dearest part (see `blur`). Noise, bias and rectifier are recomputed from it for the moments, for the
  result, and for their derivatives.

XLA shares equal subexpressions, and decides by itself which of them it stores. An `optimization_barrier` behind an
array has it stored; one before an expression makes it another value to the compiler, so that it is recomputed.

The operations are those of `ops`; tests hold these functions against plain compositions of them.
"""

import functools

import jax
import jax.numpy as jnp
from jax.lax import optimization_barrier

from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels.storage import is_half_precision, stored
from stylegan_jax.networks.kernels.two_pass_blur import blur

# --- The discriminator's epilogue.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def rectify_channels(
    x: jax.Array, bias: jax.Array, nonlinearity: str, taps: tuple[float, ...] = (), columns_only: bool = False
) -> jax.Array:
    """Adds biases, applies the rectifier, and blurs: the discriminator's epilogue.

    Args:
      x: [N, H, W, C].
      bias: [C].
      nonlinearity: see `ops.rectify`.
      taps: see `ops.blur`; () for no blur.
      columns_only: blur along columns only, because the convolution that follows does so along rows.

    Returns:
      [N, H, W, C] in the type of `x`.
    """
    rectified = ops.rectify(ops.at_least_float32(x) + bias, nonlinearity)
    return blur(rectified, taps, x.dtype, columns_only=columns_only).astype(x.dtype)


# Let s be the slope of the rectifier at x + bias, and B the blur. The derivative of the epilogue applied to a tangent t
# is B(s * t), and its adjoint applied to dy is s * B'(dy), B' being the blur with reversed taps. Both are linear in
# their last argument, and s is piecewise constant, so that x and bias get no gradient from either. As with the
# convolutions, the two are one another's derivatives: the second derivatives that R1 needs are these two again.


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _rectify_tangent(x, bias, tangent, nonlinearity, taps, columns_only):
    """B(s * tangent): [N, H, W, C]."""
    x, tangent = _apart(x, tangent)
    masked = _slope(x, bias, nonlinearity) * ops.at_least_float32(tangent)
    return blur(masked, taps, x.dtype, columns_only=columns_only).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _rectify_cotangent(x, bias, dy, nonlinearity, taps, columns_only):
    """s * B'(dy): [N, H, W, C]."""
    x, dy = _apart(x, dy)
    slope = _slope(x, bias, nonlinearity)
    return (slope * blur(ops.at_least_float32(dy), taps[::-1], x.dtype, columns_only=columns_only)).astype(x.dtype)


def _slope(x, bias, nonlinearity):
    return ops.rectifier_slope(ops.at_least_float32(x) + bias, nonlinearity)


def _apart(x, other):
    """Returns both arrays, in half precision behind one barrier, which makes this x another value to the compiler.

    XLA then recomputes the slope in each of its users. If it knew that they share the slope, it would write masks of
    full size, in kernels with so many results that one took 5.6 ms (of 69 in a step at 256x256).
    """
    return optimization_barrier((x, other)) if is_half_precision(x.dtype) else (x, other)


def _rectify_backward(nonlinearity, taps, columns_only, saved, dy):
    dx = _rectify_cotangent(*saved, dy, nonlinearity, taps, columns_only)
    return dx, ops.sum_over_images(ops.at_least_float32(dx)).astype(saved[1].dtype)


rectify_channels.defvjp(lambda x, bias, *static: (rectify_channels(x, bias, *static), (x, bias)), _rectify_backward)
_rectify_tangent.defvjp(
    lambda x, bias, tangent, *static: (_rectify_tangent(x, bias, tangent, *static), (x, bias)),
    lambda nonlinearity, taps, columns_only, saved, dy: (
        *map(jnp.zeros_like, saved),
        _rectify_cotangent(*saved, dy, nonlinearity, taps, columns_only),
    ),
)
_rectify_cotangent.defvjp(
    lambda x, bias, dy, *static: (_rectify_cotangent(x, bias, dy, *static), (x, bias)),
    lambda nonlinearity, taps, columns_only, saved, t: (
        *map(jnp.zeros_like, saved),
        _rectify_tangent(*saved, t, nonlinearity, taps, columns_only),
    ),
)


# --- The generator's epilogue.

# Type of what the blur stores in half precision. Rounded to bfloat16 its results would change the sign of so many
# features near zero that the gradient had twice the error. float16 has an eighth of the rounding, and range enough for
# features with deviations from 1e-3 to 1e4: they are convolutions of normalised features. Beyond 65504 they saturate.
_BLURRED = jnp.float16


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def stylize_channels(
    x: jax.Array,
    noise: jax.Array | None,
    strength: jax.Array | None,
    bias: jax.Array,
    style: jax.Array,
    nonlinearity: str,
    taps: tuple[float, ...] = (),
    columns_only: bool = False,
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
      columns_only: blur along columns only, because the convolution before has done so along rows.

    Returns:
      [N, H, W, C] in the type of `x`.
    """
    return _stylize_forward(x, noise, strength, bias, style, nonlinearity, taps, columns_only)[0]


def _stylize_forward(x, noise, strength, bias, style, nonlinearity, taps, columns_only):
    storage = _storage(x.dtype, taps)
    if taps and storage:
        blurred = blur(ops.at_least_float32(x), taps, _BLURRED, columns_only=columns_only, saturates=True)
        features, mean, factor = _stored_with_statistics(blurred, noise, strength, bias, nonlinearity)
        inputs = features, noise, strength, bias
    else:
        inputs = blur(ops.at_least_float32(x), taps, x.dtype, columns_only=columns_only), noise, strength, bias
        mean, factor = _statistics(inputs, nonlinearity, storage)
    y = ops.stylize((_rectified(inputs, nonlinearity, storage) - mean) * factor, style).astype(x.dtype)  # Eq. 1
    return y, (inputs, style, mean, factor)


def _storage(dtype, taps):
    """Returns the type in which features before the noise are stored; None for float32 and float64, where XLA decides.

    Without a blur they are the output of the convolution.
    """
    return (_BLURRED if taps else dtype) if is_half_precision(dtype) else None


def _stored_with_statistics(blurred, noise, strength, bias, nonlinearity):
    """Returns the blurred features, which are stored, and the statistics of the rectified features (half precision)."""
    rectified = _rectified((blurred, noise, strength, bias), nonlinearity, None)
    rows = [ops.row_major(jnp.sum(moment, axis=2)) for moment in (rectified, jnp.square(rectified))]
    # One barrier for the features and for the sums of their rows has one kernel store all three.
    blurred, *rows = stored(blurred, _BLURRED, 1, *rows)
    pixels = blurred.shape[1] * blurred.shape[2]
    mean, square = (jnp.sum(row, axis=1)[:, None, None] / pixels for row in rows)  # [N, 1, 1, C]
    return blurred, mean, ops.reciprocal_deviation(mean, square)


def _rectified(inputs, nonlinearity, storage, recomputation=0):
    """Returns the features that AdaIN normalises, from those before the noise.

    Each number of a recomputation is another value to XLA. It recomputes what is derived from it, rather than sharing
    it between two users (and storing it).
    """
    features, noise, strength, bias = inputs
    if storage and recomputation:
        (features,) = stored(features, storage, recomputation)
    pre = features + bias
    if noise is not None:
        pre = pre + noise * strength
    return ops.rectify(pre, nonlinearity)


def _statistics(inputs, nonlinearity, storage):
    """Returns mean and reciprocal deviation of the rectified features, like `ops.instance_statistics`.

    In half precision they are from raw moments (about zero rather than about a pixel): there rounding loses more than
    cancellation. Each moment recomputes its input, which lets XLA fuse both into one pass; if they shared it, XLA would
    store it.
    """
    if not storage:
        return ops.instance_statistics(_rectified(inputs, nonlinearity, storage))
    mean = ops.mean_over_pixels(_rectified(inputs, nonlinearity, storage, 1))
    square = ops.mean_over_pixels(jnp.square(_rectified(inputs, nonlinearity, storage, 2)))
    return mean, ops.reciprocal_deviation(mean, square)


def _stylize_backward(nonlinearity, taps, columns_only, saved, dy):
    """Derivative of `stylize_channels`.

    With r the rectified features, n = (r - mean) * factor the normalised ones, g the gradient of n (which is dy times
    the scale of the style) and <.> the mean over the pixels of a feature map, instance normalisation has the derivative

        dr = factor * (g - <g> - n * <g * n>).

    The scale is constant over pixels, so that means of dy and of dy * n suffice; times the number of pixels these are
    the gradients of the style as well.
    """
    inputs, style, mean, factor = saved
    _, noise, strength, bias = inputs
    dtype, (_, height, width, channels) = dy.dtype, dy.shape  # the type of activations
    storage = _storage(dtype, taps)
    if storage:
        # XLA would reshape the gradient for one of the two means below, and not compute both in one kernel.
        dy = optimization_barrier(dy)
    dy = ops.at_least_float32(dy)
    # Recomputed once for the two means (a reduction), and once for the elementwise result, which has to wait for them.
    # The numbers go on from those of the statistics.
    for_means, for_result = (_rectified(inputs, nonlinearity, storage, number) for number in (3, 4))
    dy_mean, dy_normal_mean = map(ops.mean_over_pixels, (dy, dy * ((for_means - mean) * factor)))
    scale = style[:, None, None, :channels] + 1
    d = (dy - dy_mean - (for_result - mean) * factor * dy_normal_mean) * (scale * factor)
    # A rectifier keeps the sign, so that its slope can be read off its result.
    d = d * ops.rectifier_slope(for_result, nonlinearity)
    if storage:
        (d,) = stored(d, dtype)
    dstyle = jnp.concatenate([dy_normal_mean, dy_mean], axis=-1)[:, 0, 0] * (height * width)
    dnoise = dstrength = None
    if noise is not None:
        dnoise = jnp.sum(d * strength, axis=-1, keepdims=True)
        dnoise = jnp.sum(dnoise, axis=0, keepdims=True) if noise.shape[0] == 1 else dnoise
        dnoise, dstrength = dnoise.astype(noise.dtype), ops.sum_over_images(d * noise).astype(strength.dtype)
    dbias = ops.sum_over_images(d).astype(bias.dtype)
    dx = blur(d, taps[::-1], dtype, columns_only=columns_only).astype(dtype)
    return dx, dnoise, dstrength, dbias, dstyle.astype(style.dtype)


stylize_channels.defvjp(_stylize_forward, _stylize_backward)
