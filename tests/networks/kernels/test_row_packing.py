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


@pytest.mark.parametrize('pixels', [2, 4, 8])
@pytest.mark.parametrize('size, stride', [(3, 1), (4, 2)])
def test_convolution_of_blocks_is_that_of_pixels(float64, size, stride, pixels):
    x, kernel = tiny.normal(2, 6, 3 * pixels, 3), tiny.normal(5, size, size, 3, seed=1)
    plain = lax.conv_general_dilated(x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)
    packed = row_packing.pack_kernel(kernel, pixels, stride)
    assert packed.shape == (pixels // stride * 5, size, 3, pixels * 3)
    blocks = lax.conv_general_dilated(
        row_packing.pack_images(x, pixels), packed, (stride, 1), ((1, 1), (1, 1)), dimension_numbers=LAYOUT
    )
    np.testing.assert_allclose(row_packing.unpack_images(blocks, pixels // stride), plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('pixels', [2, 4, 8])
@pytest.mark.parametrize('size, stride', [(3, 1), (4, 2)])
def test_adjoint_of_the_kernel(float64, size, stride, pixels):
    kernel = tiny.normal(5, size, size, 3)
    packed, transposed = jax.vjp(lambda kernel: row_packing.pack_kernel(kernel, pixels, stride), kernel)
    gradient = tiny.normal(*packed.shape, seed=1)
    np.testing.assert_allclose(
        row_packing.pack_kernel_adjoint(gradient, pixels, stride), transposed(gradient)[0], rtol=1e-12, atol=1e-12
    )


# --- What XLA makes of them on an H100, seen without the chip; see tests/benchmarks/test_graph.py.


@functools.cache
def graphs():
    """Compiles once for all tests."""
    return h100_script.run(pathlib.Path(__file__).with_name('narrow_graphs.py'))


@pytest.mark.full
@pytest.mark.parametrize('name', ['same', 'down', 'up'])
def test_blocks_take_the_same_library_calls_as_pixels(name):
    packed, plain = graphs()[name]['packed'], graphs()[name]['plain']
    window = '3x3' if name == 'same' else '4x3'
    assert {(call[1], call[2]) for call in packed['calls']} == {(window, 'bf16')}
    # Forward, input gradient and filter gradient, each as often as before.
    assert len(plain['calls']) == 3
    assert {call[0]: call[3] for call in packed['calls']} == {call[0]: call[3] for call in plain['calls']}
    assert not packed['oversized_filters'] and not packed['dilated_pads'] and not packed['float32_convolutions']


@pytest.mark.full
@pytest.mark.parametrize('name', ['same', 'down', 'up'])
def test_blocks_take_no_more_kernels_than_pixels(name):
    packed, plain = graphs()[name]['packed'], graphs()[name]['plain']
    assert packed['kernels'] <= plain['kernels']
    assert not packed['moved_images']
