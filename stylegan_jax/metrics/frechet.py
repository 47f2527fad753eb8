"""Fréchet distance between two normal distributions: FID, where they are those of Inception features."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks
from stylegan_jax.metrics.kind import MetricKind, Samples, Value

# Covariances that were stored in float32 have errors of this share of their largest entry.
_TOLERANCE = 1e-5


def frechet_distance(mu1: ArrayLike, sigma1: ArrayLike, mu2: ArrayLike, sigma2: ArrayLike) -> float:
    """Computes |mu1 - mu2|^2 + tr(sigma1 + sigma2 - 2 (sigma1 sigma2)^(1/2)).

    The trace of the root is the nuclear norm of A1' A2 for any A A' = sigma, the sum of its singular values. Unlike
    the root itself it exists, real and never negative, for covariances of any rank (with fewer samples than features
    none has full rank), and singular values lose no digits where eigenvalues of the product would lose half.

    Args:
      mu1, mu2: means [D].
      sigma1, sigma2: covariances [D, D]; official StyleGAN divides by N - 1 (`Moments.covariance`).

    Returns:
      A float, at least 0.

    Raises:
      UserError: shapes do not fit, a number is not finite, or a matrix is no covariance.

    Reference: Heusel et al. 2017, equation 6; Dowson and Landau 1982.
    """
    mu1, mu2 = (checks.vector(mu, 'mean of features').astype(np.float64) for mu in (mu1, mu2))
    if len(mu1) != len(mu2):
        raise UserError(f'means: {len(mu1)} and {len(mu2)} features', remedy='both need the same network')
    sigma1, sigma2 = (_covariance(sigma, len(mu1)) for sigma in (sigma1, sigma2))
    factor1, factor2 = _factor(sigma1), _factor(sigma2)
    root = np.sum(np.linalg.svd(factor1.T @ factor2, compute_uv=False))
    distance = np.sum(np.square(mu1 - mu2)) + np.trace(sigma1) + np.trace(sigma2) - 2 * root
    return max(float(distance), 0.0)


def _covariance(sigma, size):
    sigma = checks.matrix(sigma, 'covariance', columns=size).astype(np.float64)
    if len(sigma) != size:
        raise UserError(f'covariance: shape {sigma.shape}', remedy=f'give [{size}, {size}]')
    if np.max(np.abs(sigma - sigma.T)) > _TOLERANCE * np.max(np.abs(sigma)):
        raise UserError('covariance: not symmetric')
    return (sigma + sigma.T) / 2


def _factor(sigma):
    """Returns A [D, R] with A A' = sigma; R is the rank, as far as rounding lets one tell."""
    from scipy.linalg.lapack import dpstrf  # SciPy's linear algebra takes a third of a second to import

    # Cholesky's decomposition fails on matrices without full rank. With pivoting, each step takes the largest entry
    # that is left in the diagonal, and LAPACK stops where none is left above rounding.
    lower, order, rank, _ = dpstrf(sigma, lower=1)
    factor = np.zeros((len(sigma), rank))
    factor[order - 1] = np.tril(lower)[:, :rank]
    left = np.abs(np.diag(sigma) - np.sum(np.square(factor), axis=1)).max()
    if left > _TOLERANCE * np.abs(sigma).max():
        raise UserError(
            f'covariance: {left:.3g} in its diagonal, of up to {np.diag(sigma).max():.3g}, are beyond any '
            'covariance; it has a negative eigenvalue'
        )
    return factor


def _compute(samples: Samples):
    reals, fakes, ddof = samples.reals['features'], samples.fakes['features'], samples.ddof
    about, size = {'ddof': ddof}, len(reals.mean)
    if min(reals.count, fakes.count) <= size:
        about['note'] = f'too few images: fewer than the {size} features, so that the value is far too large'
    value = frechet_distance(reals.mean, reals.covariance(ddof), fakes.mean, fakes.covariance(ddof))
    return [Value(value, about=about)]


FID = MetricKind(
    name='fid',
    published=('fid50k', 'fid50k_full'),
    count=50_000,
    compute=_compute,
    network='inception',
    keeps=(('features', 'moments'),),
    with_reals=True,
)

# The same distance in the features of the Toy-faces classifier, which is no FID and must not be called one.
FD_TOY = dataclasses.replace(FID, name='fd_toy', published=('fd_toy',), count=5_000, network='toy_faces')
