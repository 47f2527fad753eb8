"""Inception Score: how sure a classifier is of each image, and how much its predictions differ between images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks
from stylegan_jax.metrics.kind import MetricKind, Samples, Value

_SPLITS = 10


class InceptionScore(NamedTuple):
    """Mean and standard deviation (of the population) over the splits, floats."""

    mean: float
    std: float


def inception_score(logits: ArrayLike, *, splits: int = _SPLITS, shuffle_seed: int | None = None) -> InceptionScore:
    """Computes exp(mean over x of KL(p(y|x) || p(y))) in each split; p(y) is the split's own mean.

    Args:
      logits: [N, K] without the bias of the last layer, which the official score leaves out.
      splits: number of consecutive parts that the samples are cut into.
      shuffle_seed: of a permutation of the samples before that, which torch-fidelity makes, by default with 2020; None
        for none, as official StyleGAN2 and StyleGAN2-ADA.

    Raises:
      UserError: the shape is another one, a number is not finite, or there are fewer samples than splits.

    Reference: Salimans et al. 2016, Section 4.
    """
    logits = checks.matrix(logits, 'logits', at_least=_checked(splits)).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    return _score(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), splits, shuffle_seed)


def inception_score_of_probabilities(
    probabilities: ArrayLike, *, splits: int = _SPLITS, shuffle_seed: int | None = None
) -> InceptionScore:
    """Computes the same as `inception_score` from p(y|x) [N, K], whose rows sum to 1; 0 log 0 is 0."""
    probabilities = checks.matrix(probabilities, 'probabilities', at_least=_checked(splits)).astype(np.float64)
    sums = probabilities.sum(axis=1)
    if probabilities.min() < 0 or np.max(np.abs(sums - 1)) > 1e-3:
        raise UserError(
            f'probabilities: from {probabilities.min():.3g}, in rows that sum to {sums.min():.3g} to {sums.max():.3g}',
            remedy='give values from 0, in rows that sum to 1',
        )
    with np.errstate(divide='ignore'):
        return _score(np.log(probabilities), splits, shuffle_seed)


def _checked(splits):
    if splits < 1:
        raise UserError('give at least 1', field='splits', value=splits)
    return splits


def _score(log_p, splits, shuffle_seed):
    count = len(log_p)
    if shuffle_seed is not None:
        log_p = log_p[np.random.RandomState(shuffle_seed).permutation(count)]
    parts = (log_p[i * count // splits : (i + 1) * count // splits] for i in range(splits))
    scores = np.array([np.exp(_mean_divergence(part)) for part in parts])
    return InceptionScore(float(scores.mean()), float(scores.std()))


def _mean_divergence(log_p):
    """Mean of KL(p(y|x) || p(y)) over the rows of log p(y|x) [n, K], in nats; 0 log 0 is 0."""
    p = np.exp(log_p)
    possible = p.mean(axis=0) > 0
    p, log_p = p[:, possible], log_p[:, possible]
    ratios = log_p - np.log(p.mean(axis=0))
    return np.sum(p * np.where(p > 0, ratios, 0), axis=1).mean()


def _compute(samples: Samples):
    score = inception_score(samples.fakes['logits'])
    return [Value(score.mean, about={'std_over_splits': score.std})]


IS = MetricKind(
    name='is',
    published=('is50k',),
    count=50_000,
    compute=_compute,
    network='inception',
    keeps=(('logits', 'rows'),),
    fewest=_SPLITS,  # one image a split
    larger_is_better=True,
)
