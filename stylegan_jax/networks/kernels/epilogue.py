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


def _is_short(dtype):
    return jnp.dtype(dtype).itemsize < 4


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
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


rectify_channels.defvjp(lambda x, bias, *static: (rectify_channels(x, bias, *static), (x, bias)), _rectify_backward)
_push.defvjp(
    lambda x, bias, tangent, *static: (_push(x, bias, tangent, *static), (x, bias)),
    lambda nonlinearity, taps, saved, dy: (*map(jnp.zeros_like, saved), _pull(*saved, dy, nonlinearity, taps)),
)
_pull.defvjp(
    lambda x, bias, dy, *static: (_pull(x, bias, dy, *static), (x, bias)),
    lambda nonlinearity, taps, saved, t: (*map(jnp.zeros_like, saved), _push(*saved, t, nonlinearity, taps)),
)


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
    if _is_short(dtype):
        return _short_features(images, weight, bias, nonlinearity, dtype)
    images = jnp.concatenate([images, jnp.ones_like(images[..., :1])], axis=-1)
    pixels = images.reshape(-1, images.shape[-1])  # flat, or XLA turns features around for the weight's gradient
    features = ops.dense(pixels, jnp.concatenate([weight, bias[None]]))
    return ops.rectify(features.reshape(*images.shape[:3], -1), nonlinearity)


# As sums, which fuse. Images are much smaller than features, so whatever takes the slope computes it from them.
@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _short_features(images, weight, bias, nonlinearity, dtype):
    return ops.rectify(_mix(images, weight) + bias, nonlinearity).astype(dtype)


def _mix(images, weight, time=0):
    return sum(_again(images[..., i : i + 1], time) * weight[i] for i in range(images.shape[-1]))


def _short_features_backward(nonlinearity, _, saved, dy):
    count = saved[0].shape[-1]
    dbias = ops.sum_over_images(_masked(*saved, _again(dy, count + 1), nonlinearity, count + 1))
    return (_colour_gradient(*saved, dy, nonlinearity), _weight_gradient(saved, saved[0], dy, nonlinearity, 1), dbias)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _colour_gradient(images, weight, bias, dy, nonlinearity):
    return jnp.stack(
        [
            jnp.sum(_masked(images, weight, bias, _again(dy, time), nonlinearity, time) * row, axis=-1)
            for time, row in enumerate(weight, start=images.shape[-1] + 2)
        ],
        axis=-1,
    )


def _colour_gradient_backward(nonlinearity, saved, d):
    images, weight, bias, dy = saved
    first = 2 * images.shape[-1] + 2
    dweight = _weight_gradient(saved[:3], d, dy, nonlinearity, first)
    pushed = _masked(images, weight, bias, _mix(d, weight), nonlinearity, first + images.shape[-1])
    return jnp.zeros_like(images), dweight, jnp.zeros_like(bias), pushed.astype(dy.dtype)


def _weight_gradient(saved, colours, dy, nonlinearity, first):
    return jnp.stack(
        [
            ops.sum_over_images(
                _masked(*saved, _again(dy, first + i), nonlinearity, first + i) * colours[..., i : i + 1]
            )
            for i in range(colours.shape[-1])
        ]
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _masked(images, weight, bias, dy, nonlinearity, time):
    """Multiplies by the slope, which is constant wherever it is defined; `time` as in `_again`."""
    return ops.rectifier_slope(_mix(images, weight, time) + bias, nonlinearity) * ops.widen(dy)


_short_features.defvjp(lambda *arguments: (_short_features(*arguments), arguments[:3]), _short_features_backward)
_colour_gradient.defvjp(lambda *arguments: (_colour_gradient(*arguments), arguments[:4]), _colour_gradient_backward)
_masked.defvjp(
    lambda *arguments: (_masked(*arguments), (arguments[:3], jnp.zeros((), arguments[3].dtype))),
    lambda nonlinearity, _, saved, d: (
        *map(jnp.zeros_like, saved[0]),
        _masked(*saved[0], d, nonlinearity, 0).astype(saved[1].dtype),
    ),
)


def _again(x, time):
    """Returns `x` as the compiler does not know it: what is computed from it for another time is computed again."""
    for _ in range(time):
        x = optimization_barrier(x)
    return x


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
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
    return _stylize_forward(x, noise, strength, bias, style, nonlinearity, taps)[0]


def _rectified(inputs, nonlinearity, taps):
    """What is normalised: rounded, so that it is the same whether it is kept or computed again."""
    x, noise, strength, bias = inputs
    pre = ops.blur(ops.widen(x), taps) + bias
    if noise is not None:
        pre = pre + noise * strength
    return ops.widen(ops.rectify(pre, nonlinearity).astype(x.dtype))


def _rectified_again(inputs, kept, time, nonlinearity, taps):
    """The same as `_rectified`: what was kept, or computed from the start for the so manieth time if that is None."""
    if kept is not None:
        return kept
    x, *rest = inputs
    return _rectified((_again(x, time), *rest), nonlinearity, taps)


def _stylize_forward(x, noise, strength, bias, style, nonlinearity, taps):
    inputs = x, noise, strength, bias
    rectified = _rectified(inputs, nonlinearity, taps)
    kept = None if _is_short(x.dtype) else rectified
    mean, factor = _plain_statistics(inputs, nonlinearity, taps) if kept is None else ops.instance_statistics(rectified)
    y = ops.stylize((rectified - mean) * factor, style).astype(x.dtype)
    return y, (inputs, kept, style, mean, factor)


def _plain_statistics(inputs, nonlinearity, taps):
    """As `ops.instance_statistics` of what is normalised, in short types.

    The moments are about zero: where that would cancel, rounding to the short type has cost more. Each starts anew, and
    then both are one pass; the compiler would store what one pass has to compute twice.
    """
    mean, square = (
        ops.mean_over_pixels(power(_rectified_again(inputs, None, time, nonlinearity, taps)))
        for time, power in ((1, jnp.positive), (2, jnp.square))
    )
    return mean, ops.reciprocal_deviation(mean, square)


def _stylize_backward(nonlinearity, taps, saved, dy):
    inputs, kept, style, mean, factor = saved
    x, noise, strength, bias = inputs
    pixels, scale, dy = x.shape[1] * x.shape[2], style[:, None, None, : x.shape[-1]] + 1, ops.widen(dy)
    rectified, again = (_rectified_again(inputs, kept, time, nonlinearity, taps) for time in (3, 4))
    normal = (rectified - mean) * factor
    dy_mean, along = (ops.mean_over_pixels(product) for product in (dy, dy * normal))
    d = (dy - dy_mean - (again - mean) * factor * along) * (scale * factor)
    d = (d * ops.rectifier_slope(again, nonlinearity)).astype(x.dtype)  # a rectifier keeps the sign
    wide = ops.widen(d)
    dstyle = jnp.concatenate([along, dy_mean], axis=-1)[:, 0, 0] * pixels
    dnoise = dstrength = None
    if noise is not None:
        dnoise = jnp.sum(wide * strength, axis=-1, keepdims=True)
        dnoise = jnp.sum(dnoise, axis=0, keepdims=True) if noise.shape[0] == 1 else dnoise
        dnoise, dstrength = dnoise.astype(noise.dtype), ops.sum_over_images(wide * noise).astype(strength.dtype)
    dbias = ops.sum_over_images(wide).astype(bias.dtype)
    return ops.blur(d, taps[::-1]), dnoise, dstrength, dbias, dstyle.astype(style.dtype)


stylize_channels.defvjp(_stylize_forward, _stylize_backward)
