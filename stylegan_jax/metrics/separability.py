"""Linear separability: how well planes in latent space separate images that a classifier tells apart."""

from __future__ import annotations

import typing
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks
from stylegan_jax.metrics.kind import MetricKind, Samples, Value

if typing.TYPE_CHECKING:
    from sklearn.svm import LinearSVC

# 'official' is the default of LinearSVC in 2019. It may stop before it has converged, at a conditional entropy some
# percent too high. 'primal' is the default of today for more samples than dimensions; it converges.
SOLVERS = {'official': {'dual': True, 'max_iter': 1000}, 'primal': {'dual': False, 'max_iter': 1000}}


class Separation(NamedTuple):
    """The plane of one attribute, and how well it separates the samples.

    Attributes:
      conditional_entropy: H(Y|X) in bits, a float: the uncertainty of the classifier's prediction (Y) that is left if
        the side of the plane (X) is known.
      weights: normal of the plane, [D], pointing to where the logit is positive; zeros if all samples are on one side.
      intercept: a float; `points @ weights + intercept` is above 0 where the plane predicts a positive logit.
      converged: whether the solver converged.
      table: shares of the samples, [2, 2]: rows by the plane, columns by the classifier, positive logits first.
    """

    conditional_entropy: float
    weights: np.ndarray
    intercept: float
    converged: bool
    table: np.ndarray


class Separability(NamedTuple):
    """The score of one latent space.

    Attributes:
      score: 2 to the power of the sum over attributes of their conditional entropies in bits, a float.
      separations: a Separation for each attribute, a list.
    """

    score: float
    separations: list[Separation]


def separability(
    points: ArrayLike, logits: ArrayLike, *, keep: int | None = None, solver: str = 'official', seed: int = 0
) -> Separability:
    """Computes the score of one latent space.

    Args:
      points: latents z or w [N, D]; official StyleGAN takes 200,000.
      logits: of the classifier of each attribute, [N, A]; its probabilities are softmax([l, -l]). Those of `ls` are of
        images as they are saved, 8 bits a colour; official StyleGAN gave its classifiers unrounded ones.
      keep: number of samples that are used, those of which the classifier is most confident; None for half of all, as
        in official StyleGAN.
      solver: 'official' or 'primal'; see `SOLVERS`.
      seed: of the generator by which 'official' orders the samples; official StyleGAN had none.

    Raises:
      UserError: shapes do not fit, a number is not finite, there are too few samples, or no such solver.

    Reference: Karras et al. 2019, Section 4.2.
    """
    logits = checks.matrix(logits, 'logits of attributes', at_least=2)
    separations = [separate(points, of_one, keep=keep, solver=solver, seed=seed) for of_one in logits.T]
    return Separability(float(2 ** sum(each.conditional_entropy for each in separations)), separations)


def separate(
    points: ArrayLike, logits: ArrayLike, *, keep: int | None = None, solver: str = 'official', seed: int = 0
) -> Separation:
    """Fits the plane of one attribute with logits [N]; other arguments and errors are those of `separability`."""
    if solver not in SOLVERS:
        raise UserError('choose ' + ', '.join(map(repr, SOLVERS)), field='solver', value=repr(solver))
    points = checks.matrix(points, 'latents', at_least=2)
    logits = checks.vector(logits, 'logits of an attribute')
    if len(points) != len(logits):
        raise UserError(f'{len(points)} latents and {len(logits)} logits', remedy='give as many')
    chosen = most_confident(logits, len(logits) // 2 if keep is None else keep)
    points, positive = points[chosen], logits[chosen] >= 0
    if positive.all() or not positive.any():  # no plane separates one class; official StyleGAN counts it as known
        predicted, svm = positive, None
    else:
        svm = _fitted(points, ~positive, SOLVERS[solver], seed)  # the official code's order of classes
        predicted = ~svm.predict(points)
    table = np.array(
        [[np.mean((predicted == row) & (positive == column)) for column in (True, False)] for row in (True, False)]
    )
    weights, intercept = (np.zeros(points.shape[1]), 0.0) if svm is None else (-svm.coef_[0], -svm.intercept_[0])
    converged = svm is None or int(np.max(svm.n_iter_)) < svm.max_iter
    return Separation(conditional_entropy(table), weights, float(intercept), converged, table)


def _fitted(points, classes, options, seed) -> LinearSVC:
    from sklearn.exceptions import ConvergenceWarning  # scikit-learn takes a second to import
    from sklearn.svm import LinearSVC

    svm = LinearSVC(loss='squared_hinge', C=1.0, tol=1e-4, random_state=seed, **options)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)  # `Separation.converged` says it
        return svm.fit(points, classes)


