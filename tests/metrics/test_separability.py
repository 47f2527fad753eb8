"""Linear separability, against the official implementation and where it is known."""

import warnings

import numpy as np
import pytest

import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.kind import Samples
from stylegan_jax.metrics.separability import (
    LS,
    conditional_entropy,
    entropy,
    most_confident,
    mutual_information,
    separability,
    separate,
)

SPACES = 'latents', 'dlatents'


@pytest.fixture
def stored():
    return metric_reference.arrays('separability')


@pytest.fixture
def expected():
    return metric_reference.numbers('separability')


@pytest.mark.parametrize('function', [mutual_information, entropy, conditional_entropy])
def test_reference_functions(expected, function):
    for case in expected['functions']:
        assert function(case['p']) == pytest.approx(case[function.__name__], abs=1e-6)


def test_reference_choice_of_samples(stored):
    """Attribute 0 has a probability of exactly 1 in most samples."""
    for attribute, indices in enumerate(stored['pruned_indices']):
        np.testing.assert_array_equal(most_confident(stored['logits'][:, attribute], 600), indices)


@pytest.mark.parametrize('column, space', list(enumerate(SPACES)))
def test_reference_score(stored, expected, column, space):
    result = separability(stored[space], stored['logits'])
    scores = expected[f'score_{"zw"[column]}']
    assert min(scores) * (1 - 5e-3) <= result.score <= max(scores) * (1 + 5e-3)
    entropies = np.array(expected['cond_entropy_all_seeds'])[:, :, column]  # [seeds, attributes]
    for each, low, high in zip(result.separations, entropies.min(axis=0), entropies.max(axis=0)):
        assert low - 5e-3 <= each.conditional_entropy <= high + 5e-3


@pytest.mark.parametrize('seed', [0, 2])
def test_reference_of_the_official_solver_and_a_seed(stored, expected, seed):
    """scikit-learn's own sequence: in w, seed 2 is one of those that end elsewhere."""
    scores = [separability(stored[space], stored['logits'], seed=seed).score for space in SPACES]
    assert scores == pytest.approx(expected['now_dual_True_seeds0_9']['score_z_w'][seed], rel=1e-6)


@pytest.mark.parametrize('column, space', list(enumerate(SPACES)))
def test_reference_of_the_solver_that_converges(stored, expected, column, space):
    result = separability(stored[space], stored['logits'], solver='primal')
    assert result.score == pytest.approx(expected['now_default'][f'score_{"zw"[column]}'], rel=1e-6)
    for attribute, each in enumerate(result.separations):
        np.testing.assert_allclose(each.table, expected['now_default']['p'][attribute][column], atol=1e-12)
        weights = stored[f'svm_coef_intercept_attr{attribute}_{space}']
        np.testing.assert_allclose(each.weights, -weights[:-1], rtol=0, atol=1e-6)
        assert each.intercept == pytest.approx(-weights[-1], abs=1e-6)
        assert each.converged


def test_reference_of_an_attribute_with_one_class(stored, expected):
    logits = stored['logits'].copy()
    logits[:, 1] = np.abs(logits[:, 1]) + 0.1
    for space, name in zip(SPACES, 'zw'):
        result = separability(stored[space], logits)
        assert result.score == pytest.approx(expected['one_class_scores'][f'_{name}'], rel=5e-3)
        one_class = result.separations[1]
        assert one_class.conditional_entropy == 0 and one_class.converged and not one_class.weights.any()
        np.testing.assert_array_equal(one_class.table, [[1, 0], [0, 0]])


@pytest.mark.parametrize('solver', ['official', 'primal'])
def test_a_plane_is_found_and_its_normal_points_to_what_has_the_attribute(solver):
    random = np.random.default_rng(0)
    points, normal = random.standard_normal((400, 6)), np.array([3.0, 0, 0, 4, 0, 0]) / 5
    result = separate(points, 5 * points @ normal, solver=solver)
    assert result.conditional_entropy == 0
    assert result.weights @ normal > 0.99 * np.linalg.norm(result.weights)
    np.testing.assert_allclose(np.trace(result.table), 1)


def test_what_a_plane_cannot_know_remains():
    """Signs that do not depend on the point: nearly one bit is left, and the score of two such is nearly four."""
    random = np.random.default_rng(0)
    result = separability(random.standard_normal((2000, 2)), random.standard_normal((2000, 2)))
    assert 3.9 < result.score <= 4


def test_a_solver_that_stops_early_says_so_without_a_warning():
    """Where a fifth of the verdicts are wrong, 1000 rounds do not do, and more than the minimum is left unknown."""
    random = np.random.default_rng(0)
    points = random.standard_normal((300, 100))
    logits = points[:, 0] * np.where(random.random(300) < 0.2, -1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        official, primal = (separate(points, logits, keep=300, solver=solver) for solver in ('official', 'primal'))
    assert not official.converged and primal.converged
    assert official.conditional_entropy > primal.conditional_entropy


def test_the_same_seed_gives_the_same(stored):
    first, again = (separability(stored['dlatents'], stored['logits'], seed=3) for _ in range(2))
    for one, other in zip(first.separations, again.separations):
        np.testing.assert_array_equal(one.weights, other.weights)


def test_half_are_kept_unless_said_otherwise(stored):
    points, logits = stored['latents'], stored['logits'][:, 1]
    assert separate(points, logits).conditional_entropy == separate(points, logits, keep=600).conditional_entropy
    assert separate(points, logits).conditional_entropy != separate(points, logits, keep=1200).conditional_entropy


def test_what_cannot_be_used_is_refused(stored):
    points, logits = stored['latents'], stored['logits']
    with pytest.raises(UserError, match='1199 latents and 1200 logits'):
        separability(points[1:], logits)
    for keep in (1, 1201):
        with pytest.raises(UserError, match=f'keep={keep} of 1200 samples'):
            separability(points, logits, keep=keep)
    with pytest.raises(UserError, match="solver='other'"):
        separability(points, logits, solver='other')
    with pytest.raises(UserError, match='logits of attributes: 3 of 3600 numbers are not finite'):
        separability(points, np.where(np.arange(1200)[:, None] == 9, np.nan, logits))
    with pytest.raises(UserError, match='give numbers from 0 that are not all 0'):
        entropy([[0, 0], [0, 0]])


def test_results_are_one_for_each_latent_space_that_the_generator_has(stored):
    """And each says which planes the solver did not finish."""
    fakes = {'z': stored['latents'], 'w': stored['dlatents'], 'logits': stored['logits']}
    labels = tuple(f'label {number}' for number in range(stored['logits'].shape[1]))
    (of_z,) = LS.compute(Samples(fakes, spaces=('z',), label_names=labels, solver='primal'))
    both = LS.compute(Samples(fakes, label_names=labels, solver='primal'))
    assert [value.value for value in both] == [
        of_z.value,
        separability(fakes['w'], fakes['logits'], solver='primal').score,
    ]
    assert of_z.about.keys() == {'solver', 'bits', 'not_converged'} and tuple(of_z.about['bits']) == labels
