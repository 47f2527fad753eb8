"""Mean and covariance of features that come in pieces, in double precision; FID is computed from them."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """The number of samples, their mean, and their scatter about it.

    The scatter is the sum of outer products of deviations from the mean. It loses no digits where the mean is large, as
    the sum of outer products of the samples themselves would. The sizes and the order of the pieces change results by
    rounding alone. Nothing is changed in place: `add` and `merge` return the new moments. A piece of n samples costs
    2 n D^2 operations and D^2 for merging, so pieces of n = D or more are efficient.

    Reference: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1.

    Attributes:
      count: number of samples, an int.
      mean: [D], float64.
      scatter: [D, D], float64.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def empty(cls, size: int) -> 'Moments':
        """Returns the moments of no sample of `size` features."""
        return cls(0, np.zeros(size), np.zeros((size, size)))

    @classmethod
    def of(cls, features: ArrayLike) -> 'Moments':
        """Returns the moments of features [n, D]; n may be 0.

        Raises:
          UserError: the shape is another one, or a number is not finite.
        """
        features = checks.matrix(features, 'features', at_least=0).astype(np.float64)
        if not len(features):
            return cls.empty(features.shape[1])
        mean = features.mean(axis=0)
        features -= mean
        return cls(len(features), mean, features.T @ features)

    def add(self, features: ArrayLike) -> 'Moments':
        """Returns the moments with features [n, D] added; errors are those of `of` and `merge`."""
        return self.merge(type(self).of(features))

    def merge(self, other: 'Moments') -> 'Moments':
        """Returns the moments of the samples of both; raises UserError unless they have as many features."""
        if self.mean.shape != other.mean.shape:
            raise UserError(f'features: {len(other.mean)} values a sample after samples of {len(self.mean)}')
        if not self.count or not other.count:
            return self if self.count else other
        # Equation 2.1: the scatter about the common mean, from those about the two means.
        count = self.count + other.count
        apart = other.mean - self.mean
        scatter = np.outer(apart * (self.count * other.count / count), apart)
        scatter += self.scatter  # in place, because these matrices are large
        scatter += other.scatter
        return type(self)(count, self.mean + apart * (other.count / count), scatter)

    def covariance(self, ddof: int = 1) -> np.ndarray:
        """Returns the covariance [D, D].

        Args:
          ddof: subtracted from the count that the scatter is divided by: 1 as in official StyleGAN (and most others),
            0 as in StyleGAN2-ADA.

        Raises:
          UserError: there are no more than `ddof` samples.
        """
        if self.count <= ddof:
            raise UserError(f'features: {self.count} samples, and at least {ddof + 1} are needed for a covariance')
        return self.scatter / (self.count - ddof)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays that `from_arrays` takes, by name."""
        return {'count': np.int64(self.count), 'mean': self.mean, 'scatter': self.scatter}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], *, where: str) -> 'Moments':
        """Returns the moments that `to_arrays` was called on.

        Args:
          arrays: a mapping of names to arrays; others may be in it.
          where: how messages name their source, such as a path.

        Raises:
          UserError: these are not moments.
        """
        missing = {'count', 'mean', 'scatter'} - set(arrays)
        if missing:
            raise UserError(f'{where}: has no {", ".join(sorted(missing))}; not moments of features')
        count = np.asarray(arrays['count'])
        if count.shape or count.dtype.kind != 'i' or count < 0:
            raise UserError(f'{where}: count={count}; not a number of samples')
        mean = checks.vector(arrays['mean'], f'{where}: mean').astype(np.float64)
        scatter = checks.matrix(arrays['scatter'], f'{where}: scatter', columns=len(mean)).astype(np.float64)
        if len(scatter) != len(mean):
            raise UserError(f'{where}: scatter has shape {scatter.shape}', remedy=f'give [{len(mean)}, {len(mean)}]')
        return cls(int(count), mean, scatter)
