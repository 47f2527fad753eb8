"""Moments of features that come in pieces."""

import numpy as np
import pytest

import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.moments import Moments


@pytest.fixture
def features():
    return metric_reference.arrays('statistics')['real']


def assert_close(moments, other, *, rtol=1e-12):
    assert moments.count == other.count
    for a, b in ((moments.mean, other.mean), (moments.scatter, other.scatter)):
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max())


def test_mean_and_covariance_are_those_of_numpy(features):
    moments = Moments.of(features)
    assert moments.count == 500 and moments.mean.dtype == moments.scatter.dtype == np.float64
    np.testing.assert_allclose(moments.mean, features.astype(np.float64).mean(axis=0), rtol=1e-13)
    for ddof in 0, 1:
        expected = np.cov(features.astype(np.float64), rowvar=False, ddof=ddof)
        np.testing.assert_allclose(moments.covariance(ddof), expected, rtol=0, atol=1e-13 * expected.max())
    np.testing.assert_array_equal(moments.covariance(), moments.covariance(1))


@pytest.mark.parametrize('sizes', [[500], [1] * 500, [499, 1], [0, 3, 0, 497], [64] * 7 + [52]])
def test_pieces_do_not_matter(features, sizes):
    moments, start = Moments.empty(64), 0
    for size in sizes:
        moments = moments.add(features[start : start + size])
        start += size
    assert_close(moments, Moments.of(features))


def test_order_of_merging_does_not_matter(features):
    a, b, c = (Moments.of(part) for part in np.split(features, [7, 300]))
    whole = Moments.of(features)
    for merged in (a.merge(b).merge(c), a.merge(b.merge(c)), c.merge(a).merge(b)):
        assert_close(merged, whole)


@pytest.mark.parametrize('size', [1, 10, 1000])
def test_small_deviations_from_a_large_mean_survive(size):
    steps = np.random.default_rng(0).integers(-8, 8, (1000, 3))
    features = 2.0**26 + steps / 1024  # exact in float64
    expected = np.cov(steps, rowvar=False) / 1024**2
    moments = Moments.empty(3)
    for start in range(0, 1000, size):
        moments = moments.add(features[start : start + size])
    np.testing.assert_allclose(moments.covariance(), expected, rtol=1e-6, atol=1e-10)
    naive = (features.T @ features - 1000 * np.outer(features.mean(axis=0), features.mean(axis=0))) / 999
    assert np.abs(naive - expected).max() > expected.max(), 'sums of squares would do as well'


def test_short_floats_are_widened_first():
    features = np.float16([[1024], [1025], [1027]])
    np.testing.assert_allclose(Moments.of(features).covariance(), np.cov([0, 1, 3]))


def test_nothing_changes_in_place(features):
    moments = Moments.of(features[:100])
    before = moments.scatter.copy(), features.copy()
    moments.add(features).merge(moments)
    np.testing.assert_array_equal(moments.scatter, before[0])
    np.testing.assert_array_equal(features, before[1])


def test_arrays_and_back(features, tmp_path):
    moments = Moments.of(features)
    np.savez(tmp_path / 'moments.npz', **moments.to_arrays(), network='other')
    with np.load(tmp_path / 'moments.npz') as stored:
        again = Moments.from_arrays(stored, where='moments.npz')
    assert type(again.count) is int
    assert_close(again, moments, rtol=0)


@pytest.mark.parametrize(
    'change, message',
    [
        ({'mean': None}, 'moments.npz: has no mean'),
        ({'count': np.float64(3)}, 'count=3.0'),
        ({'scatter': np.zeros((2, 3))}, r'scatter: shape \(2, 3\); give \[samples, 2\]'),
        ({'scatter': np.zeros((3, 2))}, r'shape \(3, 2\); give \[2, 2\]'),
        ({'mean': np.array([0, np.nan])}, 'mean: 1 of 2 numbers are not finite'),
    ],
)
def test_other_arrays_are_refused(change, message):
    arrays = Moments.of(np.eye(2)).to_arrays() | change
    with pytest.raises(UserError, match=message):
        Moments.from_arrays({k: v for k, v in arrays.items() if v is not None}, where='moments.npz')


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(features, bad):
    features = features.copy()
    features[3, 5] = bad
    with pytest.raises(UserError, match=r'features: 1 of 32000 numbers are not finite, the first \(.*\) in row 3'):
        Moments.empty(64).add(features)


def test_other_shapes_and_too_few_samples_are_refused(features):
    with pytest.raises(UserError, match='32 values a sample after samples of 64'):
        Moments.of(features).add(features[:, :32])
    with pytest.raises(UserError, match=r'shape \(64,\)'):
        Moments.of(features[0])
    for count, ddof in ((0, 0), (1, 1)):
        with pytest.raises(UserError, match=f'{count} samples, and at least {ddof + 1} are needed'):
            Moments.of(features[:count]).covariance(ddof)
