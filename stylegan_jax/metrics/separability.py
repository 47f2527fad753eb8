"""Linear separability: how well planes in latent space part images that a classifier tells apart."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks

# 'official': what LinearSVC() was in 2019. It may stop before it has converged, at a conditional entropy some percent
# too high; 'primal', today's default for more samples than dimensions, converges.
SOLVERS = {'official': {'dual': True, 'max_iter': 1000}, 'primal': {'dual': False, 'max_iter': 1000}}


class Separation(NamedTuple):
    """What one attribute's plane does.

    Attributes:
      conditional_entropy: H(Y|X) in bits, a float: what knowing the side of the plane (X) leaves unknown of the
        classifier's verdict (Y).
      weights: normal of the plane, [D], pointing to where the logit is positive; zeros if all samples are on one side.
      intercept: a float; `points @ weights + intercept` is above 0 where the plane says that the logit is.
      converged: whether the solver did.
      table: shares of the samples, [2, 2]: rows by the plane, columns by the classifier, positive logits first.
    """

    conditional_entropy: float
    weights: np.ndarray
    intercept: float
    converged: bool
    table: np.ndarray


class Separability(NamedTuple):
    """What `separability` returns.

    Attributes:
      score: 2 to the power of the sum over attributes of their conditional entropies in bits, a float.
      separations: a Separation for each attribute, a list.
    """

    score: float
    separations: list


def separability(points, logits, *, keep=None, solver='official', seed=0):
    """Computes the score of one latent space.

    Args:
      points: latents z or w [N, D]; official StyleGAN takes 200,000.
      logits: of the classifier of each attribute, [N, A]; its probabilities are softmax([l, -l]).
      keep: how many of the samples that the classifier is most confident of are used; None for half, as official.
      solver: 'official' or 'primal'; see `SOLVERS`.
      seed: of the generator by which 'official' orders the samples; official StyleGAN had none.

    Raises:
      UserError: shapes do not fit, a number is not finite, there are too few samples, or no such solver.

    Reference: Karras et al. 2019, Section 4.2.
    """
    logits = checks.matrix(logits, 'logits of attributes', at_least=2)
    separations = [separate(points, of_one, keep=keep, solver=solver, seed=seed) for of_one in logits.T]
    return Separability(float(2 ** sum(each.conditional_entropy for each in separations)), separations)


def separate(points, logits, *, keep=None, solver='official', seed=0):
    """Fits the plane of one attribute with logits [N]; else as `separability`. Returns a Separation."""
    if solver not in SOLVERS:
        raise UserError(f'solver={solver!r}: choose ' + ', '.join(map(repr, SOLVERS)))
    points = checks.matrix(points, 'latents', at_least=2)
    logits = checks.vector(logits, 'logits of an attribute')
    if len(points) != len(logits):
        raise UserError(f'{len(points)} latents and {len(logits)} logits; give as many')
    chosen = most_confident(logits, len(logits) // 2 if keep is None else keep)
    points, positive = points[chosen], logits[chosen] >= 0
    if positive.all() or not positive.any():  # nothing to part: official StyleGAN counts it as known
        predicted, svm = positive, None
    else:
        svm = LinearSVC(loss='squared_hinge', C=1.0, tol=1e-4, random_state=seed, **SOLVERS[solver])
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', ConvergenceWarning)
            predicted = ~svm.fit(points, ~positive).predict(points)  # the official code's order of classes
    table = np.array(
        [[np.mean((predicted == row) & (positive == column)) for column in (True, False)] for row in (True, False)]
    )
    weights, intercept = (np.zeros(points.shape[1]), 0.0) if svm is None else (-svm.coef_[0], -svm.intercept_[0])
    converged = svm is None or int(np.max(svm.n_iter_)) < svm.max_iter
    return Separation(conditional_entropy(table), weights, float(intercept), converged, table)


def most_confident(logits, keep):
    """Says which samples the classifier is most confident of.

    Many probabilities are exactly 1 in float32; the earlier ones of such are then taken, as in official StyleGAN.

    Args:
      logits: [N].
      keep: how many, K.

    Returns:
      int [K], the most confident one first.

    Raises:
      UserError: there are fewer, or fewer than two are asked for.
    """
    if not 2 <= keep <= len(logits):
        raise UserError(f'keep={keep} of {len(logits)} samples: give from 2 to as many as there are')
    unlikely = np.exp(-2 * np.abs(np.asarray(logits, np.float32)))
    return np.argsort(-1 / (1 + unlikely), kind='stable')[:keep]


def conditional_entropy(table):
    """Returns H(Y|X) = H(X, Y) - H(X) in bits, for a table [X, Y] of shares or counts."""
    table = _normalised(table)
    return max(0.0, _bits(table) - _bits(table.sum(axis=1)))


def mutual_information(table):
    """Returns I(X; Y) = H(X) + H(Y) - H(X, Y) in bits, for a table [X, Y] of shares or counts."""
    table = _normalised(table)
    return max(0.0, _bits(table.sum(axis=1)) + _bits(table.sum(axis=0)) - _bits(table))


def entropy(table):
    """Returns H(X, Y) in bits, for a table [X, Y] of shares or counts."""
    return _bits(_normalised(table))


def _normalised(table):
    table = checks.matrix(table, 'table of shares').astype(np.float64)
    if table.min() < 0 or not table.sum():
        raise UserError(f'table of shares: {table.tolist()}; give numbers from 0 that are not all 0')
    return table / table.sum()


def _bits(p):
    """-sum p log2 p, where 0 log 0 is 0."""
    p = p[p > 0]
    return float(-np.sum(p * np.log2(p))) + 0.0  # not -0.0 where one thing is certain
