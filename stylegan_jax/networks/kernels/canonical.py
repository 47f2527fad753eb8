"""3x3 convolutions in the one order of axes that XLA:CPU has a fast library for.

XLA:CPU transposes every convolution of a program's outermost level into this order: images NHWC, kernels HWIO. It does
not do so inside a condition or a loop, where it computes a convolution in any other order with plain loops, which take
10 to 60 times as long. The derivatives that JAX makes of a convolution are in other orders. Those here are in the right
one from the start, so that it does not matter where they stand: in the steps that lazy regularization chooses, in the
replicas that one device takes one after another, in the steps of projection.

Kernels are [3, 3, I, O]; the edges are padded with zeros.
"""

import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
_STRIPS = 8  # that an image is cut into for filter gradients


@jax.custom_vjp
def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves and keeps the size: [N, H, W, I] -> [N, H, W, O]. Derivatives after the first have other orders."""
    return _correlate(x, kernel)


def transposed_convolve(y: jax.Array, kernel: jax.Array) -> jax.Array:
    """Adjoint of `convolve` in its images: [N, H, W, O] -> [N, H, W, I]."""
    return _correlate(y, kernel[::-1, ::-1].swapaxes(2, 3))


def filter_gradient(x: jax.Array, y: jax.Array) -> jax.Array:
    """Adjoint of `convolve` in its kernel: ([N, H, W, I], [N, H, W, O]) -> [3, 3, I, O]."""
    if len(x) <= 2 and x.shape[1] % _STRIPS == 0:
        return _filter_gradient_in_strips(x, y)
    return _filter_gradient(x, y, 1)


convolve.defvjp(
    lambda x, kernel: (_correlate(x, kernel), (x, kernel)),
    lambda saved, dy: (transposed_convolve(dy, saved[1]), filter_gradient(saved[0], dy)),
)


def _correlate(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT)


def _filter_gradient(x, y, padding):
    # The channels of x are the images of this convolution, and the images of x its channels. The window is all of y.
    gradient = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3), (1, 1), ((padding,) * 2,) * 2, dimension_numbers=_LAYOUT
    )
    return gradient.transpose(1, 2, 0, 3)


def _filter_gradient_in_strips(x, y):
    """The same, with each image cut into strips of rows that count as images of a larger batch.

    The library loops along the batch, which is slow where that is one or two images long.
    """
    _, height, width, _ = y.shape
    rows = height // _STRIPS
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # Neighbouring strips of x share two rows, as the 3x3 windows of their pixels do: [N, 8, rows + 2, W + 2, I].
    x = jnp.stack([x[:, rows * strip : rows * (strip + 1) + 2] for strip in range(_STRIPS)], axis=1)
    x, y = x.reshape(-1, *x.shape[2:]), y.reshape(-1, rows, width, y.shape[-1])  # strips join the batch
    return _filter_gradient(x, y, 0)
