"""What follows a convolution, elementwise but for statistics, with derivatives that cost few passes over memory.

On accelerators these passes are as dear as the convolutions. Short activations are therefore computed again for
derivatives rather than kept: what a convolution wrote and what the next one reads is all that is stored, and an
`optimization_barrier` stands between a first computation and the second, or the compiler would see one and store it.
"""
import functools

import jax
import jax.numpy as jnp
from jax.lax import optimization_barrier

from stylegan_jax.networks import ops


def rectify_channels(x, bias, nonlinearity, taps=()):
    """Adds biases, applies the rectifier, and blurs: the discriminator's epilogue.

    Args:
      x: [N, H, W, C].
      bias: [C].
      nonlinearity: see `ops.rectify`.
      taps: see `ops.blur`; () for no blur.

    Returns:
      [N, H, W, C] in the type of `x`.
    """
    return _rectify(x, bias, nonlinearity, taps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _rectify(x, bias, nonlinearity, taps):
    return ops.blur(ops.rectify(ops.widen(x) + bias, nonlinearity), taps).astype(x.dtype)


# The derivative of a rectifier is linear in what it is applied to, and constant in x and bias wherever it is defined.
# It and its adjoint define one another's derivatives, so that R1's second ones are no more than these two either.
@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _push(x, bias, tangent, nonlinearity, taps):
    return ops.blur(_slope(x, bias, nonlinearity) * ops.widen(tangent), taps).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _pull(x, bias, dy, nonlinearity, taps):
    return (_slope(x, bias, nonlinearity) * ops.blur(ops.widen(dy), taps[::-1])).astype(x.dtype)


def _slope(x, bias, nonlinearity):
    return ops.rectifier_slope(ops.widen(optimization_barrier(x)) + bias, nonlinearity)


def _rectify_backward(nonlinearity, taps, saved, dy):
    dx = _pull(*saved, dy, nonlinearity, taps)
    return dx, ops.sum_over_images(ops.widen(dx)).astype(saved[1].dtype)


_rectify.defvjp(
    lambda x, bias, nonlinearity, taps: (_rectify(x, bias, nonlinearity, taps), (x, bias)), _rectify_backward)
_push.defvjp(
    lambda x, bias, tangent, *static: (_push(x, bias, tangent, *static), (x, bias)),
    lambda nonlinearity, taps, saved, dy: (*map(jnp.zeros_like, saved), _pull(*saved, dy, nonlinearity, taps)))
_pull.defvjp(
    lambda x, bias, dy, *static: (_pull(x, bias, dy, *static), (x, bias)),
    lambda nonlinearity, taps, saved, t: (*map(jnp.zeros_like, saved), _push(*saved, t, nonlinearity, taps)))


def features_of_colours(images, weight, bias, nonlinearity, dtype):
    """Convolves colours, adds biases and applies the rectifier: how images enter the discriminator.

    Args:
      images: [N, H, W, channels].
      weight: [channels, C].
      bias: [C].
      nonlinearity: see `ops.rectify`.
      dtype: of the result.

    Returns:
      [N, H, W, C].
    """
    if jnp.dtype(dtype).itemsize < 4:       # as sums, which fuse; and images are much smaller than features
        @jax.checkpoint
        def features(images, weight, bias):
            sums = sum(images[..., i:i + 1] * weight[i] for i in range(images.shape[-1]))
            return ops.rectify(sums + bias, nonlinearity).astype(dtype)
        return features(images, weight, bias)
    images = jnp.concatenate([images, jnp.ones_like(images[..., :1])], axis=-1)
    return ops.rectify(ops.dense(images, jnp.concatenate([weight, bias[None]])), nonlinearity)


def stylize_channels(x, noise, strength, bias, style, nonlinearity, taps=()):
    """Blurs, adds noise and biases, applies the rectifier, normalises, styles: the generator's epilogue (Figure 1b).

    Args:
      x: [N, H, W, C].
      noise: [1 or N, H, W, 1], or None for none.
      strength: of the noise, [C], or None.
      bias: [C].
      style: see `ops.stylize`, [N, 2 * C].
      nonlinearity: see `ops.rectify`.
      taps: see `ops.blur`; () for no blur.

    Returns:
      [N, H, W, C] in the type of `x`.
    """
    return _stylize(x, noise, strength, bias, style, nonlinearity, taps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _stylize(x, noise, strength, bias, style, nonlinearity, taps):
    return _stylize_forward(x, noise, strength, bias, style, nonlinearity, taps)[0]


def _rectified(x, noise, strength, bias, nonlinearity, taps):
    """What is normalised: rounded, so that it is the same whether it is kept or computed again."""
    pre = ops.blur(ops.widen(x), taps) + bias
    if noise is not None:
        pre = pre + noise * strength
    return ops.widen(ops.rectify(pre, nonlinearity).astype(x.dtype))


def _stylize_forward(x, noise, strength, bias, style, nonlinearity, taps):
    inputs = x, noise, strength, bias
    rectified = _rectified(*inputs, nonlinearity, taps)
    copies = _copies(inputs, rectified, nonlinearity, taps)
    shift = ops.central_pixel(copies[0])
    mean, factor = ops.instance_statistics(copies[1], shift)
    y = ops.stylize((rectified - mean) * factor, style).astype(x.dtype)
    return y, (inputs, None if _is_short(x) else rectified, style, mean, factor)


def _is_short(x):
    return x.dtype.itemsize < 4


def _copies(inputs, kept, nonlinearity, taps):
    """Returns four times the same as `_rectified`; each is computed from the start where it is short, to be fused."""
    x, *rest = inputs
    if not _is_short(x):
        return [kept] * 4
    copies = []
    for _ in range(4):
        x = optimization_barrier(x)           # one after another: the compiler would see that equal ones are equal
        copies.append(_rectified(x, *rest, nonlinearity, taps))
    return copies


def _stylize_backward(nonlinearity, taps, saved, dy):
    inputs, kept, style, mean, factor = saved
    x, noise, strength, bias = inputs
    pixels, scale, dy = x.shape[1] * x.shape[2], style[:, None, None, :x.shape[-1]] + 1, ops.widen(dy)
    *_, rectified, again = _copies(inputs, kept, nonlinearity, taps)        # the others were the forward pass's
    normal = (rectified - mean) * factor
    dy_mean, along = (ops.mean_over_pixels(product) for product in (dy, dy * normal))
    d = (dy - dy_mean - (again - mean) * factor * along) * (scale * factor)
    d = (d * ops.rectifier_slope(again, nonlinearity)).astype(x.dtype)       # a rectifier keeps the sign
    wide = ops.widen(d)
    dstyle = jnp.concatenate([along, dy_mean], axis=-1)[:, 0, 0] * pixels
    dnoise = dstrength = None
    if noise is not None:
        dnoise = jnp.sum(wide * strength, axis=-1, keepdims=True)
        dnoise = jnp.sum(dnoise, axis=0, keepdims=True) if noise.shape[0] == 1 else dnoise
        dnoise, dstrength = dnoise.astype(noise.dtype), ops.sum_over_images(wide * noise).astype(strength.dtype)
    dbias = ops.sum_over_images(wide).astype(bias.dtype)
    return ops.blur(d, taps[::-1]), dnoise, dstrength, dbias, dstyle.astype(style.dtype)


_stylize.defvjp(_stylize_forward, _stylize_backward)
