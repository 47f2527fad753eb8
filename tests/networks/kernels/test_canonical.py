"""The order of axes of every convolution that a CPU computes, wherever it stands in a program."""

import re

import jax
import jax.numpy as jnp
import pytest

import tiny
from stylegan_jax.feature_networks import vgg
from stylegan_jax.networks.kernels import canonical, convolution
from stylegan_jax.runtime.by_platform import traced_for

LAYERS = {
    'same': convolution.same_convolve,
    'down': convolution.down_convolve,
    'up': lambda x, weight: convolution.up_convolve(x, weight, flip=True),
    'vgg': vgg.convolve,
}


def orders(function, *arguments):
    """The orders of axes of the convolutions that XLA computes."""
    with traced_for('cpu'):
        text = jax.jit(function).lower(*arguments).compile().as_text()
    return set(re.findall(r'dim_labels=(\S+?)[,\s]', text))


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='is about XLA for CPUs')
@pytest.mark.parametrize('batch', [2, 3])
@pytest.mark.parametrize('layer', LAYERS)
def test_convolutions_within_conditions_and_loops_have_the_order_of_the_fast_library(layer, batch):
    x, weight = tiny.normal(batch, 8, 8, 4), tiny.normal(3, 3, 4, 5, seed=1)

    def loss(x, weight):
        return jnp.sum(jnp.square(LAYERS[layer](x, weight)))

    def penalty(x, weight):
        return jnp.sum(jnp.square(jax.grad(loss)(x, weight)))

    gradients = jax.grad(loss if layer == 'vgg' else penalty, argnums=(0, 1))

    def conditional(x, weight):
        return jax.lax.cond(jnp.sum(x) > 0, gradients, lambda *both: both, x, weight)

    def repeated(x, weight):
        return jax.lax.fori_loop(0, jnp.int32(jnp.sum(x)), lambda _, both: gradients(*both), (x, weight))

    allowed = set() if layer in ('down', 'up') else {'b01f_01io->b01f'}
    assert orders(conditional, x, weight) == orders(repeated, x, weight) == allowed


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize('batch, height, width', [(1, 8, 5), (2, 16, 3), (3, 16, 4), (2, 6, 7)])
def test_derivatives_are_those_of_the_plain_convolution(batch, height, width):
    def plain(x, kernel):
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return sum(
            jnp.einsum('nhwi,io->nhwo', x[:, i : i + height, j : j + width], kernel[i, j])
            for i in range(3)
            for j in range(3)
        )

    x, kernel = tiny.normal(batch, height, width, 3), tiny.normal(3, 3, 3, 5, seed=1)
    ours, theirs = (tiny.with_gradients(function, x, kernel) for function in (canonical.convolve, plain))
    tiny.assert_trees_close(ours, theirs, rtol=1e-10, atol=1e-10)
