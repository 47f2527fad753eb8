"""The convolution trio against plain convolutions, up to second derivatives."""
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import tiny
from stylegan_jax.networks.convolution import convolve, filter_gradient, transposed_convolve

pytestmark = pytest.mark.usefixtures('float64')
SIZES = {1: 3, 2: 4}     # stride -> kernel


def plain_convolve(x, kernel, stride):
    return lax.conv_general_dilated(x, kernel, (stride, stride), ((1, 1), (1, 1)),
                                    dimension_numbers=('NHWC', 'OHWI', 'NHWC'))


def plain_transposed(y, kernel, stride):
    x = jnp.zeros((y.shape[0], y.shape[1] * stride, y.shape[2] * stride, kernel.shape[-1]))
    return jax.vjp(lambda x: plain_convolve(x, kernel, stride), x)[1](y)[0]


def plain_filter_gradient(x, y, stride):
    kernel = jnp.zeros((y.shape[-1], SIZES[stride], SIZES[stride], x.shape[-1]))
    return jax.vjp(lambda kernel: plain_convolve(x, kernel, stride), kernel)[1](y)[0]


def cases(stride, batch=2, height=4):
    """(ours, plain, two arguments) for each of the trio."""
    x, y = tiny.normal(batch, height, 6, 3), tiny.normal(batch, height // stride, 6 // stride, 5, seed=1)
    kernel = tiny.normal(5, SIZES[stride], SIZES[stride], 3, seed=2)
    return {
        'convolve': (lambda a, b: convolve(a, b, stride),
                     lambda a, b: plain_convolve(a, b, stride), x, kernel),
        'transposed_convolve': (lambda a, b: transposed_convolve(a, b, stride),
                                lambda a, b: plain_transposed(a, b, stride), y, kernel),
        'filter_gradient': (lambda a, b: filter_gradient(a, b, SIZES[stride], stride),
                            lambda a, b: plain_filter_gradient(a, b, stride), x, y)}


def gradients(function):
    return jax.grad(lambda a, b: jnp.sum(jnp.sin(function(a, b))), argnums=(0, 1))


def second_derivatives(function):
    """Derivatives of the gradients' squares: what R1 needs."""
    return jax.grad(lambda a, b: sum(jnp.sum(g ** 2) for g in gradients(function)(a, b)), argnums=(0, 1))


@pytest.mark.parametrize('derive', [lambda function: function, gradients, second_derivatives],
                         ids=['value', 'gradients', 'second_derivatives'])
@pytest.mark.parametrize('name', ['convolve', 'transposed_convolve', 'filter_gradient'])
@pytest.mark.parametrize('stride', [1, 2])
def test_equals_plain_convolution(forms, stride, name, derive):
    ours, plain, *arguments = cases(stride)[name]
    tiny.assert_trees_close(jax.jit(derive(ours))(*arguments), jax.jit(derive(plain))(*arguments), rtol=1e-10,
                            atol=1e-10)


@pytest.mark.parametrize('derive', [lambda function: function, gradients, second_derivatives],
                         ids=['value', 'gradients', 'second_derivatives'])
@pytest.mark.parametrize('batch, height', [(1, 8), (2, 16), (3, 16)])
def test_filter_gradient_in_strips(forms, batch, height, derive):
    ours, plain, *arguments = cases(1, batch, height)['filter_gradient']
    tiny.assert_trees_close(jax.jit(derive(ours))(*arguments), jax.jit(derive(plain))(*arguments), rtol=1e-10,
                            atol=1e-10)
    strips = f'{8 * batch}x{height // 8 + 2}x8x3xf64' in jax.jit(ours).lower(*arguments).as_text()
    assert strips == (forms == 'own' and jax.default_backend() == 'cpu' and batch < 3)


@pytest.mark.parametrize('stride', [1, 2])
def test_second_derivatives_use_no_other_forms_of_convolution(forms, stride):
    def seen(function, *arguments):
        text = jax.jit(function).lower(*arguments).as_text()
        return set(re.findall(r'stablehlo.convolution.*?dim_numbers = (.*?), window = (\{.*?\}) ', text))

    trio = set().union(*(seen(ours, a, b) for ours, _, a, b in cases(stride).values()))
    ours, _, a, b = cases(stride)['convolve']
    assert len(trio) == 3
    assert seen(second_derivatives(ours), a, b) == trio


def test_forms_differ_where_the_stride_is_2(forms):
    ours, _, a, b = cases(2)['convolve']
    blocks = 'tensor<5x2x2x12x' in jax.jit(ours).lower(a, b).as_text()
    assert blocks == (forms == 'own' and jax.default_backend() == 'cpu')


def test_zero_padding_keeps_the_size():
    x = jnp.ones((1, 4, 4, 1))
    y = convolve(x, jnp.ones((1, 3, 3, 1)))[0, :, :, 0]
    np.testing.assert_array_equal(y, [[4, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]])
