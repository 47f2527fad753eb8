"""Counting operations: against formulas, through what wraps functions, and against the known size of a step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from stylegan_jax.benchmarks.cases import Case, abstract_iteration, full_config, iteration
from stylegan_jax.networks.kernels.convolution import (
    convolve,
    down_convolve,
    filter_gradient,
    transposed_convolve,
    up_convolve,
)
from stylegan_jax.runtime.by_platform import by_platform, traced_for
from stylegan_jax.runtime.flops import model_flops


def shape(*sides):
    return jax.ShapeDtypeStruct(sides, jnp.float32)


A, B = shape(4, 8), shape(8, 16)
PRODUCT = 2 * 4 * 8 * 16


def test_products():
    assert model_flops(jnp.matmul, A, B) == PRODUCT
    assert model_flops(lambda a, b: jnp.einsum('nij,njk->nik', a, b), shape(3, 4, 8), shape(3, 8, 16)) == 3 * PRODUCT


def test_convolution_and_both_gradients_cost_the_same():
    """All three multiply every output with every weight that reaches it."""
    x, y, kernel = shape(2, 8, 8, 3), shape(2, 8, 8, 5), shape(5, 3, 3, 3)
    expected = 2 * 2 * 8**2 * 3**2 * 3 * 5
    assert model_flops(convolve, x, kernel) == expected
    assert model_flops(transposed_convolve, y, kernel) == expected
    assert model_flops(filter_gradient, x, y) == expected
    assert_derivatives_cost(convolve, expected, x, kernel)


def test_up_and_down_cost_4x4_kernels_of_stride_2():
    """Inserted zeros are not multiplied; that a CPU takes fewer products does not count."""
    weight, expected = shape(3, 3, 3, 5), 2 * 2 * 4**2 * 4**2 * 3 * 5
    assert_derivatives_cost(down_convolve, expected, shape(2, 8, 8, 3), weight)
    assert_derivatives_cost(functools.partial(up_convolve, flip=False), expected, shape(2, 4, 4, 3), weight)


def assert_derivatives_cost(convolution, expected, x, kernel):
    """Of one convolution, its gradients, and what R1 needs."""
    assert model_flops(convolution, x, kernel) == expected
    assert model_flops(jax.grad(lambda x, k: convolution(x, k).sum(), (0, 1)), x, kernel) == 2 * expected
    second = jax.grad(lambda x, k: jnp.sum(jax.grad(lambda x: jnp.sum(convolution(x, k) ** 2))(x) ** 2), (0, 1))
    # Forward, and back to x; from there back through both, to the image and to the kernel of each.
    assert model_flops(second, x, kernel) == 6 * expected


def test_grouped_convolutions():
    for groups in ({'feature_group_count': 4}, {'batch_group_count': 4}):

        def f(x, k):
            return lax.conv_general_dilated(x, k, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'), **groups)

        inputs = 2 if 'feature_group_count' in groups else 8
        x, kernel = shape(4, 6, 6, 8), shape(3, 3, inputs, 12)
        assert model_flops(f, x, kernel) == 2 * jax.eval_shape(f, x, kernel).size * 9 * inputs


def test_wrappers_are_looked_into():
    @jax.custom_vjp
    def custom(a, b):
        return a @ b

    custom.defvjp(lambda a, b: (a @ b, None), lambda _, d: (None, None))
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ('x',))
    rows, everywhere = jax.sharding.PartitionSpec('x'), jax.sharding.PartitionSpec()
    split = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(rows, everywhere), out_specs=rows)
    for f in (jax.jit(jnp.matmul), jax.checkpoint(jnp.matmul), custom, split):
        assert model_flops(f, A, B) == PRODUCT


@pytest.mark.parametrize('platform', [None, 'cpu', 'cuda', 'tpu'])
def test_default_form_counts_whatever_the_platform(platform):
    def f(a, b):
        return by_platform(
            a, b, cpu=lambda a, b: 2 * (a @ b) - a @ b, cuda=lambda a, b: jnp.ones((4, 16)), default=jnp.matmul
        )

    with traced_for(platform):
        assert model_flops(f, A, B) == model_flops(jax.jit(f), A, B) == PRODUCT


def test_loops_and_conditions():
    square, number = shape(8, 8), jax.ShapeDtypeStruct((), jnp.int32)
    assert model_flops(lambda x: lax.fori_loop(0, 5, lambda _, x: x @ x, x), square) == 5 * 2 * 8**3
    both = model_flops(lambda p, x: lax.cond(p, lambda x: x @ x @ x, lambda x: x @ x, x), shape(), square)
    assert both == 2 * 2 * 8**3
    with pytest.raises(ValueError, match='unknown number'):
        model_flops(lambda n, x: lax.fori_loop(0, n, lambda _, x: x @ x, x), number, square)
    assert model_flops(lambda n, x: lax.fori_loop(0, n, lambda _, x: x + x, x), number, square) == 0


def test_what_leads_to_nothing_does_not_count():
    def f(a, b):
        jax.jit(jnp.matmul)(a, b)
        first, _ = jax.jit(lambda a, b: (a @ b, (a + 1) @ b))(a, b)
        return first

    assert model_flops(f, A, B) == PRODUCT


@pytest.mark.parametrize('resolution, gflop', [(64, 276), (256, 550), pytest.param(1024, 825, marks=pytest.mark.full)])
def test_full_step_costs_what_arithmetic_by_hand_says(resolution, gflop):
    """The sum over layers of a G step of 3 G + 2 D forwards and a D step of G + 9 D forwards, per image [GFLOP]."""
    case = Case(full_config(resolution, 'float32'), 4)
    counted = model_flops(iteration(case, fades=True), *abstract_iteration(case)) / case.batch / 1e9
    assert counted == pytest.approx(gflop, rel=0.002)
