"""The kernel distance, against other implementations and its definition written out."""

import itertools

import numpy as np
import pytest

import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.metrics import kernel_distance as module
from stylegan_jax.metrics.kernel_distance import draw_subsets, full_set_distance, kernel_distance


@pytest.fixture
def expected():
    return metric_reference.numbers('statistics')['kid']


def test_subsets_of_a_seed_are_those_of_the_reference():
    stored = metric_reference.arrays('statistics')['kid_subset_indices_fake_real']
    of_reals, of_fakes = draw_subsets(500, 400, subsets=20, subset_size=100, seed=0)
    np.testing.assert_array_equal(of_fakes, stored[:, 0])
    np.testing.assert_array_equal(of_reals, stored[:, 1])


def test_reference_with_subsets_of_ada(reals, fakes, expected):
    stored = metric_reference.arrays('statistics')['kid_subset_indices_fake_real']
    given = kernel_distance(reals, fakes, indices=(stored[:, 1], stored[:, 0]))
    assert given.mean == pytest.approx(expected['ada_np_random_seed0_20subsets_of_100'], rel=1e-5)
    assert given.mean == pytest.approx(expected['float64_same_subsets_as_ada'], rel=1e-6)
    drawn = kernel_distance(reals, fakes, subsets=20, subset_size=100, seed=0)
    assert drawn.mean == given.mean


def test_reference_with_subsets_of_torch_fidelity(reals, fakes, expected):
    result = kernel_distance(reals, fakes, subsets=20, subset_size=100, seed=2020)
    other = expected['torch_fidelity_rng2020_20subsets_of_100']
    assert result.mean == pytest.approx(other['mean'], rel=1e-5)
    assert result.values.std() == pytest.approx(other['std'], rel=1e-5)
    assert result.standard_error == pytest.approx(result.values.std() / np.sqrt(19), rel=1e-12)


def test_reference_with_the_full_set(reals, fakes, expected):
    expected, reals = expected['full_set_equal_n'], reals[:400]
    unbiased = full_set_distance(reals, fakes)
    assert unbiased == pytest.approx(expected['stylegan2_ada_pytorch_1_subset'], rel=1e-5)
    assert unbiased == pytest.approx(expected['torch_fidelity_unbiased'], rel=1e-5)
    for estimator in 'biased', 'u_statistic':
        assert full_set_distance(reals, fakes, estimator=estimator) == pytest.approx(expected[estimator], rel=1e-5)
    # One subset of all is the full set, whatever the order.
    one = kernel_distance(reals, fakes, subsets=1, seed=7)
    assert one.mean == pytest.approx(unbiased, rel=1e-12) and np.isnan(one.standard_error)


def written_out(reals, fakes, estimator):
    def mean(xs, ys, skip):
        values = [
            (x @ y / len(x) + 1) ** 3
            for (i, x), (j, y) in itertools.product(enumerate(xs), enumerate(ys))
            if not (skip and i == j)
        ]
        return np.mean(values)

    within = estimator != 'biased'
    return mean(reals, reals, within) + mean(fakes, fakes, within) - 2 * mean(reals, fakes, estimator == 'u_statistic')


@pytest.mark.parametrize('estimator', module.ESTIMATORS)
@pytest.mark.parametrize('block', [1, 3, 4, 100])
def test_definition(monkeypatch, estimator, block):
    monkeypatch.setattr(module, '_BLOCK', block)
    reals, fakes = np.random.default_rng(0).standard_normal((2, 7, 5))
    fakes = fakes[: 7 if estimator == 'u_statistic' else 6] + 0.5
    value = full_set_distance(reals, fakes, estimator=estimator)
    assert value == pytest.approx(written_out(reals, fakes, estimator), rel=1e-12)
    assert value == pytest.approx(full_set_distance(fakes, reals, estimator=estimator), rel=1e-12)


def test_the_same_distribution_is_at_zero_but_for_chance():
    """The estimates are unbiased, so they fall on both sides."""
    one, other = np.random.default_rng(0).standard_normal((2, 1000, 8))
    result = kernel_distance(one, other, subsets=50, subset_size=100)
    assert result.values.min() < 0 < result.values.max()
    assert abs(result.mean) < 0.05 < kernel_distance(one, other + 1, subsets=50, subset_size=100).mean


def test_subsets_are_no_larger_than_the_smaller_set():
    of_reals, of_fakes = draw_subsets(30, 20)
    assert of_reals.shape == of_fakes.shape == (100, 20)
    assert (np.sort(of_fakes, axis=1) == np.arange(20)).all() and of_reals.max() == 29
    assert draw_subsets(2000, 3000)[0].shape == (100, 1000)


def test_what_cannot_be_used_is_refused(reals, fakes):
    with pytest.raises(UserError, match='generated features: 1 samples, and at least 2 are needed'):
        kernel_distance(reals, fakes[:1])
    with pytest.raises(UserError, match='64 and 32 values a sample'):
        full_set_distance(reals, fakes[:, :32])
    with pytest.raises(UserError, match='500 real and 400 generated samples'):
        full_set_distance(reals, fakes, estimator='u_statistic')
    with pytest.raises(UserError, match="estimator='other'"):
        full_set_distance(reals, fakes, estimator='other')
    with pytest.raises(UserError, match='100 subsets of 1 samples'):
        kernel_distance(reals, fakes, subset_size=1)
    with pytest.raises(UserError, match=r'shapes \(3, 4\) and \(3, 5\)'):
        kernel_distance(reals, fakes, indices=(np.zeros((3, 4), int), np.zeros((3, 5), int)))
    with pytest.raises(UserError, match='real features: 500 of 32000 numbers are not finite'):
        kernel_distance(np.where(np.arange(64) == 3, np.nan, reals), fakes)
