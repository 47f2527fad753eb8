"""The convolutions and their adjoints against plain ones, up to second derivatives."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import tiny
from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import convolution, minimal_filtering, row_packing, two_pass_blur
from stylegan_jax.networks.kernels.convolution import convolve, filter_gradient, transposed_convolve
from stylegan_jax.runtime import flops
from stylegan_jax.runtime.by_platform import traced_for

pytestmark = pytest.mark.usefixtures('float64')
DOWN = convolution.KernelForm(divisor=4)
SAME, HALVING = (
    ('convolve', 'transposed_convolve', 'filter_gradient'),
    ('convolve_down', 'convolve_up', 'down_filter_gradient'),
)


def plain_convolve(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'OHWI', 'NHWC'))


def plain_down(x, weight):
    return ops.downscale(plain_convolve(x, weight.transpose(3, 0, 1, 2)))


def adjoints(plain, x, kernel):
    """Of a bilinear function in its first and in its second argument, both as functions of two arrays."""
    return (
        lambda y, kernel: jax.vjp(lambda x: plain(x, kernel), jnp.zeros_like(x))[1](y)[0],
        lambda x, y: jax.vjp(lambda kernel: plain(x, kernel), jnp.zeros_like(kernel))[1](y)[0],
    )


def cases(batch=2, height=4, width=6, inputs=3, outputs=5):
    """(ours, plain, two arguments) for each of the six."""
    x, y, small = (
        tiny.normal(batch, height, width, inputs),
        tiny.normal(batch, height, width, outputs, seed=1),
        tiny.normal(batch, height // 2, width // 2, outputs, seed=1),
    )
    kernel, weight = tiny.normal(outputs, 3, 3, inputs, seed=2), tiny.normal(3, 3, inputs, outputs, seed=2)
    transposed, gradient = adjoints(plain_convolve, x, kernel)
    up, down_gradient = adjoints(plain_down, x, weight)
    return {
        'convolve': (convolve, plain_convolve, x, kernel),
        'transposed_convolve': (transposed_convolve, transposed, y, kernel),
        'filter_gradient': (filter_gradient, gradient, x, y),
        'convolve_down': (lambda a, b: convolution.convolve_down(a, b, DOWN), plain_down, x, weight),
        'convolve_up': (lambda a, b: convolution.convolve_up(a, b, DOWN), up, small, weight),
        'down_filter_gradient': (lambda a, b: convolution.down_filter_gradient(a, b, DOWN), down_gradient, x, small),
    }


def gradients(function):
    return jax.grad(lambda a, b: jnp.sum(jnp.sin(function(a, b))), argnums=(0, 1))


def second_derivatives(function):
    """Derivatives of the gradients' squares: what R1 needs."""
    return jax.grad(lambda a, b: sum(jnp.sum(g**2) for g in gradients(function)(a, b)), argnums=(0, 1))


@pytest.fixture
def minimal_forms(monkeypatch):
    """Has CPUs take the forms with fewer products for few features as well."""
    monkeypatch.setattr(minimal_filtering, 'saves_time', lambda shape, channels: True)
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.fixture
def gpu_forms():
    """Runs a test with the forms for GPUs, which are as exact on a CPU."""
    with traced_for('cuda'):
        yield


@pytest.fixture
def packed_forms(monkeypatch, gpu_forms):
    """Has GPUs take blocks of pixels in double precision as well."""
    monkeypatch.setattr(row_packing, 'is_half_precision', lambda dtype: jnp.dtype(dtype) != jnp.float32)
    jax.clear_caches()  # a trace made pixel by pixel would pass for one in blocks
    yield
    jax.clear_caches()


DERIVATIVES = {'value': lambda function: function, 'gradients': gradients, 'second_derivatives': second_derivatives}
derivatives = pytest.mark.parametrize('derive', DERIVATIVES.values(), ids=DERIVATIVES)
# The second derivatives are wrong where values or first ones are.
deepest_derivatives = pytest.mark.parametrize(
    'derive',
    [
        pytest.param(derive, marks=() if derive is second_derivatives else pytest.mark.full, id=name)
        for name, derive in DERIVATIVES.items()
    ],
)


def assert_equals_plain(name, derive, **sizes):
    ours, plain, *arguments = cases(**sizes)[name]
    tiny.assert_trees_close(
        jax.jit(derive(ours))(*arguments), jax.jit(derive(plain))(*arguments), rtol=1e-10, atol=1e-10
    )


@derivatives
@pytest.mark.parametrize('name', SAME + HALVING)
def test_equals_plain_convolution(forms, name, derive):
    assert_equals_plain(name, derive)


@derivatives
@pytest.mark.parametrize('name', SAME)
def test_with_fewer_products_equals_plain_convolution(minimal_forms, name, derive):
    assert_equals_plain(name, derive)


