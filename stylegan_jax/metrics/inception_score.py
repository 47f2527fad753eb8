"""Inception Score: how sure a classifier is of each image, and how unlike its verdicts are."""

from typing import NamedTuple

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks


class InceptionScore(NamedTuple):
    """Mean and standard deviation (of the population) over the splits, floats."""

    mean: float
    std: float


def inception_score(logits, *, splits=10, shuffle_seed=None):
    """Computes exp(mean over x of KL(p(y|x) || p(y))) in each split; p(y) is the split's own mean.

    Args:
      logits: [N, K] without the bias of the last layer, which the official score leaves out.
      splits: into how many parts the samples are cut, one after another.
      shuffle_seed: None for the order as it is, as official StyleGAN2 and StyleGAN2-ADA; torch-fidelity shuffles, by
        default with 2020.

    Raises:
      UserError: another shape, a number that is not finite, or fewer samples than splits.

    Reference: Salimans et al. 2016, Section 4.
    """
    logits = checks.matrix(logits, 'logits', at_least=_checked(splits)).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    return _score(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), splits, shuffle_seed)


def inception_score_of_probabilities(probabilities, *, splits=10, shuffle_seed=None):
    """As `inception_score`, from p(y|x) [N, K], whose rows sum to 1; values of 0 count 0."""
    probabilities = checks.matrix(probabilities, 'probabilities', at_least=_checked(splits)).astype(np.float64)
    sums = probabilities.sum(axis=1)
    if probabilities.min() < 0 or np.max(np.abs(sums - 1)) > 1e-3:
        raise UserError(
            f'probabilities: from {probabilities.min():.3g}, in rows that sum to {sums.min():.3g} to '
            f'{sums.max():.3g}; give values from 0, in rows that sum to 1'
        )
    with np.errstate(divide='ignore'):
        return _score(np.log(probabilities), splits, shuffle_seed)


def _checked(splits):
    if splits < 1:
        raise UserError(f'splits={splits}: give at least 1')
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
