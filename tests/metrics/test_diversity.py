"""Diversity: mean distance of independent pairs."""

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.diversity import diversity, pairs


def test_mean_and_its_standard_error():
    assert diversity(np.float32([1, 2, 3, 6])) == pytest.approx((3, np.sqrt(14 / 3 / 4)))


def test_pairs_are_neighbours_and_no_sample_is_in_two():
    first, second = pairs(np.arange(12).reshape(6, 2))
    np.testing.assert_array_equal(first, [[0, 1], [4, 5], [8, 9]])
    np.testing.assert_array_equal(second, [[2, 3], [6, 7], [10, 11]])


def test_standard_error_says_how_far_means_of_other_samples_are():
    distances = np.random.default_rng(0).exponential(size=(400, 50))
    results = np.array([diversity(row) for row in distances])
    assert results[:, 0].std() == pytest.approx(results[:, 1].mean(), rel=0.1)


def test_what_cannot_be_used_is_refused():
    with pytest.raises(UserError, match='3 samples do not make pairs'):
        pairs(np.zeros((3, 2)))
    with pytest.raises(UserError, match='distances of pairs: 1 samples, and at least 2 are needed'):
        diversity([0.5])
    with pytest.raises(UserError, match='not finite'):
        diversity([0.5, np.nan])
    with pytest.raises(UserError, match=r'shape \(2, 2\)'):
        diversity(np.zeros((2, 2)))
