"""Convolution whose derivatives of every order are again plain forward, input-gradient and filter-gradient forms.

Left to itself, JAX differentiates the derivatives of a convolution into forms that no backend is fast at (R1 needs
second derivatives: on a CPU they were 4 to 20 times slower, on a GPU they leave cuDNN). The three functions below
are bilinear and each is a derivative of the other two, so they define one another's derivatives and nothing else
ever appears. Not for 1x1 kernels, which are matrix products (`ops.dense`).

Kernels are [O, k, k, I], as cuDNN reads them: laid out once, one array serves all forms.
"""
import functools

import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ('NHWC', 'OHWI', 'NHWC')
_STRIPS = 8              # of an image, in filter gradients on a CPU


def _forward(x, kernel, stride):
    """Correlates with the zero padding that makes the output [N, H / stride, W / stride, O]."""
    pad = (kernel.shape[1] - 1) // 2
    return lax.conv_general_dilated(x, kernel, (stride, stride), ((pad, pad), (pad, pad)), dimension_numbers=_LAYOUT)


def _forward_in_blocks(x, kernel, stride):
    """The same for stride 2, with blocks of 2x2 pixels as channels and stride 1, which CPUs are good at."""
    assert stride == 2 and kernel.shape[1:3] == (4, 4)
    batch, height, width, inputs = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = x.reshape(batch, height // 2 + 1, 2, width // 2 + 1, 2, inputs).swapaxes(2, 3)
    kernel = kernel.reshape(-1, 2, 2, 2, 2, inputs).swapaxes(2, 3).reshape(-1, 2, 2, 4 * inputs)
    return lax.conv_general_dilated(x.reshape(*x.shape[:3], 4 * inputs), kernel, (1, 1), 'VALID',
                                    dimension_numbers=_LAYOUT)


def _by_platform(function, stride, *arguments):
    """Calls function(forward, *arguments) with the form of the forward convolution that the platform is fast at."""
    if stride == 1:
        return function(_forward, *arguments)
    return lax.platform_dependent(*arguments, cpu=functools.partial(function, _forward_in_blocks),
                                  default=functools.partial(function, _forward))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x, kernel, stride=1):
    """Correlates images with a kernel, zero-padded.

    Args:
      x: [N, H, W, I].
      kernel: [O, k, k, I], k odd for stride 1, k = 4 for stride 2.
      stride: 1 or 2; H and W are multiples of it.

    Returns:
      [N, H / stride, W / stride, O].
    """
    return _by_platform(lambda forward, x, kernel: forward(x, kernel, stride), stride, x, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def transposed_convolve(y, kernel, stride=1):
    """Adjoint of `convolve` in its images: [N, h, w, O] -> [N, h * stride, w * stride, I]."""
    # XLA for GPUs would turn the kernel around first, and not see what this is.
    kernel = lax.platform_dependent(kernel, cpu=lambda kernel: kernel, default=lax.optimization_barrier)
    batch, height, width, _ = y.shape
    x = jax.ShapeDtypeStruct((batch, height * stride, width * stride, kernel.shape[-1]), y.dtype)
    return _by_platform(lambda forward, y, kernel: jax.linear_transpose(
        lambda x: forward(x, kernel, stride), x)(y)[0], stride, y, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def filter_gradient(x, y, size, stride=1):
    """Adjoint of `convolve` in its kernel: ([N, H, W, I], [N, h, w, O]) -> [O, size, size, I]."""
    kernel = jax.ShapeDtypeStruct((y.shape[-1], size, size, x.shape[-1]), x.dtype)

    def adjoint(forward, x, y):
        return jax.linear_transpose(lambda kernel: forward(x, kernel, stride), kernel)(y)[0]
    if stride == 1 and len(x) <= 2 and x.shape[1] % _STRIPS == 0:
        return lax.platform_dependent(x, y, cpu=functools.partial(_filter_gradient_in_strips, size=size),
                                      default=functools.partial(adjoint, _forward))
    return _by_platform(adjoint, stride, x, y)


def _filter_gradient_in_strips(x, y, size):
    """The same with each image cut into strips of rows: CPUs go along the images, and one or two are too few."""
    batch, height, width, _ = y.shape
    rows, pad = height // _STRIPS, (size - 1) // 2
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    x = jnp.stack([x[:, rows * strip:rows * (strip + 1) + 2 * pad] for strip in range(_STRIPS)], axis=1)
    x, y = x.reshape(-1, *x.shape[2:]), y.reshape(-1, rows, width, y.shape[-1])
    kernel = jax.ShapeDtypeStruct((y.shape[-1], size, size, x.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda kernel: lax.conv_general_dilated(
        x, kernel, (1, 1), 'VALID', dimension_numbers=_LAYOUT), kernel)(y)[0]


convolve.defvjp(
    lambda x, kernel, stride: (convolve(x, kernel, stride), (x, kernel)),
    lambda stride, saved, dy: (transposed_convolve(dy, saved[1], stride),
                               filter_gradient(saved[0], dy, saved[1].shape[1], stride)))
transposed_convolve.defvjp(
    lambda y, kernel, stride: (transposed_convolve(y, kernel, stride), (y, kernel)),
    lambda stride, saved, dx: (convolve(dx, saved[1], stride),
                               filter_gradient(dx, saved[0], saved[1].shape[1], stride)))
filter_gradient.defvjp(
    lambda x, y, size, stride: (filter_gradient(x, y, size, stride), (x, y)),
    lambda size, stride, saved, dkernel: (transposed_convolve(saved[1], dkernel, stride),
                                          convolve(saved[0], dkernel, stride)))
