"""The Inception Score, against other implementations and where it is known."""

import numpy as np
import pytest

import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.inception_score import inception_score, inception_score_of_probabilities


@pytest.fixture
def logits():
    return metric_reference.arrays('statistics')['isc_logits']


def softmax(logits):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize('splits', [1, 10])
def test_reference(logits, splits):
    expected = metric_reference.numbers('statistics')['inception_score'][f'split{splits}']
    results = inception_score(logits, splits=splits), inception_score_of_probabilities(softmax(logits), splits=splits)
    for name in 'official_stylegan2_tf_class', 'stylegan2_ada_pytorch', 'torch_fidelity_no_shuffle':
        for result in results:
            assert result == pytest.approx(expected[name], rel=1e-5, abs=1e-12)
    shuffled = inception_score(logits, splits=splits, shuffle_seed=2020)
    assert shuffled == pytest.approx(expected['torch_fidelity_shuffle_rng2020'], rel=1e-5, abs=1e-12)


def test_ten_splits_in_order_are_the_default(logits):
    assert inception_score(logits) == inception_score(logits, splits=10)
    assert inception_score(logits) != inception_score(logits[::-1])


def test_what_adds_to_all_logits_of_an_image_does_not_matter(logits):
    shifted = logits.astype(np.float64) + np.linspace(-1e3, 1e3, len(logits))[:, None]
    assert inception_score(shifted) == pytest.approx(inception_score(logits), rel=1e-9)


def test_it_goes_from_one_to_the_number_of_classes():
    assert inception_score(np.zeros((20, 5))) == (1, 0)
    assert inception_score(np.tile([3.0, -1, 2], (20, 1))) == pytest.approx((1, 0), abs=1e-12)
    certain = np.tile(np.eye(5), (4, 1))
    assert inception_score_of_probabilities(certain, splits=2) == pytest.approx((5, 0))
    assert inception_score(1e4 * certain, splits=2) == pytest.approx((5, 0))


def test_what_cannot_be_used_is_refused(logits):
    with pytest.raises(UserError, match='logits: 9 samples, and at least 10 are needed'):
        inception_score(logits[:9])
    with pytest.raises(UserError, match='splits=0'):
        inception_score(logits, splits=0)
    with pytest.raises(UserError, match='not finite'):
        inception_score(np.full((10, 3), np.nan))
    for wrong in (logits, softmax(logits) * 2):
        with pytest.raises(UserError, match='in rows that sum to 1'):
            inception_score_of_probabilities(wrong)
