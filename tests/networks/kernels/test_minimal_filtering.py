"""Convolutions with fewer products: rounding at real widths, half precision, and where they are taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.networks.kernels import convolution, minimal_filtering
from stylegan_jax.networks.kernels.convolution import convolve, filter_gradient, transposed_convolve


def wide(dtype):
    x, y = tiny.normal(1, 16, 16, 128).astype(dtype), tiny.normal(1, 16, 16, 160, seed=1).astype(dtype)
    return x, y, (tiny.normal(160, 3, 3, 128, seed=2) / 30).astype(dtype)


def results(dtype):
    """Of all six, with 128 and 160 features."""
    x, y, kernel = wide(dtype)
    weight = kernel.transpose(1, 2, 3, 0).astype(jnp.promote_types(dtype, jnp.float32))
    form = convolution.KernelForm(divisor=4)
    return (
        convolve(x, kernel),
        transposed_convolve(y, kernel),
        filter_gradient(x, y),
        convolution.convolve_down(x, weight, form),
        convolution.convolve_up(y, weight, form),
        convolution.down_filter_gradient(x, y[:, ::2, ::2], form),
    )


@pytest.mark.parametrize(
    'dtype, bound',
    [
        *(pytest.param(*pair, marks=pytest.mark.full) for pair in ((jnp.float32, 2e-6), (jnp.float16, 5e-4))),
        (jnp.bfloat16, 0.004),
    ],
)
def test_rounding(float64, dtype, bound):
    """Short types are rounded no more often than at the start and at the end."""
    exact = results(jnp.float64)
    rounded = jax.jit(results, static_argnums=0)(dtype)
    # Two functions of images, and the gradient of their kernel; the same where the size is halved and doubled.
    assert [ours.dtype for ours in rounded] == 2 * [dtype, dtype, jnp.float32]
    for ours, expected in zip(rounded, exact, strict=True):
        assert np.linalg.norm(ours - expected) < bound * np.linalg.norm(expected)


@pytest.mark.skipif('jax.default_backend() != "cpu"')
def test_wide_layers_and_their_derivatives_are_products_of_matrices_on_a_cpu():
    def second(x, kernel):
        return jax.grad(
            lambda *a: sum(
                jnp.sum(g**2) for g in jax.grad(lambda *b: jnp.sum(jnp.sin(convolve(*b))), argnums=(0, 1))(*a)
            ),
            argnums=(0, 1),
        )(x, kernel)

    x, _, kernel = wide(jnp.float32)
    for function, arguments in ((second, (x, kernel)), (lambda: results(jnp.float32), ())):
        assert 'stablehlo.convolution' not in jax.jit(function).lower(*arguments).as_text()


@pytest.mark.parametrize(
    'batch, height, width, inputs, outputs, expected',
    [
        (1, 16, 16, 128, 128, True),
        (4, 8, 8, 128, 128, True),
        (1, 64, 64, 512, 256, True),
        (1, 16, 16, 128, 96, False),
        (1, 16, 16, 96, 128, False),
        (1, 8, 8, 512, 512, False),
        (2, 15, 16, 128, 128, False),
    ],
)
def test_where_they_are_taken(batch, height, width, inputs, outputs, expected):
    assert minimal_filtering.saves_time((batch, height, width, inputs), outputs) == expected
