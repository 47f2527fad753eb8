"""3x3 convolutions whose derivatives of every order are again plain forward, input-gradient and filter-gradient forms.

Left to itself, JAX differentiates the derivatives of a convolution into forms that no backend is fast at (R1 needs
second derivatives: on a CPU they were 4 to 20 times slower, on a GPU they leave cuDNN). The functions below come in
threes. The three are bilinear and each is a derivative of the other two, so they define one another's derivatives and
nothing else ever appears. Not for 1x1 kernels, which are matrix products (`ops.dense`).

Accelerators get convolutions: of stride 2 with a 4x4 kernel where the size is halved or doubled as well. Their kernels
are [O, k, k, I], as cuDNN reads them: laid out once, one array serves all forms. CPUs get products of matrices
(`minimal_filtering`).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.layout import Layout, with_layout_constraint

from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import minimal_filtering

_LAYOUT = ('NHWC', 'OHWI', 'NHWC')
_STRIPS = 8  # of an image, in filter gradients on a CPU
_FORWARD = (3, 0, 1, 2)  # weights [k, k, I, O] to kernels [O, k, k, I]
_TRANSPOSED = (2, 0, 1, 3)


class KernelForm(NamedTuple):
    """How a weight becomes the kernel of `convolve_down`."""

    transposed: bool = False  # the weight is [3, 3, O, I]
    mirrored: bool = False  # in both axes of taps
    divisor: int = 1


def same_convolve(x, weight):
    """Convolves with a 3x3 weight [3, 3, I, O] and keeps the size: [N, H, W, I] -> [N, H, W, O]."""
    return convolve(x, _in_order_on_accelerators(_from_weights(weight.astype(x.dtype)).transpose(_FORWARD)))


def down_convolve(x, weight):
    """Convolves with a 3x3 weight [3, 3, I, O] and averages 2x2 pixels: [N, H, W, I] -> [N, H / 2, W / 2, O]."""
    return convolve_down(x, _from_weights(weight), KernelForm(divisor=4))


def up_convolve(x, weight, *, flip):
    """Doubles the size and convolves with a 3x3 weight: [N, H, W, I] -> [N, 2 * H, 2 * W, O].

    The same function as `ops.upscale` followed by the convolution, with 4/9 of its products or fewer.

    Args:
      x: [N, H, W, I].
      weight: [3, 3, I, O].
      flip: mirror the weight in both axes, as the official fused form does. That is what a transposed
        convolution does by itself, so `False` is the case that turns the weight around here.
    """
    return convolve_up(x, _from_weights(weight), KernelForm(transposed=True, mirrored=not flip))


# --- three that keep the size


@jax.custom_vjp
def convolve(x, kernel):
    """Correlates images with a kernel, zero-padded.

    Args:
      x: [N, H, W, I].
      kernel: [O, 3, 3, I].

    Returns:
      [N, H, W, O].
    """

    def on_cpu(x, kernel):
        if minimal_filtering.saves_time(x.shape, len(kernel)):
            return minimal_filtering.convolve(x, kernel.transpose(1, 2, 3, 0))
        return _correlate(x, kernel)

    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=_correlate)


@jax.custom_vjp
def transposed_convolve(y, kernel):
    """Adjoint of `convolve` in its images: [N, H, W, O] -> [N, H, W, I]."""

    def on_cpu(y, kernel):
        if minimal_filtering.saves_time(y.shape, kernel.shape[-1]):
            return minimal_filtering.transposed_convolve(y, kernel.transpose(1, 2, 3, 0))
        return _correlate_transposed(y, kernel)

    return lax.platform_dependent(
        y, kernel, cpu=on_cpu, default=lambda y, kernel: _correlate_transposed(y, lax.optimization_barrier(kernel))
    )


@jax.custom_vjp
def filter_gradient(x, y):
    """Adjoint of `convolve` in its kernel: ([N, H, W, I], [N, H, W, O]) -> [O, 3, 3, I]."""

    def on_cpu(x, y):
        if minimal_filtering.saves_time(x.shape, y.shape[-1]):
            return minimal_filtering.filter_gradient(x, y).astype(x.dtype).transpose(_FORWARD)
        if len(x) <= 2 and x.shape[1] % _STRIPS == 0:
            return _filter_gradient_in_strips(x, y)
        return _filter_gradient(x, y, 3)

    return lax.platform_dependent(x, y, cpu=on_cpu, default=functools.partial(_filter_gradient, size=3))


convolve.defvjp(
    lambda x, kernel: (convolve(x, kernel), (x, kernel)),
    lambda saved, dy: (transposed_convolve(dy, saved[1]), filter_gradient(saved[0], dy)),
)
transposed_convolve.defvjp(
    lambda y, kernel: (transposed_convolve(y, kernel), (y, kernel)),
    lambda saved, dx: (convolve(dx, saved[1]), filter_gradient(dx, saved[0])),
)
filter_gradient.defvjp(
    lambda x, y: (filter_gradient(x, y), (x, y)),
    lambda saved, dkernel: (transposed_convolve(saved[1], dkernel), convolve(saved[0], dkernel)),
)


# --- three that halve and double the size


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_down(x, weight, form):
    """Correlates images with a kernel, zero-padded, and adds up 2x2 pixels.

    Args:
      x: [N, 2 * h, 2 * w, I].
      weight: [3, 3, I, O] or [3, 3, O, I], in the type of `ops.widen` of the images.
      form: how it becomes the kernel.

    Returns:
      [N, h, w, O].
    """
    return lax.platform_dependent(
        x,
        weight,
        cpu=lambda x, weight: minimal_filtering.down(x, _small_kernel(weight, form)),
        default=lambda x, weight: _correlate(x, _large_kernel(weight, form, x.dtype), 2),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_up(y, weight, form):
    """Adjoint of `convolve_down` in its images: [N, h, w, O] -> [N, 2 * h, 2 * w, I]."""
    return lax.platform_dependent(
        y,
        weight,
        cpu=lambda y, weight: minimal_filtering.up(y, _small_kernel(weight, form)),
        default=lambda y, weight: _correlate_transposed(
            y, lax.optimization_barrier(_large_kernel(weight, form, y.dtype)), 2
        ),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def down_filter_gradient(x, y, form):
    """Adjoint of `convolve_down` in its weight: ([N, 2 * h, 2 * w, I], [N, h, w, O]) -> a weight."""
    return lax.platform_dependent(
        x,
        y,
        cpu=lambda x, y: _small_kernel(minimal_filtering.down_filter_gradient(x, y), form),
        default=lambda x, y: _to_weight(ops.widen(_filter_gradient(x, y, 4, 2)), form),
    )


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


# --- the forms that libraries know


def _correlate(x, kernel, stride=1):
    """[N, H, W, I] with [O, k, k, I] -> [N, H / stride, W / stride, O], k odd, or 4 for stride 2."""
    pad = (kernel.shape[1] - 1) // 2
    return lax.conv_general_dilated(x, kernel, (stride, stride), ((pad, pad), (pad, pad)), dimension_numbers=_LAYOUT)


def _correlate_transposed(y, kernel, stride=1):
    """Adjoint of `_correlate` in its images.

    For accelerators the kernel comes from behind a barrier: XLA for GPUs would turn it around first, and not see what
    this is.
    """
    batch, height, width, _ = y.shape
    x = jax.ShapeDtypeStruct((batch, height * stride, width * stride, kernel.shape[-1]), y.dtype)
    return jax.linear_transpose(lambda x: _correlate(x, kernel, stride), x)(y)[0]


def _filter_gradient(x, y, size, stride=1):
    """Adjoint of `_correlate` in its kernel."""
    kernel = jax.ShapeDtypeStruct((y.shape[-1], size, size, x.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda kernel: _correlate(x, kernel, stride), kernel)(y)[0]


def _filter_gradient_in_strips(x, y):
    """The same for 3x3 kernels with images cut into strips of rows: CPUs go along images, and one or two are few."""
    _, height, width, _ = y.shape
    rows = height // _STRIPS
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = jnp.stack([x[:, rows * strip : rows * (strip + 1) + 2] for strip in range(_STRIPS)], axis=1)
    x, y = x.reshape(-1, *x.shape[2:]), y.reshape(-1, rows, width, y.shape[-1])
    kernel = jax.ShapeDtypeStruct((y.shape[-1], 3, 3, x.shape[-1]), x.dtype)
    return jax.linear_transpose(
        lambda kernel: lax.conv_general_dilated(x, kernel, (1, 1), 'VALID', dimension_numbers=_LAYOUT), kernel
    )(y)[0]


# --- kernels in memory


def _in_order(kernel):
    """Has axes in memory as they are; else XLA for GPUs turns weights, gradients and Adam's moments around for one."""
    return with_layout_constraint(kernel, Layout(tuple(range(kernel.ndim))))


