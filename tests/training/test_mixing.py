"""Mixing regularization: the distribution of crossovers, and what they select."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.training import draw_crossover, mix_styles


@pytest.mark.parametrize('layers', [2, 4, 6, 18])
def test_crossovers_are_uniform_from_1_and_nowhere_in_a_tenth(layers):
    keys = jax.random.split(jax.random.key(0), 20000)
    crossovers = np.array(jax.vmap(lambda key: draw_crossover(key, 0.9, layers=layers))(keys))
    shares = np.bincount(crossovers, minlength=layers + 1) / len(keys)
    assert shares[0] == 0 and len(shares) == layers + 1
    assert shares[-1] == pytest.approx(0.1, abs=0.01)
    np.testing.assert_allclose(shares[1:-1], 0.9 / (layers - 1), atol=0.01)


def test_layers_from_the_crossover_on_take_the_second_latents():
    first, second = tiny.normal(4, 6, 5), tiny.normal(4, 6, 5, seed=1)
    mixed = mix_styles(first, second, jnp.array([1, 3, 5, 6]))
    for image, crossover in enumerate([1, 3, 5, 6]):
        np.testing.assert_array_equal(mixed[image, :crossover], first[image, :crossover])
        np.testing.assert_array_equal(mixed[image, crossover:], second[image, crossover:])


def test_a_crossover_beyond_the_layers_of_a_small_stage_mixes_nothing_that_runs():
    """At stage 1 of 3 four of six layers run; 'nowhere' is their number."""
    first, second = tiny.normal(1, 6, 5), tiny.normal(1, 6, 5, seed=1)
    np.testing.assert_array_equal(mix_styles(first, second, jnp.array([4]))[:, :4], first[:, :4])
