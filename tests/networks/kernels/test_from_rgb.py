"""From colours to features, against a plain 1x1 convolution, up to second derivatives."""

import jax
import jax.numpy as jnp
import pytest
from test_epilogue import assert_roughly_same, assert_same, derivatives

import tiny
from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import from_rgb

each_nonlinearity = pytest.mark.parametrize('nonlinearity', ['lrelu', 'relu'])


@pytest.fixture(params=['float64', 'half precision'])
def form(request, monkeypatch):
    """Runs a test in float64 with the form of float64, and with the form of half precision."""
    if request.param == 'float64':
        yield request.param
        return
    monkeypatch.setattr(from_rgb, 'is_half_precision', lambda dtype: True)
    jax.clear_caches()  # a trace made the other way would pass for this one
    yield request.param
    jax.clear_caches()


def colours(channels=3):
    return tiny.normal(2, 4, 5, channels), tiny.normal(channels, 6, seed=1), tiny.normal(6, seed=2)


@pytest.mark.parametrize('channels', [1, 3])
@each_nonlinearity
def test_features_of_colours(float64, form, nonlinearity, channels):
    assert_same(
        lambda *a: from_rgb.features_of_colours(*a, nonlinearity, jnp.float64),
        lambda x, weight, bias: ops.rectify(ops.dense(x, weight) + bias, nonlinearity),
        colours(channels),
    )


@each_nonlinearity
@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_features_of_colours_in_half_precision(nonlinearity, dtype):
    arguments = [a.astype(jnp.float32) for a in colours()]
    short, exact = (
        derivatives(lambda *a: from_rgb.features_of_colours(*a, nonlinearity, dtype), *arguments)
        for dtype in (dtype, jnp.float32)
    )
    assert short[0].dtype == dtype and {g.dtype for g in short[1] + short[2]} == {jnp.dtype('float32')}
    assert_roughly_same(short, exact)
