"""3x3 convolutions whose derivatives of every order are again forward, input-gradient and filter-gradient convolutions.

A convolution y = conv(x, k) is bilinear: linear in the images x and linear in the kernel k. It has two adjoints, the
input gradient (y, k) -> x and the filter gradient (x, y) -> k, which are bilinear as well. The derivatives of each of
the three are the other two:

    conv(x, k)             d/dx: input gradient     d/dk: filter gradient
    input gradient(y, k)   d/dy: conv               d/dk: filter gradient
    filter gradient(x, y)  d/dx: input gradient     d/dy: conv

R1 (gradient of a gradient norm) needs second derivatives. JAX would differentiate its own convolution of the first
derivative by general rules, and write second derivatives as convolutions with windows of whole images or over inserted
zeros: outside of what cuDNN implements on a GPU, and 4 to 20 times slower in XLA:CPU. Here the three functions name one
another as their derivatives (`jax.custom_vjp`), so that no other form appears at any order.

There are two such threes: one keeps the size, one halves and doubles it. They are not for 1x1 kernels, which are matrix
products (`ops.dense`).

Accelerators get library convolutions; where the size is halved or doubled these have stride 2 and a 4x4 kernel. Kernels
are [O, k, k, I] (cuDNN's layout for NHWC images), so that one array in memory serves all three functions. CPUs get
matrix products (`minimal_filtering`) where those are faster, and elsewhere their own library's form (`canonical`).

NVIDIA GPUs take neighbouring pixels as one where images in half precision have few features (`row_packing`). Each of
the three functions is then computed as the same function of blocks of pixels, so that its derivatives stay as they are.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import canonical, minimal_filtering, row_packing
from stylegan_jax.runtime.by_platform import by_platform

_LAYOUT = ('NHWC', 'OHWI', 'NHWC')
_FORWARD = (3, 0, 1, 2)  # permutation of a weight [k, k, I, O] into a kernel [O, k, k, I]
_BACKWARD = (1, 2, 3, 0)  # the inverse of _FORWARD
_TRANSPOSED = (2, 0, 1, 3)  # permutation of a weight [k, k, O, I] into a kernel [O, k, k, I]


class KernelForm(NamedTuple):
    """How a stored weight becomes the kernel of `convolve_down`.

    Attributes:
      transposed: the weight is [3, 3, O, I]: it belongs to an up convolution, whose inputs are the outputs of
        `convolve_down`.
      mirrored: the kernel is the weight reversed along height and width.
      divisor: the kernel is the weight divided by this; 4 turns the sum over 2x2 pixels into their mean.
    """

    transposed: bool = False
    mirrored: bool = False
    divisor: int = 1


def same_convolve(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Convolves with a 3x3 weight [3, 3, I, O] and keeps the size: [N, H, W, I] -> [N, H, W, O]."""
    # The gradient of a kernel of blocks is rounded and then summed in float32. A weight in the type of the images would
    # have the sum rounded a second time.
    if row_packing.pixels_per_block(x.shape[2], max(weight.shape[2:]), x.dtype) == 1:
        weight = weight.astype(x.dtype)
    return convolve(x, _row_major_on_accelerators(_with_pinned_layout(weight).transpose(_FORWARD)))