@deepest_derivatives
@pytest.mark.parametrize('name', SAME + HALVING)
@pytest.mark.parametrize(
    'width, inputs, outputs',
    [(16, 16, 16), (12, 16, 32), (6, 32, 16), (8, 3, 5), (32, 3, 5), (6, 16, 16)],
    ids=['4', '2 or 4', '2', '8 in one block', '8 or 16', 'blocks do not divide the width'],
)
def test_in_blocks_equals_plain_convolution(packed_forms, name, derive, width, inputs, outputs):
    assert_equals_plain(name, derive, width=width, inputs=inputs, outputs=outputs)


@pytest.mark.parametrize('names, kinds', [(SAME, 2), (HALVING, 3)], ids=['same', 'halving'])
def test_second_derivatives_in_blocks_use_no_other_forms_of_convolution(packed_forms, names, kinds):
    assert_only_three_forms(names, kinds, width=16, inputs=16, outputs=16)
    ours, _, *arguments = cases(width=16, inputs=16, outputs=16)[names[0]]
    blocks = 'x4x64xf64'  # 16 pixels of 16 features
    assert blocks in jax.jit(ours).lower(*arguments).as_text()


def blurred_cases(taps, height, width, inputs, outputs):
    """As `cases`, for the three that filter along rows as well."""

    def plain(x, weight):
        return plain_down(two_pass_blur.along(x, taps, axis=2), weight)

    form = convolution.KernelForm(divisor=4, taps=taps)
    x, small = tiny.normal(2, height, width, inputs), tiny.normal(2, height // 2, width // 2, outputs, seed=1)
    weight = tiny.normal(3, 3, inputs, outputs, seed=2)
    up, gradient = adjoints(plain, x, weight)
    return {
        'convolve_down': (lambda a, b: convolution.convolve_down(a, b, form), plain, x, weight),
        'convolve_up': (lambda a, b: convolution.convolve_up(a, b, form), up, small, weight),
        'down_filter_gradient': (lambda a, b: convolution.down_filter_gradient(a, b, form), gradient, x, small),
    }


@deepest_derivatives
@pytest.mark.parametrize('name', HALVING)
@pytest.mark.parametrize(
    'taps, height, width, inputs',
    [
        ((1, 2, 1), 4, 16, 16),
        ((1, 2, 4), 2, 4, 16),
        ((3, 2, 1), 6, 6, 33),
        ((3, 2, 1), 6, 2, 33),
        ((1, 4, 6, 4, 2), 4, 8, 16),
        ((1, 2, 1), 4, 6, 128),
    ],
    ids=['blocks of 4', 'one block', 'blocks of 2', 'both edges are one', 'five taps', 'no blocks'],
)
def test_with_a_filter_along_rows(packed_forms, name, derive, taps, height, width, inputs):
    ours, plain, *arguments = blurred_cases(taps, height, width, inputs, outputs=5)[name]
    tiny.assert_trees_close(
        jax.jit(derive(ours))(*arguments), jax.jit(derive(plain))(*arguments), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize('platform', ['cpu', 'tpu'])
@pytest.mark.parametrize('layer', [convolution.down_convolve, functools.partial(convolution.up_convolve, flip=False)])
def test_a_filter_along_rows_reads_or_leaves_stored_features_in_half_precision(platform, layer):
    """Otherwise it would become one expression with the filter along columns."""
    x, weight = jnp.ones((1, 8, 8, 16), jnp.bfloat16), jnp.ones((3, 3, 16, 16), jnp.float32)
    with traced_for(platform):
        barriers = [
            str(jax.make_jaxpr(functools.partial(layer, taps=taps))(x, weight)).count('] = optimization_barrier')
            for taps in ((), (1, 2, 1))
        ]
    assert barriers[1] == barriers[0] + 1


@pytest.mark.parametrize('name', HALVING)
def test_with_a_filter_along_rows_on_other_devices(forms, name):
    ours, plain, *arguments = blurred_cases((1, 2, 4), 4, 6, 3, outputs=5)[name]
    tiny.assert_trees_close(
        jax.jit(second_derivatives(ours))(*arguments),
        jax.jit(second_derivatives(plain))(*arguments),
        rtol=1e-10,
        atol=1e-10,
    )


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(
    'layer, inputs, outputs',
    [
        (convolution.same_convolve, 16, 16),
        (convolution.down_convolve, 16, 32),
        (lambda x, weight: convolution.up_convolve(x, weight, flip=False), 32, 16),
        (lambda x, weight: convolution.down_convolve(x, weight, (1, 2, 1)), 16, 32),
        (lambda x, weight: convolution.up_convolve(x, weight, flip=False, taps=(1, 2, 1)), 32, 16),
    ],
    ids=['same', 'down', 'up', 'down after a filter', 'up before a filter'],
)
def test_blocks_round_no_worse(monkeypatch, gpu_forms, layer, inputs, outputs, dtype):
    x, weight = tiny.normal(2, 16, 16, inputs), tiny.normal(3, 3, inputs, outputs, seed=1).astype(jnp.float32)
    dy = tiny.normal(*jax.eval_shape(layer, x, weight).shape, seed=2)
    x, dy = x.astype(dtype), dy.astype(dtype)

    def results(dtype):
        jax.clear_caches()
        y, gradients = jax.vjp(layer, x.astype(dtype), weight.astype(jnp.float32))
        return y, *gradients(dy.astype(dtype))

    exact, packed = results(jnp.float32), results(dtype)
    monkeypatch.setattr(row_packing, 'is_half_precision', lambda dtype: False)
    plain = results(dtype)
    for truth, ours, theirs in zip(exact, packed, plain):
        assert ours.dtype == theirs.dtype
        error, least = (jnp.linalg.norm((y.astype(jnp.float32) - truth).ravel()) for y in (ours, theirs))
        assert error <= 1.05 * least
    jax.clear_caches()


@pytest.mark.parametrize('layer, outputs', [(convolution.same_convolve, 16), (convolution.down_convolve, 32)])
def test_zeros_in_kernels_of_blocks_are_no_model_flops(layer, outputs):
    def derivatives(x, weight):
        return tiny.with_gradients(lambda *a: layer(*a).astype(jnp.float32), x, weight)

    half, single = (
        flops.model_flops(derivatives, jnp.ones((2, 16, 16, 16), dtype), jnp.ones((3, 3, 16, outputs), jnp.float32))
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    assert half == single > 0


@derivatives
@pytest.mark.parametrize('batch, height', [(1, 8), (2, 16), (3, 16)])
def test_filter_gradient_in_strips(forms, batch, height, derive):
    ours, plain, *arguments = cases(batch, height)['filter_gradient']
    tiny.assert_trees_close(
        jax.jit(derive(ours))(*arguments), jax.jit(derive(plain))(*arguments), rtol=1e-10, atol=1e-10
    )
    strips = f'{8 * batch}x{height // 8 + 2}x8x3xf64' in jax.jit(ours).lower(*arguments).as_text()
    assert strips == (forms == 'own' and jax.default_backend() == 'cpu' and batch < 3)


def convolutions(function, *arguments):
    """The kinds of convolutions that a function consists of."""
    text = jax.jit(function).lower(*arguments).as_text()
    return set(re.findall(r'stablehlo.convolution.*?dim_numbers = (.*?), window = (\{.*?\}) ', text))


def test_second_derivatives_that_keep_the_size_use_no_other_forms_of_convolution(forms):
    assert_only_three_forms(SAME, kinds=1 if forms == 'own' and jax.default_backend() == 'cpu' else 3)


def test_second_derivatives_of_halving_use_no_other_forms_of_convolution(accelerator_forms):
    assert_only_three_forms(HALVING)


def assert_only_three_forms(names, kinds=3, **sizes):
    trio = set().union(*(convolutions(ours, a, b) for ours, _, a, b in map(cases(**sizes).get, names)))
    ours, _, a, b = cases(**sizes)[names[0]]
    assert len(trio) == kinds
    assert convolutions(second_derivatives(ours), a, b) == trio


def test_cpus_halve_and_double_without_convolutions(forms):
    ours, _, a, b = cases()['convolve_down']
    assert bool(convolutions(second_derivatives(ours), a, b)) == (
        forms == 'accelerator' or jax.default_backend() != 'cpu'
    )


def test_zero_padding_keeps_the_size():
    x = jnp.ones((1, 4, 4, 1))
    y = convolve(x, jnp.ones((1, 3, 3, 1)))[0, :, :, 0]
    np.testing.assert_array_equal(y, [[4, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]])


@pytest.mark.parametrize('flip', [False, True])
def test_up_convolve_is_upscale_then_convolution(forms, flip):
    x, weight = tiny.normal(2, 3, 4, 3), tiny.normal(3, 3, 3, 5, seed=1)
    fused = tiny.with_gradients(lambda x, w: convolution.up_convolve(x, w, flip=flip), x, weight)
    plain = tiny.with_gradients(
        lambda x, w: convolution.same_convolve(ops.upscale(x), w[::-1, ::-1] if flip else w), x, weight
    )
    tiny.assert_trees_close(fused, plain, rtol=1e-10, atol=1e-10)


def test_down_convolve_is_convolution_then_mean(forms):
    x, weight = tiny.normal(2, 6, 8, 3), tiny.normal(3, 3, 3, 5, seed=1)
    fused = tiny.with_gradients(convolution.down_convolve, x, weight)
    plain = tiny.with_gradients(lambda x, w: ops.downscale(convolution.same_convolve(x, w)), x, weight)
    tiny.assert_trees_close(fused, plain, rtol=1e-10, atol=1e-10)
