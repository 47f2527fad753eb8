"""Adam in TensorFlow's form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tiny
from stylegan_jax.training import adam_init, adam_update

STEPS = 5


def gradients_of(step):
    """Of very different sizes, down to zero."""
    return {'a': tiny.normal(4, 3, seed=step), 'b': {'c': tiny.normal(6, seed=10 + step) * 1e-6, 'd': jnp.zeros(2)}}


PARAMS = jax.tree.map(lambda g: g + 1, gradients_of(100))


def run(lr, **settings):
    update = jax.jit(lambda g, s, p, lr: adam_update(g, s, p, lr=lr, **settings))
    params, state = PARAMS, adam_init(PARAMS, settings['beta1'])
    for step in range(STEPS):
        params, state = update(gradients_of(step), state, params, lr)
    return params, state


def tensorflow_adam(p, gradients, lr, beta1, beta2, epsilon):
    """`p` after steps along `gradients`, by the formula in the documentation of TensorFlow's optimiser."""
    p, m, v = np.asarray(p, np.float64), 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        g = np.asarray(g, np.float64)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        p = p - lr * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + epsilon)
    return p


@pytest.mark.parametrize('beta1, epsilon', [(0.0, 1e-8), (0.0, 1e-2), (0.9, 1e-7)])
def test_equals_tensorflows_formula(beta1, epsilon):
    settings = {'beta1': beta1, 'beta2': 0.99, 'epsilon': epsilon}
    params, state = run(0.01, **settings)
    expected = jax.tree.map(
        lambda p, *g: tensorflow_adam(p, g, 0.01, **settings), PARAMS, *map(gradients_of, range(STEPS))
    )
    tiny.assert_trees_close(params, expected, rtol=1e-5, atol=1e-6)
    assert state.count == STEPS


def test_epsilon_stands_outside_the_bias_correction_unlike_optax():
    ours, _ = run(0.01, beta1=0.0, beta2=0.99, epsilon=1e-2)
    optimizer = optax.adam(0.01, b1=0.0, b2=0.99, eps=1e-2)
    theirs, state = PARAMS, optimizer.init(PARAMS)
    for step in range(STEPS):
        updates, state = optimizer.update(gradients_of(step), state)
        theirs = optax.apply_updates(theirs, updates)
    assert np.abs(ours['a'] - theirs['a']).max() > 1e-3


def test_no_gradient_is_no_change():
    params, _ = run(0.01, beta1=0.0, beta2=0.99, epsilon=1e-8)
    np.testing.assert_array_equal(params['b']['d'], PARAMS['b']['d'])


def test_first_moments_are_kept_where_there_is_momentum_alone():
    for beta1 in (0.0, 0.9):
        _, state = run(0.01, beta1=beta1, beta2=0.99, epsilon=1e-8)
        assert (state.mu is None) == (adam_init(PARAMS, beta1).mu is None) == (beta1 == 0)


def test_state_starts_empty():
    state = adam_init(PARAMS, 0.9)
    assert state.count == 0
    assert jax.tree.map(jnp.shape, state.mu) == jax.tree.map(jnp.shape, state.nu) == jax.tree.map(jnp.shape, PARAMS)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves((state.mu, state.nu)))


def test_double_precision(float64):
    p = jnp.ones(3)
    updated, state = adam_update(p, adam_init(p, 0.0), p, lr=0.1, beta1=0.0, beta2=0.99, epsilon=1e-8)
    assert updated.dtype == state.nu.dtype == jnp.float64
    np.testing.assert_allclose(updated, tensorflow_adam(p, [p], 0.1, 0.0, 0.99, 1e-8), rtol=1e-12)
