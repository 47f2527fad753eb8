"""The convolutions of `convolution` for blocks of pixels, which GPUs take where images have few features.

See `row_packing` for why, and `row_blur` for the filter along rows that blocks have room for.
"""

import jax

from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import library_convolution as library
from stylegan_jax.networks.kernels import row_blur, row_packing
from stylegan_jax.networks.kernels.kernel_forms import KernelForm, kernel_4x4


def convolve(x: jax.Array, kernel: jax.Array, pixels: int) -> jax.Array:
    """Convolves images [N, H, W, I] with a kernel [O, 3, 3, I] in blocks of `pixels` results: [N, H, W, O].

    Blocks of the images have half as many pixels as those of results. A tile of cuDNN is filled by the features of the
    results; wider blocks of the images would only add zeros to the kernel: a row of 4 half blocks has two thirds of the
    products of a row of 3 blocks.
    """
    kernel = ops.row_major(row_packing.pack_kernel(kernel, pixels // 2, pixels))
    y = library.correlate(row_packing.pack_images(x, pixels // 2), kernel, (1, 2))
    return row_packing.unpack_images(y, pixels)


def transposed_convolve(y: jax.Array, kernel: jax.Array, pixels: int) -> jax.Array:
    """Computes the adjoint of `convolve` in its images, which is a convolution with the reversed kernel."""
    return convolve(y, kernel[:, ::-1, ::-1].transpose(3, 1, 2, 0), pixels)


def filter_gradient(x: jax.Array, y: jax.Array, pixels: int) -> jax.Array:
    """Computes the adjoint of `convolve` in its kernel: ([N, H, W, I], [N, H, W, O]) -> [O, 3, 3, I] in float32."""
    return _filter_gradient(x, y, (3, 3), pixels)


def convolve_down(x: jax.Array, weight: jax.Array, form: KernelForm, pixels: int) -> jax.Array:
    """Computes `convolution.convolve_down` in blocks of `pixels` of the larger images."""
    kernel, blurred = _kernels(weight, form, x.dtype)
    packed = ops.row_major(row_packing.pack_kernel(blurred, pixels, pixels // 2, 2))
    y = row_packing.unpack_images(library.correlate(row_packing.pack_images(x, pixels), packed, (2, 1)), pixels // 2)
    return row_blur.subtract_from_small(y, x, kernel, form.taps) if form.taps else y


def convolve_up(y: jax.Array, weight: jax.Array, form: KernelForm, pixels: int) -> jax.Array:
    """Computes `convolution.convolve_up` in blocks of `pixels` of the larger images."""
    kernel, blurred = _kernels(weight, form, y.dtype)
    packed = ops.row_major(row_packing.pack_kernel(blurred, pixels, pixels // 2, 2))
    x = library.correlate_transposed(row_packing.pack_images(y, pixels // 2), packed, (2, 1))
    x = row_packing.unpack_images(x, pixels)
    return row_blur.subtract_from_large(x, y, kernel, form.taps) if form.taps else x


def down_filter_gradient(x: jax.Array, y: jax.Array, form: KernelForm, pixels: int) -> jax.Array:
    """Computes the gradient of the 4x4 kernel for `convolution.down_filter_gradient`: [O, 4, 4, I]."""
    if not form.taps:
        return _filter_gradient(x, y, (4, 4), pixels, 2)
    dkernel = _filter_gradient(x, y, (4, 3 + len(form.taps)), pixels, 2)
    return row_blur.subtract_from_kernel(row_blur.kernel_with_blur_adjoint(dkernel, form.taps), x, y, form.taps)


def _filter_gradient(x, y, sizes, pixels, stride=1):
    """Computes [O, *sizes, I] in float32 or float64 from [N, H, W, I] and [N, H / stride, W / stride, O]."""
    results = pixels // stride
    x, y = row_packing.pack_images(x, pixels), row_packing.pack_images(y, results)
    packed = ops.row_major(library.filter_gradient(x, y, (sizes[0], 3), (stride, 1)))
    return row_packing.pack_kernel_adjoint(ops.at_least_float32(packed), sizes[1], pixels, results, stride)


def _kernels(weight, form, dtype):
    """Returns the 4x4 kernel, and the one that filters along rows as well."""
    kernel = kernel_4x4(weight, form, dtype)
    if not form.taps:
        return kernel, kernel
    exact = kernel_4x4(weight, form, weight.dtype)
    return kernel, row_blur.kernel_with_blur(exact, form.taps).astype(dtype)