def _in_order_on_accelerators(kernel):
    return lax.platform_dependent(kernel, cpu=lambda kernel: kernel, default=_in_order)


@jax.custom_vjp
def _from_weights(weight):
    """Starts from weights in order; stores their gradient in order, as updates that turn it around are not in place."""
    return _in_order_on_accelerators(weight)


_from_weights.defvjp(
    lambda weight: (_from_weights(weight), None),
    lambda _, d: (
        lax.platform_dependent(d, cpu=lambda d: d, default=lambda d: lax.optimization_barrier(_in_order(d))),
    ),
)


def _small_kernel(weight, form):
    """The kernel [3, 3, I, O] of a weight; its own adjoint."""
    weight = (weight[::-1, ::-1] if form.mirrored else weight) / form.divisor
    return weight.swapaxes(2, 3) if form.transposed else weight


def _large_kernel(weight, form, dtype):
    """The kernel [O, 4, 4, I] that also adds up 2x2 pixels: four copies of a 3x3 one, each shifted by a pixel."""
    kernel = _add_neighbours(jnp.pad(weight, ((1, 1), (1, 1), (0, 0), (0, 0))), 0)
    kernel = kernel.transpose(_TRANSPOSED if form.transposed else _FORWARD)
    return _in_order(((kernel[:, ::-1, ::-1] if form.mirrored else kernel) / form.divisor).astype(dtype))


def _to_weight(kernel, form):
    """Adjoint of `_large_kernel`; adds first, and turns around no more than is left."""
    kernel = _in_order(_add_neighbours((kernel[:, ::-1, ::-1] if form.mirrored else kernel) / form.divisor, 1))
    return kernel.transpose((1, 2, 0, 3) if form.transposed else (1, 2, 3, 0))


def _add_neighbours(kernel, axis):
    """Adds up 2x2 neighbours along `axis` and the one after."""
    for one in (axis, axis + 1):
        size = kernel.shape[one]
        kernel = lax.slice_in_dim(kernel, 1, size, axis=one) + lax.slice_in_dim(kernel, 0, size - 1, axis=one)
    return kernel
