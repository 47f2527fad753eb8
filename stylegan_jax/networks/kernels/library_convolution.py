"""The convolutions that libraries for accelerators implement: forward pass, input gradient and filter gradient.

Images are [N, H, W, C], kernels [O, k, l, I], cuDNN's layout. Pairs are along height and width.
"""

import jax
from jax import lax

_LAYOUT = ('NHWC', 'OHWI', 'NHWC')


def correlate(x: jax.Array, kernel: jax.Array, strides: tuple[int, int] = (1, 1)) -> jax.Array:
    """Correlates [N, H, W, I] with [O, k, l, I], zero-padded by one pixel for k = 3 and 4: [N, H / s, W / s, O]."""
    padding = [((size - 1) // 2,) * 2 for size in kernel.shape[1:3]]
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_LAYOUT)


def correlate_transposed(y: jax.Array, kernel: jax.Array, strides: tuple[int, int] = (1, 1)) -> jax.Array:
    """Computes the adjoint of `correlate` in its images.

    Without the barrier XLA:GPU merges the reversal of the kernel, which is part of an input gradient, into the
    expression of the kernel. It then no longer recognises the convolution as an input gradient, and calls cuDNN with a
    convolution over inserted zeros.
    """
    kernel = lax.optimization_barrier(kernel)
    # `linear_transpose` makes the form that XLA recognises as the input gradient of a convolution.
    batch, height, width, _ = y.shape
    x = jax.ShapeDtypeStruct((batch, height * strides[0], width * strides[1], kernel.shape[-1]), y.dtype)
    return jax.linear_transpose(lambda x: correlate(x, kernel, strides), x)(y)[0]


def filter_gradient(x: jax.Array, y: jax.Array, sizes: tuple[int, int], strides: tuple[int, int] = (1, 1)) -> jax.Array:
    """Computes the adjoint of `correlate` in its kernel, which is [O, *sizes, I]."""
    kernel = jax.ShapeDtypeStruct((y.shape[-1], *sizes, x.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda kernel: correlate(x, kernel, strides), kernel)(y)[0]
