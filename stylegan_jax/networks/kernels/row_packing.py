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

Blocks of inputs may be smaller than those of results: where the size stays, half blocks are read, four in a row, which
leaves out a third of the zeros. A kernel that filters along rows first (`row_blur`) reaches further than one pixel
beyond a block; `pixels_with_blur` sees to it that it stays within the next one.

Blocks take 2 * P / 3 times the products of a 3x3 kernel, and 3 * P / 4 times those of a 4x4 kernel. This pays in
bfloat16 and float16, where a GPU multiplies far faster than it reads.
"""

from collections.abc import Sequence

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
    All of these read whole blocks. Half blocks and halving were not measured; the same rule has their calls filled with
    64 features.

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


def pixels_with_blur(width: int, features: int, taps: Sequence[float], dtype: jnp.dtype) -> int:
    """Returns the number of pixels of a block of larger images, for halving that filters along rows as well.

    The same as `pixels_per_block`, but 2 from 33 to 64 features, where blocks do not pay by themselves, and save a pass
    over all features with the filter. 1 where the filter has to be on its own.

    Args:
      width: of the larger images.
      features: of the larger images.
      taps: of the filter, an odd number.
      dtype: of the images.
    """
    pixels = pixels_per_block(width, features, dtype)
    if pixels == 1 and _FEATURES // 2 < features <= _FEATURES and is_half_precision(dtype) and width % 2 == 0:
        pixels = 2
    # In images narrower than the filter both edges would be one.
    return pixels if 1 < len(taps) <= min(2 * pixels - 1, width) else 1


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


def pack_kernel(kernel: jax.Array, inputs: int, results: int, stride: int = 1) -> jax.Array:
    """Returns the kernel that maps blocks to blocks as a kernel maps pixels to pixels.

    Args:
      kernel: [O, 3, 3, I] for stride 1, or [O, 4, 4 or more, I] for stride 2.
      inputs: number of pixels of a block of the inputs.
      results: number of pixels of a block of the results; `inputs` divides results * stride.
      stride: of the kernel.

    Returns:
      [results * O, 3 or 4, B, inputs * I] for the same stride along columns. Along rows the stride is
      S = results * stride / inputs blocks, and B = S + 2.
    """
    outputs, height, width, features = kernel.shape
    row = results * stride + 2 * inputs  # pixels that the kernel of a block reaches
    shifted = [
        jnp.pad(kernel, ((0, 0), (0, 0), (first, row - width - first), (0, 0)))
        for first in _first_pixels(width, inputs, results, stride)
    ]
    return jnp.stack(shifted).reshape(results * outputs, height, row // inputs, inputs * features)


def pack_kernel_adjoint(packed: jax.Array, width: int, inputs: int, results: int, stride: int = 1) -> jax.Array:
    """Computes the adjoint of `pack_kernel` for kernels of this width: sums over the places that each weight has."""
    rows = packed.reshape(results, -1, packed.shape[1], packed.shape[2] * inputs, packed.shape[3] // inputs)
    places = _first_pixels(width, inputs, results, stride)
    return sum(rows[place, :, :, first : first + width] for place, first in enumerate(places))


def _first_pixels(width, inputs, results, stride):
    """Returns the first pixel that each result of a block reads, counted from the start of the block to the left."""
    first = inputs - (width - stride) // 2
    return range(first, first + results * stride, stride)
