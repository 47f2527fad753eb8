"""What follows a convolution, against plain compositions of the operations, up to second derivatives."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from crossing import crossed
from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import epilogue, two_pass_blur

SHAPE = BATCH, _, _, CHANNELS = 2, 4, 5, 3
TAPS = {'none': (), 'symmetric': (1, 2, 1), 'asymmetric': (1, 3, 7)}
# Of half precision against float32, as a share of the norm. bfloat16 rounds by up to 0.004, 0.0017 on average.
LOOSE = 0.01
each_taps = pytest.mark.parametrize('taps', TAPS.values(), ids=TAPS)


@pytest.fixture(params=['float64', 'half precision'])
def form(request, monkeypatch):
    """Runs a test in float64 with the form of float64, and with the form of half precision."""
    if request.param == 'float64':
        yield request.param
        return
    for module in (epilogue, two_pass_blur):
        monkeypatch.setattr(module, 'is_half_precision', lambda dtype: True)
    monkeypatch.setattr(epilogue, '_BLURRED', jnp.float64)
    jax.clear_caches()  # a trace made the other way would pass for this one
    yield request.param
    jax.clear_caches()


def gradients(function, count):
    """Of a nonlinear function of the result, so that every element counts differently."""
    return jax.grad(lambda *a: jnp.sum(jnp.sin(ops.at_least_float32(function(*a)))), argnums=tuple(range(count)))


def derivatives(function, *arguments):
    """(value, gradients, gradients of the squares of the gradients) in all arguments."""
    count = len(arguments)
    first = gradients(function, count)

    def squares(*a):
        return sum(jnp.sum(jnp.square(ops.at_least_float32(g))) for g in first(*a))

    second = jax.grad(squares, argnums=tuple(range(count)))
    return jax.jit(lambda *a: (function(*a), first(*a), second(*a)))(*arguments)


def assert_same(ours, plain, arguments):
    ours, plain = derivatives(ours, *arguments), derivatives(plain, *arguments)
    assert all(np.any(np.asarray(x)) for x in jax.tree.leaves(plain))  # nothing is compared with nothing
    tiny.assert_trees_close(ours, plain, rtol=1e-8, atol=1e-8)


def assert_roughly_same(rounded, exact):
    def check(path, x, y):
        error = np.linalg.norm(np.asarray(x, np.float64) - y) / np.linalg.norm(y)
        assert error < LOOSE, f'{jax.tree_util.keystr(path)}: {error:.4f}'

    jax.tree_util.tree_map_with_path(check, rounded, exact)


# The discriminator's.


def plain_rectify(x, bias, nonlinearity, taps):
    return ops.blur(ops.rectify(x + bias, nonlinearity), taps)


@crossed(form=['float64', 'half precision'], nonlinearity=['lrelu', 'relu'], taps=list(TAPS), indirect=['form'])
def test_rectify_channels(float64, form, nonlinearity, taps):
    taps = TAPS[taps]
    arguments = tiny.normal(*SHAPE), tiny.normal(CHANNELS, seed=1)
    assert_same(
        lambda *a: epilogue.rectify_channels(*a, nonlinearity, taps),
        lambda *a: plain_rectify(*a, nonlinearity, taps),
        arguments,
    )


def test_rectify_channels_that_blurs_columns_only(float64, form):
    taps = (1, 2, 4)
    assert_same(
        lambda *a: epilogue.rectify_channels(*a, 'lrelu', taps, True),
        lambda x, bias: two_pass_blur.along(ops.rectify(x + bias, 'lrelu'), taps, axis=1),
        (tiny.normal(*SHAPE), tiny.normal(CHANNELS, seed=1)),
    )


@each_taps
@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_the_derivatives_of_rectify_channels_in_half_precision(dtype, taps):
    x, bias = tiny.normal(2, 8, 8, 16).astype(dtype), tiny.normal(16, seed=1)

    def ours(x, bias):
        return epilogue.rectify_channels(x, bias, 'lrelu', taps)

    rounded, exact = derivatives(ours, x, bias), derivatives(ours, x.astype(jnp.float32), bias)
    assert rounded[0].dtype == rounded[1][0].dtype == dtype and rounded[1][1].dtype == jnp.float32
    assert_roughly_same(rounded, exact)


# The generator's.


def plain_stylize(x, noise, strength, bias, style, nonlinearity, taps):
    x = ops.blur(x, taps) + bias
    if noise is not None:
        x = x + noise * strength
    x = ops.rectify(x, nonlinearity)
    mean = jnp.mean(x, axis=(1, 2), keepdims=True)
    deviation = jnp.sqrt(jnp.mean(jnp.square(x - mean), axis=(1, 2), keepdims=True) + ops.EPSILON)
    return ops.stylize((x - mean) / deviation, style)


def stylize_case(function, noises, nonlinearity, taps, shape=SHAPE):
    """(function of all its array arguments, those arguments); no noise where `noises` is 0."""
    batch, height, width, channels = shape
    x, bias, style = tiny.normal(*shape), tiny.normal(channels, seed=1), tiny.normal(batch, 2 * channels, seed=2)
    if not noises:
        return lambda x, bias, style: function(x, None, None, bias, style, nonlinearity, taps), (x, bias, style)
    noise, strength = tiny.normal(noises, height, width, 1, seed=3), tiny.normal(channels, seed=4)
    return lambda *a: function(*a, nonlinearity, taps), (x, noise, strength, bias, style)


@crossed(
    form=['float64', 'half precision'],
    noises=[0, 1, BATCH],
    nonlinearity=['lrelu', 'relu'],
    taps=list(TAPS),
    indirect=['form'],
)
def test_stylize_channels(float64, form, noises, nonlinearity, taps):
    ours, arguments = stylize_case(epilogue.stylize_channels, noises, nonlinearity, TAPS[taps])
    assert_same(ours, stylize_case(plain_stylize, noises, nonlinearity, TAPS[taps])[0], arguments)


def test_stylize_channels_that_blurs_columns_only(float64, form):
    def plain(x, *others):
        *others, taps = others
        return plain_stylize(two_pass_blur.along(x, taps, axis=1), *others, ())

    ours, arguments = stylize_case(lambda *a: epilogue.stylize_channels(*a, True), 1, 'lrelu', (1, 2, 4))
    assert_same(ours, stylize_case(plain, 1, 'lrelu', (1, 2, 4))[0], arguments)


def test_half_precision_says_what_is_stored(float64, form):
    ours, arguments = stylize_case(epilogue.stylize_channels, 1, 'lrelu', (1, 2, 1))
    text = str(jax.make_jaxpr(gradients(ours, len(arguments)))(*arguments))
    # Alone behind barriers are the rows of the blur, those of its derivative, the gradient that comes in and the one
    # that goes on; beside them is what each of two expressions recomputes, three and four barriers deep.
    alone = len(re.findall(r'f64\[2,4,5,3\] = optimization_barrier', text))
    assert alone == {'float64': 0, 'half precision': 4 + 3 + 4}[form]
    # The blurred features come with the sums of their rows.
    together = len(re.findall(r'f64\[2,4,5,3\] \w+:f64\[2,4,3\] \w+:f64\[2,4,3\] = optimization_barrier', text))
    assert together == {'float64': 0, 'half precision': 1}[form]


@pytest.mark.parametrize('taps', [(), (1, 2, 1)])
@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize('noises', [0, 1, 4])
def test_stylize_channels_in_half_precision(dtype, noises, taps):
    ours, (x, *rest) = stylize_case(epilogue.stylize_channels, noises, 'lrelu', taps, (4, 16, 16, 16))
    x = x.astype(dtype)
    rounded, exact = ((ours(x, *rest), gradients(ours, 1 + len(rest))(x, *rest)) for x in (x, x.astype(jnp.float32)))
    assert rounded[0].dtype == rounded[1][0].dtype == dtype
    assert {g.dtype for g in rounded[1][1:]} == {jnp.dtype('float32')}
    assert_roughly_same(rounded, exact)


@each_taps
def test_second_derivatives_of_stylize_channels_in_bfloat16(taps):
    """They are far larger than features, and beyond the range of float16."""
    ours, (x, *rest) = stylize_case(epilogue.stylize_channels, 1, 'lrelu', taps, (4, 16, 16, 8))
    count = 1 + len(rest)

    def second(*arguments):
        def squares(*a):
            return 1e3 * sum(jnp.sum(jnp.square(ops.at_least_float32(g))) for g in gradients(ours, count)(*a))

        return jax.jit(jax.grad(squares, argnums=tuple(range(count))))(*arguments)

    x = x.astype(jnp.bfloat16)
    rounded, exact = second(x, *rest), second(x.astype(jnp.float32), *rest)
    for ours_, plain in zip(rounded, exact, strict=True):
        assert jnp.max(jnp.abs(plain)) > 1e6
        assert jnp.linalg.norm((ours_.astype(jnp.float32) - plain).ravel()) < 0.03 * jnp.linalg.norm(plain.ravel())


@pytest.mark.parametrize('deviation', [1e-3, 1.0, 1e4])
def test_blurred_features_are_right_over_seven_magnitudes(deviation):
    x = (tiny.normal(2, 16, 16, 8) * deviation).astype(jnp.bfloat16)

    def ours(x):
        bias, style = jnp.zeros(8), jnp.zeros((2, 16))
        return epilogue.stylize_channels(x, None, None, bias, style, 'lrelu', (1, 2, 1))

    rounded, exact = ((ours(x), gradients(ours, 1)(x)) for x in (x, x.astype(jnp.float32)))
    assert_roughly_same(rounded, exact)


def test_blurred_features_beyond_float16_saturate():
    """One pixel far beyond is cut off; the others are as they would be."""
    x = tiny.normal(1, 16, 16, 2).astype(jnp.bfloat16).at[0, 8, 8, 0].set(1e9)
    y = epilogue.stylize_channels(x, None, None, jnp.zeros(2), jnp.zeros((1, 4)), 'lrelu', (1, 2, 1))
    y = np.asarray(y, np.float32)
    assert np.all(np.isfinite(y)) and y[0, 8, 8, 0] == np.max(y[..., 0])