def down_convolve(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Convolves with a 3x3 weight [3, 3, I, O] and averages 2x2 pixels: [N, H, W, I] -> [N, H / 2, W / 2, O]."""
    return convolve_down(x, _with_pinned_layout(weight), KernelForm(divisor=4))


def up_convolve(x: jax.Array, weight: jax.Array, *, flip: bool) -> jax.Array:
    """Doubles the size and convolves with a 3x3 weight: [N, H, W, I] -> [N, 2 * H, 2 * W, O].

    The same function as `ops.upscale` followed by the convolution, with 4/9 of its multiplications or fewer.

    Args:
      x: [N, H, W, I].
      weight: [3, 3, I, O].
      flip: reverse the weight along height and width, as the official fused form does. A transposed convolution
        reverses its kernel by itself, so the kernel is reversed beforehand where this is False.

    Returns:
      [N, 2 * H, 2 * W, O].
    """
    return convolve_up(x, _with_pinned_layout(weight), KernelForm(transposed=True, mirrored=not flip))


# --- The three that keep the size.


@jax.custom_vjp
def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Correlates images with a kernel, zero-padded.

    Args:
      x: [N, H, W, I].
      kernel: [O, 3, 3, I], in the type of the images, or in float32 for a gradient in float32.

    Returns:
      [N, H, W, O].
    """

    def on_cpu(x, kernel):
        form = minimal_filtering if minimal_filtering.saves_time(x.shape, len(kernel)) else canonical
        return form.convolve(x, kernel.transpose(_BACKWARD))

    pixels = row_packing.pixels_per_block(x.shape[2], max(x.shape[3], len(kernel)), x.dtype)
    return _on_platform(
        x, kernel.astype(x.dtype), cpu=on_cpu, blocks=_correlate_blocks, pixels=pixels, default=_correlate
    )


@jax.custom_vjp
def transposed_convolve(y: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes the input gradient, the adjoint of `convolve` in its images: [N, H, W, O] -> [N, H, W, I]."""

    def on_cpu(y, kernel):
        form = minimal_filtering if minimal_filtering.saves_time(y.shape, kernel.shape[-1]) else canonical
        return form.transposed_convolve(y, kernel.transpose(_BACKWARD))

    pixels = row_packing.pixels_per_block(y.shape[2], max(y.shape[3], kernel.shape[-1]), y.dtype)
    return _on_platform(
        y,
        kernel.astype(y.dtype),
        cpu=on_cpu,
        blocks=_correlate_blocks_transposed,
        pixels=pixels,
        default=_correlate_transposed,
    )


@jax.custom_vjp
def filter_gradient(x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the adjoint of `convolve` in its kernel: ([N, H, W, I], [N, H, W, O]) -> [O, 3, 3, I] in float32.

    In float64 if the images are.
    """

    def on_cpu(x, y):
        form = minimal_filtering if minimal_filtering.saves_time(x.shape, y.shape[-1]) else canonical
        return ops.at_least_float32(form.filter_gradient(x, y).transpose(_FORWARD))

    pixels = row_packing.pixels_per_block(x.shape[2], max(x.shape[3], y.shape[3]), x.dtype)
    return _on_platform(
        x,
        y,
        cpu=on_cpu,
        blocks=lambda x, y, pixels: _filter_gradient_of_blocks(x, y, 3, pixels),
        pixels=pixels,
        default=lambda x, y: ops.at_least_float32(_filter_gradient(x, y, (3, 3))),
    )


# Each pair is (forward pass with the arrays that are saved, backward pass): the table at the top of the file.
convolve.defvjp(
    lambda x, kernel: (convolve(x, kernel), (x, kernel)),
    lambda saved, dy: (transposed_convolve(dy, saved[1]), filter_gradient(saved[0], dy).astype(saved[1].dtype)),
)
transposed_convolve.defvjp(
    lambda y, kernel: (transposed_convolve(y, kernel), (y, kernel)),
    lambda saved, dx: (convolve(dx, saved[1]), filter_gradient(dx, saved[0]).astype(saved[1].dtype)),
)
filter_gradient.defvjp(
    lambda x, y: (filter_gradient(x, y), (x, y)),
    lambda saved, dkernel: (transposed_convolve(saved[1], dkernel), convolve(saved[0], dkernel)),
)


# --- The three that halve and double the size. They take the 3x3 weight itself rather than a kernel, because platforms
# make different kernels of it: 4x4 on accelerators, 3x3 on CPUs.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_down(x: jax.Array, weight: jax.Array, form: KernelForm) -> jax.Array:
    """Correlates images with a kernel, zero-padded, and sums over 2x2 pixels.

    Args:
      x: [N, 2 * h, 2 * w, I].
      weight: [3, 3, I, O] or [3, 3, O, I], in float32, or float64 if the images are.
      form: how the weight becomes the kernel.

    Returns:
      [N, h, w, O].
    """
    return _on_platform(
        x,
        weight,
        cpu=lambda x, weight: minimal_filtering.down(x, _kernel_3x3(weight, form)),
        blocks=lambda x, weight, pixels: _correlate_blocks(x, _kernel_4x4(weight, form, x.dtype), pixels, 2),
        pixels=row_packing.pixels_per_block(x.shape[2], x.shape[3], x.dtype),
        default=lambda x, weight: _correlate(x, _kernel_4x4(weight, form, x.dtype), (2, 2)),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_up(y: jax.Array, weight: jax.Array, form: KernelForm) -> jax.Array:
    """Computes the adjoint of `convolve_down` in its images: [N, h, w, O] -> [N, 2 * h, 2 * w, I]."""
    features = weight.shape[3 if form.transposed else 2]
    return _on_platform(
        y,
        weight,
        cpu=lambda y, weight: minimal_filtering.up(y, _kernel_3x3(weight, form)),
        blocks=lambda y, weight, pixels: _correlate_blocks_transposed(y, _kernel_4x4(weight, form, y.dtype), pixels, 2),
        pixels=row_packing.pixels_per_block(2 * y.shape[2], features, y.dtype),
        default=lambda y, weight: _correlate_transposed(y, _kernel_4x4(weight, form, y.dtype), (2, 2)),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def down_filter_gradient(x: jax.Array, y: jax.Array, form: KernelForm) -> jax.Array:
    """Computes the adjoint of `convolve_down` in its weight: ([N, 2 * h, 2 * w, I], [N, h, w, O]) -> a weight."""
    return _on_platform(
        x,
        y,
        # Back from a kernel to a weight: `_kernel_3x3` is its own adjoint.
        cpu=lambda x, y: _kernel_3x3(minimal_filtering.down_filter_gradient(x, y), form),
        blocks=lambda x, y, pixels: _kernel_4x4_adjoint(_filter_gradient_of_blocks(x, y, 4, pixels, 2), form),
        pixels=row_packing.pixels_per_block(x.shape[2], x.shape[3], x.dtype),
        default=lambda x, y: _kernel_4x4_adjoint(ops.at_least_float32(_filter_gradient(x, y, (4, 4), (2, 2))), form),
    )


# The same table as above.
convolve_down.defvjp(
    lambda x, weight, form: (convolve_down(x, weight, form), (x, weight)),
    lambda form, saved, dy: (convolve_up(dy, saved[1], form), down_filter_gradient(saved[0], dy, form)),
)
convolve_up.defvjp(
    lambda y, weight, form: (convolve_up(y, weight, form), (y, weight)),
    lambda form, saved, dx: (convolve_down(dx, saved[1], form), down_filter_gradient(dx, saved[0], form)),
)
down_filter_gradient.defvjp(
    lambda x, y, form: (down_filter_gradient(x, y, form), (x, y)),
    lambda form, saved, dweight: (convolve_up(saved[1], dweight, form), convolve_down(saved[0], dweight, form)),
)


# --- The forms in blocks of pixels.


def _on_platform(*arrays, cpu, blocks, pixels, default):
    """Calls the function for the platform; `blocks` is the one for GPUs where blocks have more than one pixel.

    Other accelerators keep the plain form: TPUs store an image of few features otherwise than one of many, so that
    blocks would have to be copied. It is also the form in which `flops.model_flops` counts.
    """
    cuda = {'cuda': functools.partial(blocks, pixels=pixels)} if pixels > 1 else {}
    return by_platform(*arrays, cpu=cpu, default=default, **cuda)


def _correlate_blocks(x, kernel, pixels, stride=1):
    """[N, H, W, I] with [O, k, k, I] -> [N, H / stride, W / stride, O], with k = 3, or 4 for stride 2."""
    kernel = ops.row_major(row_packing.pack_kernel(kernel, pixels, stride))
    y = _correlate(row_packing.pack_images(x, pixels), kernel, (stride, 1))
    return row_packing.unpack_images(y, pixels // stride)


def _correlate_blocks_transposed(y, kernel, pixels, stride=1):
    """Adjoint of `_correlate_blocks` in its images."""
    kernel = ops.row_major(row_packing.pack_kernel(kernel, pixels, stride))
    y = row_packing.pack_images(y, pixels // stride)
    return row_packing.unpack_images(_correlate_transposed(y, kernel, (stride, 1)), pixels)


def _filter_gradient_of_blocks(x, y, size, pixels, stride=1):
    """Adjoint of `_correlate_blocks` in its kernel: [O, size, size, I] in float32 or float64."""
    x, y = row_packing.pack_images(x, pixels), row_packing.pack_images(y, pixels // stride)
    packed = ops.row_major(_filter_gradient(x, y, (size, 3), (stride, 1)))
    return row_packing.pack_kernel_adjoint(ops.at_least_float32(packed), pixels, stride)


# --- The convolutions that libraries implement. Pairs are along height and width.


def _correlate(x, kernel, strides=(1, 1)):
    """[N, H, W, I] with [O, k, l, I] -> [N, H / stride, W / stride, O]: zero-padded, by one pixel for k = 3 and 4."""
    padding = [((size - 1) // 2,) * 2 for size in kernel.shape[1:3]]
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_LAYOUT)


def _correlate_transposed(y, kernel, strides=(1, 1)):
    """Adjoint of `_correlate` in its images.

    Without the barrier XLA:GPU merges the reversal of the kernel, which is part of an input gradient, into the
    expression of the kernel. It then no longer recognises the convolution as an input gradient, and calls cuDNN with a
    convolution over inserted zeros.
    """
    kernel = lax.optimization_barrier(kernel)
    # `linear_transpose` makes the form that XLA recognises as the input gradient of a convolution.
    batch, height, width, _ = y.shape
    x = jax.ShapeDtypeStruct((batch, height * strides[0], width * strides[1], kernel.shape[-1]), y.dtype)
    return jax.linear_transpose(lambda x: _correlate(x, kernel, strides), x)(y)[0]


def _filter_gradient(x, y, sizes, strides=(1, 1)):
    """Adjoint of `_correlate` in its kernel, which is [O, *sizes, I]."""
    kernel = jax.ShapeDtypeStruct((y.shape[-1], *sizes, x.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda kernel: _correlate(x, kernel, strides), kernel)(y)[0]


# --- The layout of weights and kernels in memory.


def _row_major_on_accelerators(kernel):
    # Otherwise the layout of one kernel would spread to weights, gradients and Adam's moments.
    return by_platform(kernel, cpu=lambda kernel: kernel, default=ops.row_major)


@jax.custom_vjp
def _with_pinned_layout(weight):
    """Identity that pins the layout of the weight and, in the backward pass, of its gradient.

    Adam updates a weight in place only if the layouts of both agree.
    """
    return _row_major_on_accelerators(weight)


_with_pinned_layout.defvjp(
    lambda weight: (_with_pinned_layout(weight), None),
    # The barrier has the gradient stored in this layout, rather than fused with the update.
    lambda _, d: (by_platform(d, cpu=lambda d: d, default=lambda d: lax.optimization_barrier(ops.row_major(d))),),
)


def _kernel_3x3(weight, form):
    """Returns the kernel [3, 3, I, O] of a weight. The adjoint of this linear map has the same expression."""
    weight = (weight[::-1, ::-1] if form.mirrored else weight) / form.divisor
    return weight.swapaxes(2, 3) if form.transposed else weight


def _kernel_4x4(weight, form, dtype):
    """Returns the kernel [O, 4, 4, I] that correlates and sums over 2x2 pixels at once.

    The sum of a 3x3 correlation over 2x2 neighbouring pixels is one correlation with the sum of four copies of the
    kernel, shifted by no pixel or one along each axis.
    """
    kernel = _add_neighbours(jnp.pad(weight, ((1, 1), (1, 1), (0, 0), (0, 0))), 0)  # [5, 5, ...] -> [4, 4, ...]
    kernel = kernel.transpose(_TRANSPOSED if form.transposed else _FORWARD)
    return ops.row_major(((kernel[:, ::-1, ::-1] if form.mirrored else kernel) / form.divisor).astype(dtype))


def _kernel_4x4_adjoint(kernel, form):
    """Adjoint of `_kernel_4x4`: [O, 4, 4, I] -> a weight. Adds before it transposes, because 3x3 is less to move."""
    kernel = ops.row_major(_add_neighbours((kernel[:, ::-1, ::-1] if form.mirrored else kernel) / form.divisor, 1))
    return kernel.transpose((1, 2, 0, 3) if form.transposed else (1, 2, 3, 0))


def _add_neighbours(kernel, axis):
    """Sums over 2x2 neighbours along `axis` and the next one, each of which becomes shorter by one."""
    for one in (axis, axis + 1):
        size = kernel.shape[one]
        kernel = lax.slice_in_dim(kernel, 1, size, axis=one) + lax.slice_in_dim(kernel, 0, size - 1, axis=one)
    return kernel
