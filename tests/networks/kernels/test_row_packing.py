"""Blocks of neighbouring pixels: their number, and their kernels against convolutions of pixels."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import h100_script
import tiny
from stylegan_jax.networks.kernels import row_packing
from stylegan_jax.networks.kernels.row_packing import pixels_per_block

LAYOUT = ('NHWC', 'OHWI', 'NHWC')


@pytest.mark.parametrize(
    'width, features, pixels',
    [(1024, 16, 4), (512, 32, 2), (256, 64, 1), (1024, 512, 1), (24, 20, 2), (6, 16, 1), (7, 32, 1), (4, 513, 1)],
)
def test_blocks_fill_a_tile_and_divide_the_width(width, features, pixels):
    for dtype in (jnp.bfloat16, np.float16):
        assert pixels_per_block(width, features, dtype) == pixels


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_exact_products_stay_as_they_are(dtype):
    assert pixels_per_block(1024, 16, dtype) == 1


def test_images_come_back():
    x = tiny.normal(2, 3, 8, 5)
    packed = row_packing.pack_images(x, 4)
    assert packed.shape == (2, 3, 2, 20)
    np.testing.assert_array_equal(packed[:, :, 1, 5:10], x[:, :, 5])
    np.testing.assert_array_equal(row_packing.unpack_images(packed, 4), x)


# (height and width of a kernel, its stride, pixels of a block of inputs, pixels of a block of results)
BLOCKS = [
    *(((3, 3), 1, pixels, pixels) for pixels in (2, 4, 8)),
    *(((3, 3), 1, pixels // 2, pixels) for pixels in (2, 4, 8)),
    *(((4, 4), 2, pixels, pixels // 2) for pixels in (2, 4, 8)),
    *(((4, 6), 2, pixels, pixels // 2) for pixels in (2, 4)),
    ((4, 8), 2, 4, 2),
]


@pytest.mark.parametrize('sizes, stride, inputs, results', BLOCKS)
def test_convolution_of_blocks_is_that_of_pixels(float64, sizes, stride, inputs, results):
    x, kernel = tiny.normal(2, 6, 3 * max(inputs, results), 3), tiny.normal(5, *sizes, 3, seed=1)
    edges = [((size - stride) // 2,) * 2 for size in sizes]
    plain = lax.conv_general_dilated(x, kernel, (stride, stride), edges, dimension_numbers=LAYOUT)
    packed = row_packing.pack_kernel(kernel, inputs, results, stride)
    steps = results * stride // inputs
    assert packed.shape == (results * 5, sizes[0], steps + 2, inputs * 3)
    blocks = lax.conv_general_dilated(
        row_packing.pack_images(x, inputs), packed, (stride, steps), (edges[0], (1, 1)), dimension_numbers=LAYOUT
    )
    np.testing.assert_allclose(row_packing.unpack_images(blocks, results), plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('sizes, stride, inputs, results', BLOCKS)
def test_adjoint_of_the_kernel(float64, sizes, stride, inputs, results):
    kernel = tiny.normal(5, *sizes, 3)
    packed, transposed = jax.vjp(lambda kernel: row_packing.pack_kernel(kernel, inputs, results, stride), kernel)
    gradient = tiny.normal(*packed.shape, seed=1)
    ours = row_packing.pack_kernel_adjoint(gradient, sizes[1], inputs, results, stride)
    np.testing.assert_allclose(ours, transposed(gradient)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    'width, features, taps, pixels',
    [
        (1024, 16, (1, 2, 1), 4),
        (256, 64, (1, 2, 1), 2),  # here blocks pay because of the filter
        (256, 33, (1, 2, 1), 2),
        (128, 128, (1, 2, 1), 1),
        (255, 64, (1, 2, 1), 1),
        (512, 32, (1, 4, 6, 4, 1), 1),  # too wide for three blocks
        (1024, 16, (1, 4, 6, 4, 1), 4),
        (1024, 16, (), 1),
        (1024, 16, (1,), 1),
    ],
)
def test_blocks_that_have_room_for_a_filter(width, features, taps, pixels):
    assert row_packing.pixels_with_blur(width, features, taps, jnp.bfloat16) == pixels
    assert row_packing.pixels_with_blur(width, features, taps, np.float32) == 1


# --- What XLA makes of them on an H100, seen without the chip; see tests/benchmarks/test_graph.py.


@functools.cache
def graphs():
    """Compiles once for all tests."""
    return h100_script.run(pathlib.Path(__file__).with_name('narrow_graphs.py'))


@pytest.mark.full
@pytest.mark.parametrize('name', ['same', 'down', 'up'])
def test_blocks_take_the_same_library_calls_as_pixels(name):
    packed, plain = graphs()[name]['packed'], graphs()[name]['plain']
    windows = {'3x4', '3x3'} if name == 'same' else {'4x3'}
    assert {call[1] for call in packed['calls']} == windows and {call[2] for call in packed['calls']} == {'bf16'}
    # Forward, input gradient and filter gradient, as often as before; an input gradient that keeps the size is a
    # convolution in blocks.
    assert len(plain['calls']) == 3 and len(packed['calls']) == (2 if name == 'same' else 3)
    assert sum(call[3] for call in packed['calls']) == sum(call[3] for call in plain['calls'])
    assert not packed['oversized_filters'] and not packed['dilated_pads'] and not packed['float32_convolutions']


@pytest.mark.full
@pytest.mark.parametrize('name', ['same', 'down', 'up'])
def test_blocks_take_no_more_kernels_than_pixels(name):
    packed, plain = graphs()[name]['packed'], graphs()[name]['plain']
    assert packed['kernels'] <= plain['kernels']
    assert not packed['moved_images']
