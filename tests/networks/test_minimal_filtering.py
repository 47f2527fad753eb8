"""Convolutions with fewer products: rounding at real widths, short types, and where they are taken."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.networks import convolution, minimal_filtering
from stylegan_jax.networks.convolution import convolve, filter_gradient, transposed_convolve


def wide(dtype):
    x, y = tiny.normal(1, 16, 16, 128).astype(dtype), tiny.normal(1, 16, 16, 160, seed=1).astype(dtype)
    return x, y, (tiny.normal(160, 3, 3, 128, seed=2) / 30).astype(dtype)


def results(dtype):
    x, y, kernel = wide(dtype)
    down = convolution.down_convolve(x, kernel.transpose(1, 2, 3, 0).astype(jnp.promote_types(dtype, jnp.float32)))
    return convolve(x, kernel), transposed_convolve(y, kernel), filter_gradient(x, y), down


@pytest.mark.parametrize('dtype, bound', [(jnp.float32, 2e-6), (jnp.bfloat16, 0.01)])
def test_rounding(float64, dtype, bound):
    exact = results(jnp.float64)
    for ours, expected in zip(jax.jit(results, static_argnums=0)(dtype), exact):
        assert ours.dtype == dtype
        assert np.linalg.norm(ours - expected) < bound * np.linalg.norm(expected)


@pytest.mark.skipif('jax.default_backend() != "cpu"')
def test_wide_layers_are_products_of_matrices_on_a_cpu():
    text = jax.jit(results, static_argnums=0).lower(jnp.float32).as_text()
    assert 'stablehlo.convolution' not in text


@pytest.mark.parametrize('batch, height, width, inputs, outputs, expected', [
    (1, 16, 16, 128, 128, True), (4, 8, 8, 128, 128, True), (1, 64, 64, 512, 256, True),
    (1, 16, 16, 128, 96, False), (1, 16, 16, 96, 128, False), (1, 8, 8, 512, 512, False), (2, 15, 16, 128, 128, False)])
def test_where_they_are_taken(batch, height, width, inputs, outputs, expected):
    x, y = (jax.ShapeDtypeStruct((batch, height, width, channels), jnp.float32) for channels in (inputs, outputs))
    assert minimal_filtering.saves_time(x, y) == expected
