"""Images of few features as images of many: neighbouring pixels of a row are taken as one pixel, a block.

cuDNN computes convolutions in tiles of 64 features, and takes the time of a whole tile where an image has 16. In
row-major order a block of P pixels with C features each is P * C numbers that follow one another: an image [N, H, W, C]
is the same memory as an image [N, H, W / P, P * C] with P times the features.

A convolution of pixels is a convolution of blocks as well, with another kernel. Each pixel of a block of results is
one feature of it, and reads from its own block and from the two beside it. The weights keep their places in a row of
3 * P pixels, which is a row of 3 blocks; the rest of it is zero:

    P = 2, 3x3 kernel (a b c)     pixels       0 1   2 3   4 5
                                  result 2     0 a   b c   0 0
                                  result 3     0 0   a b   c 0

The same holds where the size is halved, with a 4x4 kernel: P pixels of the larger image against P / 2 of the smaller
one, so that both have blocks in equal number and the stride along a row is 1. Zero padding by one block on each side is
exact, because the weights reach one pixel beyond a block.

Blocks take P times the products of a 3x3 kernel, and 3 * P / 4 times those of a 4x4 kernel. This pays in bfloat16 and
float16, where a GPU multiplies far faster than it reads.
"""

import jax
import jax.numpy as jnp

from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels.storage import is_half_precision

_FEATURES = 64  # of one tile of cuDNN


def pixels_per_block(width: int, features: int, dtype: jnp.dtype) -> int:
    """Returns the number of pixels that a convolution takes as one; 1 where it is faster as it is.

    A block fills a tile of 64 features and no more: on an H200, in bfloat16, a 3x3 convolution of 8 images of 1024x1024
    with 16 features took 816 us pixel by pixel, and 400, 323 and 455 us with blocks of 2, 4 and 8 pixels. At 512x512
    with 32 features it took 202, 172 and 232 us with blocks of 1, 2 and 4. Convolutions with 64 features became slower.
    Halving was not measured; the same rule has its calls filled with 64 features.

    Args:
      width: of the images, of the larger ones where the size is halved.
      features: of the inputs or of the results, whichever have more. Where the size is halved, those of the larger
        images: blocks of the smaller ones have half as many pixels.
      dtype: of the images. In float32 and float64 products are too dear for more of them.

    Returns:
      A power of two that divides the width.
    """
    pixels = _FEATURES // features
    if pixels < 2 or not is_half_precision(dtype):
        return 1
    pixels = 1 << (pixels.bit_length() - 1)  # the power of two at or below
    return 1 if width % pixels else pixels


def pack_images(x: jax.Array, pixels: int) -> jax.Array:
    """Takes blocks of pixels as one: [N, H, W, C] -> [N, H, W / pixels, pixels * C].

    Images are pinned to the row-major layout here and in `unpack_images`: XLA carries the layout that convolutions ask
    for no further than a reshape, and would choose another one for the work between two convolutions.
    """
    batch, height, width, features = x.shape
    return ops.row_major(x).reshape(batch, height, width // pixels, pixels * features)


def unpack_images(x: jax.Array, pixels: int) -> jax.Array:
    """Reverts `pack_images`."""
    batch, height, width, features = x.shape
    return ops.row_major(x.reshape(batch, height, width * pixels, features // pixels))


def pack_kernel(kernel: jax.Array, pixels: int, stride: int = 1) -> jax.Array:
    """Returns the kernel that maps blocks to blocks as a kernel maps pixels to pixels.

    Args:
      kernel: [O, 3, 3, I] for stride 1 or [O, 4, 4, I] for stride 2.
      pixels: of a block of the inputs; blocks of results have pixels / stride.
      stride: of the kernel.

    Returns:
      [pixels / stride * O, 3 or 4, 3, pixels * I], for the same stride along columns and stride 1 along rows.
    """
    outputs, height, width, inputs = kernel.shape
    shifted = [
        jnp.pad(kernel, ((0, 0), (0, 0), (first, 3 * pixels - width - first), (0, 0)))
        for first in _first_pixels(pixels, stride)
    ]
    return jnp.stack(shifted).reshape(len(shifted) * outputs, height, 3, pixels * inputs)


def pack_kernel_adjoint(packed: jax.Array, pixels: int, stride: int = 1) -> jax.Array:
    """Computes the adjoint of `pack_kernel`: sums over the places that each weight has."""
    firsts, size = _first_pixels(pixels, stride), packed.shape[1]  # kernels are as wide as high
    rows = packed.reshape(len(firsts), -1, size, 3 * pixels, packed.shape[-1] // pixels)
    return sum(rows[place, :, :, first : first + size] for place, first in enumerate(firsts))


def _first_pixels(pixels, stride):
    """Returns the first pixel that each result of a block reads, counted from the start of the block to the left."""
    return range(pixels - 1, 2 * pixels - 1, stride)
