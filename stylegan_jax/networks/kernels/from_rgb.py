"""From colours to features (from_rgb): a 1x1 convolution of very few channels, bias and rectifier.

In half precision the convolution is written as a sum of products, one per colour, which fuses with the work around it
(a matrix product would not). Images are much smaller than features. Nothing of the size of the features is stored for
derivatives, therefore: each function below recomputes the slope of the rectifier from the images.

Every gradient is one or several reductions over the features. Each starts from its own recomputation, numbered by
`recomputation`, so that XLA does not store what two of them could share; no two in the derivatives of one call have the
same number. Two neighbouring ones read dy behind the same barriers, so that XLA makes one kernel of both, which reads
it once. With c colours:

    first derivative     weight 1 to c, bias c + 1, images c + 2
    second derivative    weight c + 3 to 2c + 2, the gradient dy that came in 2c + 3
"""

import functools

import jax
import jax.numpy as jnp

from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels.storage import is_half_precision


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
    if is_half_precision(dtype):
        return _half_precision_features(images, weight, bias, nonlinearity, dtype)
    # The bias is the weight of one more channel, which is 1 everywhere. Then its gradient is part of a matrix product.
    images = jnp.concatenate([images, jnp.ones_like(images[..., :1])], axis=-1)
    # Flattened to a matrix [N * H * W, channels], or XLA transposes the features for the gradient of the weight.
    pixels = images.reshape(-1, images.shape[-1])
    features = ops.dense(pixels, jnp.concatenate([weight, bias[None]]))
    return ops.rectify(features.reshape(*images.shape[:3], -1), nonlinearity)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _half_precision_features(images, weight, bias, nonlinearity, dtype):
    return ops.rectify(_mix_colours(images, weight) + bias, nonlinearity).astype(dtype)


def _mix_colours(images, weight, recomputation=0):
    """The 1x1 convolution: [N, H, W, channels] by [channels, C] -> [N, H, W, C]."""
    planes = (_behind_barriers(plane, recomputation) for plane in _planes(images))
    return sum(plane * weight[i] for i, plane in enumerate(planes))


def _planes(images):
    """Returns the colours as arrays [N, H, W, 1] of their own, which are stored once and read by all kernels."""
    return jax.lax.optimization_barrier(jnp.split(images, images.shape[-1], axis=-1))


def _half_precision_features_backward(nonlinearity, _, saved, dy):
    number = saved[0].shape[-1] + 1
    dbias = ops.sum_over_images(_masked(*saved, _shared_in_pairs(dy, 1, number - 1), nonlinearity, number))
    return _colour_gradient(*saved, dy, nonlinearity), _weight_gradient(saved, saved[0], dy, nonlinearity, 1), dbias


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _colour_gradient(images, weight, bias, dy, nonlinearity):
    """Gradient with respect to the images, [N, H, W, channels]: R1 differentiates it once more."""
    number = images.shape[-1] + 2
    masked = _masked(images, weight, bias, _behind_barriers(dy, number), nonlinearity, number)
    # One reduction for all colours: sums for each would read the features again.
    return jnp.sum(masked[..., None, :] * weight, axis=-1)


def _colour_gradient_backward(nonlinearity, saved, d):
    images, weight, bias, dy = saved
    first = images.shape[-1] + 3
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
    # Not one reduction for all colours: XLA would evaluate the slope for each of them, or store it.
    return jnp.stack(
        [
            ops.sum_over_images(
                _masked(*saved, _shared_in_pairs(dy, first, i), nonlinearity, first + i)
                * _behind_barriers(plane, first + i)
            )
            for i, plane in enumerate(_planes(colours))
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


def _shared_in_pairs(dy, first, place):
    """Returns dy for the reduction at a place in a sequence, as the same value as for the other one of its pair."""
    return _behind_barriers(dy, first + place - place % 2)


def _behind_barriers(x, recomputation):
    """Returns x behind as many optimization barriers as `recomputation` says.

    XLA sees another value behind each number of barriers. It recomputes what is derived from them, rather than
    sharing it between two users (and storing it).
    """
    for _ in range(recomputation):
        x = jax.lax.optimization_barrier(x)
    return x
