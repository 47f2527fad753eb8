"""Kernel Inception Distance: squared maximum mean discrepancy of two sets of features under a cubic kernel."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks
from stylegan_jax.metrics.kind import MetricKind, Samples, Value

ESTIMATORS = 'unbiased', 'biased', 'u_statistic'
_BLOCK = 2048  # rows and columns of a block of the kernel matrix, which takes 32 MiB in float64


class KernelDistance(NamedTuple):
    """Estimates of the squared distance over subsets.

    Attributes:
      mean: over the subsets, a float.
      standard_error: of that mean, due to the choice of subsets alone; NaN with one subset.
      values: of each subset, [S].
    """

    mean: float
    standard_error: float
    values: np.ndarray


def kernel_distance(
    reals: ArrayLike,
    fakes: ArrayLike,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
    indices: tuple[ArrayLike, ArrayLike] | None = None,
) -> KernelDistance:
    """Averages the unbiased estimate over random subsets, as StyleGAN2-ADA does.

    Args:
      reals: features [N, D].
      fakes: features [M, D].
      subsets: number of subsets, S.
      subset_size: number of samples in each subset at most; no more than min(N, M) are taken.
      seed: of the choice of samples.
      indices: (of reals [S, m], of fakes [S, m]) in the place of these three, as `draw_subsets` returns them.

    Raises:
      UserError: shapes do not fit, a number is not finite, or there are fewer than two samples.

    Reference: Binkowski et al. 2018, Section 4; Gretton et al. 2012, equation 3.
    """
    reals, fakes = _features(reals, fakes)
    if indices is None:
        indices = draw_subsets(len(reals), len(fakes), subsets=subsets, subset_size=subset_size, seed=seed)
    of_reals, of_fakes = map(np.asarray, indices)
    if of_reals.ndim != 2 or of_reals.shape != of_fakes.shape or of_reals.shape[1] < 2:
        raise UserError(
            f'indices: shapes {of_reals.shape} and {of_fakes.shape}', remedy='give two of [subsets, 2 or more]'
        )
    values = np.array(
        [
            _estimate(reals[r].astype(np.float64), fakes[f].astype(np.float64), 'unbiased')
            for r, f in zip(of_reals, of_fakes, strict=True)
        ]
    )
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return KernelDistance(float(values.mean()), float(error), values)


def full_set_distance(reals: ArrayLike, fakes: ArrayLike, *, estimator: str = 'unbiased') -> float:
    """Estimates the distance from all pairs of samples, in time quadratic in their number and constant memory.

    Args:
      reals: features [N, D].
      fakes: features [M, D].
      estimator: 'unbiased' (Gretton et al. 2012, equation 3), 'u_statistic' (equation 4; unbiased as well, without
        the pairs of a real and a generated image at the same place; N = M) or 'biased' (equation 5, squared).

    Returns:
      A float; an unbiased estimate may be below 0.

    Raises:
      UserError: shapes do not fit, a number is not finite, there are fewer than two samples, or no such estimator.
    """
    if estimator not in ESTIMATORS:
        raise UserError('choose ' + ', '.join(map(repr, ESTIMATORS)), field='estimator', value=repr(estimator))
    reals, fakes = _features(reals, fakes)
    if estimator == 'u_statistic' and len(reals) != len(fakes):
        raise UserError(
            f'{len(reals)} real and {len(fakes)} generated samples',
            field='estimator',
            value=repr(estimator),
            remedy='give as many',
        )
    return float(_estimate(reals, fakes, estimator))


def draw_subsets(
    real_count: int, fake_count: int, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses the samples of each subset without replacement.

    The order of drawing is StyleGAN2-ADA's (and torch-fidelity's, with generated images as its first input): the
    generated ones of a subset first. So `np.random.seed(seed)` before either of them leads to the same choice.

    Returns:
      Two int arrays [S, m]: of reals, of fakes.

    Raises:
      UserError: there are no subsets, or subsets of fewer than two.
    """
    size = min(real_count, fake_count, subset_size)
    if subsets < 1 or size < 2:
        raise UserError(f'{subsets} subsets of {size} samples', remedy='give at least 1 of at least 2')
    random = np.random.RandomState(seed)
    drawn = np.array(
        [[random.choice(count, size, replace=False) for count in (fake_count, real_count)] for _ in range(subsets)]
    )
    return drawn[:, 1], drawn[:, 0]


def _features(reals, fakes):
    reals = checks.matrix(reals, 'real features', at_least=2)
    fakes = checks.matrix(fakes, 'generated features', at_least=2)
    checks.same_columns(reals, fakes, 'real and generated features')
    return reals, fakes


def _estimate(reals, fakes, estimator):
    (real_sum, real_diagonal), (fake_sum, fake_diagonal), (cross_sum, cross_diagonal) = (
        _kernel_sums(x, y) for x, y in ((reals, reals), (fakes, fakes), (reals, fakes))
    )
    n, m = len(reals), len(fakes)
    if estimator == 'biased':
        return real_sum / n**2 + fake_sum / m**2 - 2 * cross_sum / (n * m)
    within = (real_sum - real_diagonal) / (n * (n - 1)) + (fake_sum - fake_diagonal) / (m * (m - 1))
    if estimator == 'u_statistic':
        return within - 2 * (cross_sum - cross_diagonal) / (n * (n - 1))
    return within - 2 * cross_sum / (n * m)


def _kernel_sums(x, y):
    """The sum of k(x_i, y_j) = (x_i . y_j / D + 1)^3 over all i and j, and over i = j."""
    total = diagonal = 0.0
    for row in range(0, len(x), _BLOCK):
        rows = x[row : row + _BLOCK].astype(np.float64)
        for column in range(0, len(y), _BLOCK):
            products = rows @ y[column : column + _BLOCK].astype(np.float64).T
            products /= x.shape[1]
            products += 1
            # NumPy would compute `products**3` as a general power, which is fifty times slower than two products.
            kernel = products * products * products
            total += kernel.sum()
            if row == column:
                diagonal += np.trace(kernel)
    return total, diagonal


def _compute(samples: Samples):
    distance = kernel_distance(samples.reals['features'], samples.fakes['features'], seed=samples.seed)
    return [Value(distance.mean, distance.standard_error, {'subsets': len(distance.values)})]


KID = MetricKind(
    name='kid',
    published=('kid50k',),
    count=50_000,
    compute=_compute,
    network='inception',
    keeps=(('features', 'rows'),),
    with_reals=True,
)
