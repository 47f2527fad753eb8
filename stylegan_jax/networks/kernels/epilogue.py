"""Epilogues, the elementwise work and the statistics after a convolution, with derivatives that cost little time.

On accelerators these operations cost as much as the convolutions. Their derivatives are written by hand
(`jax.custom_vjp`), and in half precision it is said which arrays are stored:

- The discriminator keeps the output of a convolution for the backward pass, and recomputes the slope of the rectifier
  from it, which is cheap.
- The generator keeps the rectified features in place of the output of the convolution. Their moments, the slope of the
  rectifier and the normalised features are read off them. To recompute them from the output of the convolution would
  repeat the blur, which is the dearest part (see `blur`).

XLA shares equal subexpressions, and decides by itself which of them it stores. An `optimization_barrier` behind an array
has it stored; one before an expression makes it another value to the compiler, so that it is recomputed.

The operations are those of `ops`; tests hold these functions against plain compositions of them.
"""

import functools

import jax
import jax.numpy as jnp
from jax.lax import optimization_barrier

from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels.blur import blur, is_half_precision

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
    return blur(ops.rectify(ops.at_least_float32(x) + bias, nonlinearity), taps, x.dtype).astype(x.dtype)


# Let s be the slope of the rectifier at x + bias, and B the blur. The derivative of the epilogue applied to a tangent t
# is B(s * t), and its adjoint applied to dy is s * B'(dy), B' being the blur with reversed taps. Both are linear in
# their last argument, and s is piecewise constant, so that x and bias get no gradient from either. As with the
# convolutions, the two are one another's derivatives: the second derivatives that R1 needs are these two again.


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _rectify_tangent(x, bias, tangent, nonlinearity, taps):
    """B(s * tangent): [N, H, W, C]."""
    return blur(_slope(x, bias, nonlinearity) * ops.at_least_float32(tangent), taps, x.dtype).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _rectify_cotangent(x, bias, dy, nonlinearity, taps):
    """s * B'(dy): [N, H, W, C]."""
    return (_slope(x, bias, nonlinearity) * blur(ops.at_least_float32(dy), taps[::-1], x.dtype)).astype(x.dtype)


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


def _stylize_forward(x, noise, strength, bias, style, nonlinearity, taps):
    pre = blur(ops.at_least_float32(x), taps, x.dtype) + bias
    if noise is not None:
        pre = pre + noise * strength
    rectified, mean, factor = _with_statistics(ops.rectify(pre, nonlinearity).astype(x.dtype))
    y = ops.stylize((ops.at_least_float32(rectified) - mean) * factor, style).astype(x.dtype)  # StyleGAN Eq. 1
    return y, (rectified, noise, strength, bias, style, mean, factor)


def _stored(x):
    """Returns an array that XLA stores, if it is in half precision, rather than computing it in each of its users.

    Float32 serves CPUs and exact comparisons; there XLA decides.
    """
    return optimization_barrier(x) if is_half_precision(x.dtype) else x


def _with_statistics(rectified):
    """Returns the rectified features with their mean and reciprocal deviation, see `ops.instance_statistics`.

    In half precision these are from raw moments (about zero rather than about a pixel): there rounding loses more than
    cancellation.
    """
    if not is_half_precision(rectified.dtype):
        return rectified, *ops.instance_statistics(rectified)
    x = ops.at_least_float32(rectified)
    rows = [ops.row_major(jnp.sum(moment, axis=2)) for moment in (x, jnp.square(x))]
    # One barrier for the features and for the sums of their rows has one kernel store all three.
    rectified, *rows = optimization_barrier((rectified, *rows))
    pixels = x.shape[1] * x.shape[2]
    mean, square = (jnp.sum(row, axis=1)[:, None, None] / pixels for row in rows)  # [N, 1, 1, C]
    return rectified, mean, ops.reciprocal_deviation(mean, square)


def _stylize_backward(nonlinearity, taps, saved, dy):
    """Derivative of `stylize_channels`.

    With r the rectified features, n = (r - mean) * factor the normalised ones, g the gradient of n (which is dy times
    the scale of the style) and <.> the mean over the pixels of a feature map, instance normalisation has the derivative

        dr = factor * (g - <g> - n * <g * n>).

    The scale is constant over pixels, so that means of dy and of dy * n suffice; times the number of pixels these are
    the gradients of the style as well.
    """
    rectified, noise, strength, bias, style, mean, factor = saved
    dtype, (_, height, width, channels) = rectified.dtype, rectified.shape
    rectified, dy = ops.at_least_float32(rectified), ops.at_least_float32(dy)
    normal = (rectified - mean) * factor
    dy_mean, dy_normal_mean = ops.mean_over_pixels(dy), ops.mean_over_pixels(dy * normal)
    scale = style[:, None, None, :channels] + 1
    d = (dy - dy_mean - normal * dy_normal_mean) * (scale * factor)
    # A rectifier keeps the sign, so that its slope can be read off its result.
    d = _stored((d * ops.rectifier_slope(rectified, nonlinearity)).astype(dtype))
    d_float32 = ops.at_least_float32(d)
    dstyle = jnp.concatenate([dy_normal_mean, dy_mean], axis=-1)[:, 0, 0] * (height * width)
    dnoise = dstrength = None
    if noise is not None:
        dnoise = jnp.sum(d_float32 * strength, axis=-1, keepdims=True)
        dnoise = jnp.sum(dnoise, axis=0, keepdims=True) if noise.shape[0] == 1 else dnoise
        dnoise, dstrength = dnoise.astype(noise.dtype), ops.sum_over_images(d_float32 * noise).astype(strength.dtype)
    dbias = ops.sum_over_images(d_float32).astype(bias.dtype)
    dx = blur(d_float32, taps[::-1], dtype).astype(dtype)
    return dx, dnoise, dstrength, dbias, dstyle.astype(style.dtype)


stylize_channels.defvjp(_stylize_forward, _stylize_backward)