def most_confident(logits: ArrayLike, keep: int) -> np.ndarray:
    """Finds the samples of which the classifier is most confident.

    Many probabilities are exactly 1 in float32; the earliest of these are then taken, as in official StyleGAN.

    Args:
      logits: [N].
      keep: number of samples to find, K.

    Returns:
      int [K], the most confident one first.

    Raises:
      UserError: there are fewer, or fewer than two are asked for.
    """
    if not 2 <= keep <= len(logits):
        raise UserError('give from 2 to as many as there are', field='keep', value=f'{keep} of {len(logits)} samples')
    # The probability of the more likely class is 1 / (1 + exp(-2 |l|)), as that of softmax([l, -l]).
    unlikely = np.exp(-2 * np.abs(np.asarray(logits, np.float32)))
    return np.argsort(-1 / (1 + unlikely), kind='stable')[:keep]


def conditional_entropy(table: ArrayLike) -> float:
    """Returns H(Y|X) = H(X, Y) - H(X) in bits, for a table [X, Y] of shares or counts."""
    table = _normalised(table)
    return max(0.0, _bits(table) - _bits(table.sum(axis=1)))


def mutual_information(table: ArrayLike) -> float:
    """Returns I(X; Y) = H(X) + H(Y) - H(X, Y) in bits, for a table [X, Y] of shares or counts."""
    table = _normalised(table)
    return max(0.0, _bits(table.sum(axis=1)) + _bits(table.sum(axis=0)) - _bits(table))


def entropy(table: ArrayLike) -> float:
    """Returns H(X, Y) in bits, for a table [X, Y] of shares or counts."""
    return _bits(_normalised(table))


def _normalised(table):
    table = checks.matrix(table, 'table of shares').astype(np.float64)
    if table.min() < 0 or not table.sum():
        raise UserError(f'table of shares: {table.tolist()}', remedy='give numbers from 0 that are not all 0')
    return table / table.sum()


def _bits(p):
    """Returns -sum p log2 p, where 0 log 0 is 0."""
    p = p[p > 0]
    return float(-np.sum(p * np.log2(p))) + 0.0  # 0.0 in place of -0.0 where one outcome is certain


def _compute(samples: Samples):
    logits, values = samples.fakes['logits'], []
    for space in samples.spaces:
        found = separability(samples.fakes[space], logits, solver=samples.solver, seed=samples.seed)
        by_label = list(zip(samples.label_names, found.separations, strict=True))
        stuck = [label for label, of in by_label if not of.converged]
        about = {
            'solver': samples.solver,
            'bits': {label: of.conditional_entropy for label, of in by_label},
            'not_converged': stuck,
        }
        if stuck:
            about['note'] = f'{len(stuck)} of {len(by_label)} planes did not converge; --solver=primal does'
        values.append(Value(found.score, about=about))
    return values


LS = MetricKind(
    name='ls',
    published=('ls',),
    count=200_000,
    compute=_compute,
    network='classifiers',
    keeps=(('z', 'rows'), ('w', 'rows'), ('logits', 'rows')),
    source='latents',
    fewest=20,  # half of them are used, and planes through fewer mean nothing
    results=('_z', '_w'),  # a generator without w has the first alone
)
