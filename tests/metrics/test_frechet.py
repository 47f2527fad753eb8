"""The Fréchet distance, against other implementations and where it is known in closed form."""

import numpy as np
import pytest

import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.frechet import FD_TOY, FID, frechet_distance
from stylegan_jax.metrics.kind import Samples
from stylegan_jax.metrics.moments import Moments

CASES = {'full': (500, 400), 'equal_n': (400, 400), 'rankdef40_40': (40, 40), 'rankdef40_30': (40, 30)}


def distance(reals, fakes, ddof=1):
    real, fake = Moments.of(reals), Moments.of(fakes)
    return frechet_distance(real.mean, real.covariance(ddof), fake.mean, fake.covariance(ddof))


def covariance(size, seed, rank=None):
    factor = np.random.default_rng(seed).standard_normal((size, rank or size))
    return factor @ factor.T


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('ddof', [0, 1])
def test_reference(case, ddof):
    reals, fakes = (
        metric_reference.arrays('statistics')[name][:count] for name, count in zip(('real', 'fake'), CASES[case])
    )
    expected = metric_reference.numbers('statistics')['fid'][case]
    tolerance = 1e-3 if case.startswith('rankdef') else 1e-5
    mine = distance(reals, fakes, ddof)
    if ddof:
        assert mine == pytest.approx(expected['scipy_sqrtm_now_pytorch_fid'], rel=tolerance)
        official = (
            expected.get('official_stylegan_v1_class') or expected['official_statements_2019_real_imag_maximag'][0]
        )
        assert mine == pytest.approx(official, rel=tolerance)
        assert mine == pytest.approx(expected['float64_nuclear_norm_crosscheck'], rel=1e-6)
    else:
        assert mine == pytest.approx(expected['stylegan2_ada_pytorch_population_cov'], rel=tolerance)


@pytest.mark.parametrize('count', [500, 64, 20, 2])
def test_a_set_is_at_zero_from_itself(count):
    features = metric_reference.arrays('statistics')['real'][:count]
    assert 0 <= distance(features, features) < 1e-10


def test_it_does_not_matter_which_is_first():
    one, other = covariance(20, 0), covariance(20, 1, rank=5)
    mu = np.arange(20) / 10
    there, back = frechet_distance(mu, one, 0 * mu, other), frechet_distance(0 * mu, other, mu, one)
    assert there == pytest.approx(back, rel=1e-12)


def test_it_does_not_depend_on_the_axes():
    one, other, mu = covariance(10, 0), covariance(10, 1), np.arange(10.0)
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((10, 10)))[0]
    turned = frechet_distance(turn @ mu, turn @ one @ turn.T, 0 * mu, turn @ other @ turn.T)
    assert turned == pytest.approx(frechet_distance(mu, one, 0 * mu, other), rel=1e-12)


def test_independent_features():
    """Each adds the squares of the differences of means and of standard deviations."""
    mu, sd = np.array([[1.0, 0, 2], [0, 5, 2]]), np.array([[1.0, 2, 0], [4, 2.5, 3]])
    value = frechet_distance(mu[0], np.diag(sd[0] ** 2), mu[1], np.diag(sd[1] ** 2))
    assert value == pytest.approx(np.sum((mu[0] - mu[1]) ** 2) + np.sum((sd[0] - sd[1]) ** 2), rel=1e-14)


def test_rank_one():
    """The root of uu'vv' has the trace |u.v|, however small the angle; roots of eigenvalues lose half the digits."""
    u, v = np.random.default_rng(3).standard_normal((2, 300))
    v -= u * ((u @ v) / (u @ u))
    v += 1e-10 * u
    zero = np.zeros(300)
    value = frechet_distance(zero, np.outer(u, u), zero, np.outer(v, v))
    assert value == pytest.approx(u @ u + v @ v, rel=1e-9)
    same = frechet_distance(zero, np.outer(u, u), zero, 4 * np.outer(u, u))
    assert same == pytest.approx(u @ u, rel=1e-12)


def test_constant_features():
    zero, sigma = np.zeros((4, 4)), covariance(4, 0)
    assert frechet_distance(np.ones(4), zero, np.zeros(4), zero) == 4
    assert frechet_distance(np.ones(4), zero, np.ones(4), sigma) == pytest.approx(np.trace(sigma))


@pytest.mark.parametrize(
    'sigma, message',
    [
        (np.diag([1, -1e-3]), 'negative eigenvalue'),
        (np.diag([-1.0, -1]), 'negative eigenvalue'),
        (np.array([[1, 0.5], [0.4, 1]]), 'not symmetric'),
        (np.eye(3), r'shape \(3, 3\); give \[samples, 2\]'),
        (np.eye(3)[:, :2], r'shape \(3, 2\); give \[2, 2\]'),
        (np.diag([1, np.nan]), 'not finite'),
    ],
)
def test_what_is_no_covariance_is_refused(sigma, message):
    with pytest.raises(UserError, match=message):
        frechet_distance(np.zeros(2), np.eye(2), np.zeros(2), sigma)


def test_features_of_different_networks_are_refused():
    with pytest.raises(UserError, match='2 and 3 features'):
        frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))


@pytest.mark.parametrize('kind', [FID, FD_TOY], ids=lambda kind: kind.name)
@pytest.mark.parametrize('count, has_note', [(64, True), (65, False)])
def test_too_few_images_are_noted(reals, fakes, kind, count, has_note):
    """Covariances of 64 features have no full rank before there are 65 images."""
    of_reals, of_fakes = Moments.of(reals), Moments.of(fakes[:count])
    (found,) = kind.compute(Samples({'features': of_fakes}, {'features': of_reals}))
    assert found.value == frechet_distance(of_reals.mean, of_reals.covariance(), of_fakes.mean, of_fakes.covariance())
    assert ('note' in found.about) == has_note and found.about['ddof'] == 1
