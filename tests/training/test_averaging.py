"""The averages of the generator and of w against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.config import TrainConfig
from stylegan_jax.training import average_generator, average_w

G_PARAMS = {'a': tiny.normal(4, 3), 'b': {'c': tiny.normal(5, seed=1)}}
G_EMA = {'a': tiny.normal(4, 3, seed=2), 'b': {'c': tiny.normal(5, seed=3)}}


def configured(letter='F', **train):
    return tiny.run_config(letter, train=TrainConfig(**train))


@pytest.mark.parametrize('batch', [8, 32])
def test_half_of_the_old_weights_is_left_after_ema_kimg(batch):
    """Whatever the batch: the half-life is counted in images."""
    config, g_ema = configured(ema_kimg=0.32), G_EMA
    for _ in range(320 // batch):
        g_ema = average_generator(config, g_ema, G_PARAMS, batch)
    expected = jax.tree.map(lambda p, e: (p + e) / 2, G_PARAMS, G_EMA)
    tiny.assert_trees_close(g_ema, expected, rtol=1e-5, atol=1e-6)


def test_without_a_half_life_the_average_is_the_generator():
    tiny.assert_trees_close(average_generator(configured(ema_kimg=0), G_EMA, G_PARAMS, 8), G_PARAMS, rtol=0, atol=0)


def test_an_average_that_equals_the_generator_stays_to_the_bit():
    assert tiny.trees_equal(average_generator(configured(), G_PARAMS, G_PARAMS, 8), G_PARAMS)


def test_the_average_w_decays_by_w_avg_beta():
    w_avg = average_w(configured(w_avg_beta=0.75), jnp.array([4.0, 0.0]), jnp.array([0.0, 8.0]))
    np.testing.assert_allclose(w_avg, [3, 2])


def test_progressive_gan_has_no_average_w():
    np.testing.assert_array_equal(average_w(configured('A'), jnp.zeros(3), jnp.ones(3)), 0)
