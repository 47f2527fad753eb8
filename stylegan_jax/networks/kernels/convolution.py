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

NVIDIA GPUs take neighbouring pixels as one where images in half precision have few features (`blocks`). Each of the
three functions is then another way to compute the same, so that its derivatives stay as they are.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import blocks, canonical, minimal_filtering, row_packing
from stylegan_jax.networks.kernels import library_convolution as library
from stylegan_jax.networks.kernels.kernel_forms import (
    BACKWARD,
    FORWARD,
    KernelForm,
    kernel_3x3,
    kernel_4x4,
    kernel_4x4_adjoint,
)
from stylegan_jax.networks.kernels.storage import is_half_precision
from stylegan_jax.networks.kernels.two_pass_blur import along
from stylegan_jax.runtime.by_platform import by_platform


def same_convolve(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Convolves with a 3x3 weight [3, 3, I, O] and keeps the size: [N, H, W, I] -> [N, H, W, O]."""
    # The gradient of a kernel of blocks is rounded and then summed in float32. A weight in the type of the images would
    # have the sum rounded a second time.
    if row_packing.pixels_per_block(x.shape[2], max(weight.shape[2:]), x.dtype) == 1:
        weight = weight.astype(x.dtype)
    return convolve(x, _row_major_on_accelerators(_with_pinned_layout(weight).transpose(FORWARD)))


def blurs_rows(width: int, features: int, taps: Sequence[float], dtype: jax.typing.DTypeLike) -> bool:
    """Returns whether `down_convolve` and `up_convolve` should filter along rows, rather than what is around them.

    Args:
      width: of the larger images.
      features: of the larger images.
      taps: of the filter.
      dtype: of the images.
    """
    return row_packing.pixels_with_blur(width, features, taps, jnp.dtype(dtype)) > 1


def down_convolve(x: jax.Array, weight: jax.Array, taps: tuple[float, ...] = ()) -> jax.Array:
    """Convolves with a 3x3 weight [3, 3, I, O] and averages 2x2 pixels: [N, H, W, I] -> [N, H / 2, W / 2, O].

    With `taps` it first filters along rows, as `ops.blur` does along both axes.
    """
    return convolve_down(x, _with_pinned_layout(weight), KernelForm(divisor=4, taps=taps))


def up_convolve(x: jax.Array, weight: jax.Array, *, flip: bool, taps: tuple[float, ...] = ()) -> jax.Array:
    """Doubles the size and convolves with a 3x3 weight: [N, H, W, I] -> [N, 2 * H, 2 * W, O].

    The same function as `ops.upscale` followed by the convolution, with 4/9 of its multiplications or fewer.

    Args:
      x: [N, H, W, I].
      weight: [3, 3, I, O].
      flip: reverse the weight along height and width, as the official fused form does. A transposed convolution
        reverses its kernel by itself, so the kernel is reversed beforehand where this is False.
      taps: of a filter along rows of the result, as `ops.blur` filters along both axes; () for none.

    Returns:
      [N, 2 * H, 2 * W, O].
    """
    return convolve_up(x, _with_pinned_layout(weight), KernelForm(transposed=True, mirrored=not flip, taps=taps[::-1]))


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
        return form.convolve(x, kernel.transpose(BACKWARD))

    pixels = row_packing.pixels_per_block(x.shape[2], max(x.shape[3], len(kernel)), x.dtype)
    return _on_platform(
        x, kernel.astype(x.dtype), cpu=on_cpu, in_blocks=blocks.convolve, pixels=pixels, default=library.correlate
    )


@jax.custom_vjp
def transposed_convolve(y: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes the input gradient, the adjoint of `convolve` in its images: [N, H, W, O] -> [N, H, W, I]."""

    def on_cpu(y, kernel):
        form = minimal_filtering if minimal_filtering.saves_time(y.shape, kernel.shape[-1]) else canonical
        return form.transposed_convolve(y, kernel.transpose(BACKWARD))

    pixels = row_packing.pixels_per_block(y.shape[2], max(y.shape[3], kernel.shape[-1]), y.dtype)
    return _on_platform(
        y,
        kernel.astype(y.dtype),
        cpu=on_cpu,
        in_blocks=blocks.transposed_convolve,
        pixels=pixels,
        default=library.correlate_transposed,
    )


@jax.custom_vjp
def filter_gradient(x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the adjoint of `convolve` in its kernel: ([N, H, W, I], [N, H, W, O]) -> [O, 3, 3, I] in float32.

    In float64 if the images are.
    """

    def on_cpu(x, y):
        form = minimal_filtering if minimal_filtering.saves_time(x.shape, y.shape[-1]) else canonical
        return ops.at_least_float32(form.filter_gradient(x, y).transpose(FORWARD))

    pixels = row_packing.pixels_per_block(x.shape[2], max(x.shape[3], y.shape[3]), x.dtype)
    return _on_platform(
        x,
        y,
        cpu=on_cpu,
        in_blocks=blocks.filter_gradient,
        pixels=pixels,
        default=lambda x, y: ops.at_least_float32(library.filter_gradient(x, y, (3, 3))),
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
      form: how the weight becomes the kernel, and what is done to the images before.

    Returns:
      [N, h, w, O].
    """
    return _on_platform(
        x,
        weight,
        cpu=lambda x, weight: minimal_filtering.down(_blurred(x, form.taps), kernel_3x3(weight, form)),
        in_blocks=lambda x, weight, pixels: blocks.convolve_down(x, weight, form, pixels),
        pixels=_pixels_for_halving(x.shape[2], x.shape[3], form, x.dtype),
        default=lambda x, weight: library.correlate(_blurred(x, form.taps), kernel_4x4(weight, form, x.dtype), (2, 2)),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_up(y: jax.Array, weight: jax.Array, form: KernelForm) -> jax.Array:
    """Computes the adjoint of `convolve_down` in its images: [N, h, w, O] -> [N, 2 * h, 2 * w, I]."""
    features, taps = weight.shape[3 if form.transposed else 2], form.taps[::-1]
    return _on_platform(
        y,
        weight,
        cpu=lambda y, weight: _up_and_blurred(minimal_filtering.up(y, kernel_3x3(weight, form)), taps),
        in_blocks=lambda y, weight, pixels: blocks.convolve_up(y, weight, form, pixels),
        pixels=_pixels_for_halving(2 * y.shape[2], features, form, y.dtype),
        default=lambda y, weight: _up_and_blurred(
            library.correlate_transposed(y, kernel_4x4(weight, form, y.dtype), (2, 2)), taps
        ),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def down_filter_gradient(x: jax.Array, y: jax.Array, form: KernelForm) -> jax.Array:
    """Computes the adjoint of `convolve_down` in its weight: ([N, 2 * h, 2 * w, I], [N, h, w, O]) -> a weight."""
    return _on_platform(
        x,
        y,
        # Back from a kernel to a weight: `kernel_3x3` is its own adjoint.
        cpu=lambda x, y: kernel_3x3(minimal_filtering.down_filter_gradient(_blurred(x, form.taps), y), form),
        in_blocks=lambda x, y, pixels: kernel_4x4_adjoint(blocks.down_filter_gradient(x, y, form, pixels), form),
        pixels=_pixels_for_halving(x.shape[2], x.shape[3], form, x.dtype),
        default=lambda x, y: kernel_4x4_adjoint(
            ops.at_least_float32(library.filter_gradient(_blurred(x, form.taps), y, (4, 4), (2, 2))), form
        ),
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


def _on_platform(*arrays, cpu, in_blocks, pixels, default):
    """Calls the function for the platform; `in_blocks` is the one for GPUs where blocks have more than one pixel.

    Other accelerators keep the plain form: TPUs store an image of few features otherwise than one of many, so that
    blocks would have to be copied. It is also the form in which `flops.model_flops` counts.
    """
    cuda = {'cuda': functools.partial(in_blocks, pixels=pixels)} if pixels > 1 else {}
    return by_platform(*arrays, cpu=cpu, default=default, **cuda)


def _pixels_for_halving(width, features, form, dtype):
    """Returns the number of pixels of a block of larger images."""
    if form.taps:
        return row_packing.pixels_with_blur(width, features, form.taps, dtype)
    return row_packing.pixels_per_block(width, features, dtype)


def _up_and_blurred(x, taps):
    """Filters the result of an up convolution along rows, where platforms have no blocks to do it in."""
    return _stored(along(ops.at_least_float32(x), taps, axis=2).astype(x.dtype)) if taps else x


def _blurred(x, taps):
    """Filters the images of a down convolution along rows."""
    return along(ops.at_least_float32(_stored(x)), taps, axis=2).astype(x.dtype) if taps else x


def _stored(x):
    """Has x stored in half precision: otherwise filters along rows and columns would be one expression again."""
    return lax.optimization_barrier(x) if is_half_precision(x.dtype) else x


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
