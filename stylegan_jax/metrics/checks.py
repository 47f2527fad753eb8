"""Checks that all metrics make of the arrays that they are given."""

import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError


def matrix(values: ArrayLike, name: str, *, at_least: int = 1, columns: int | None = None) -> np.ndarray:
    """Returns numbers [N, D] as a NumPy array of their own type.

    Args:
      values: [N, D], in host memory or on a device.
      name: how messages name the values, in the plural ('real features').
      at_least: the smallest N that will do.
      columns: D, or None for any but 0.

    Raises:
      UserError: the shape is another one, there are too few rows, or a number is not finite.
    """
    values = np.asarray(values)
    if values.ndim != 2 or not values.shape[1] or columns not in (None, values.shape[1]):
        raise UserError(f'{name}: shape {values.shape}', remedy=f'give [samples, {columns or "values"}]')
    return _checked(values, name, at_least)


def vector(values: ArrayLike, name: str, *, at_least: int = 1) -> np.ndarray:
    """Returns numbers [N] as a NumPy array of their own type; arguments and errors are those of `matrix`."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise UserError(f'{name}: shape {values.shape}', remedy='give [samples]')
    return _checked(values, name, at_least)


def same_columns(first: np.ndarray, second: np.ndarray, names: str) -> None:
    """Raises UserError unless two matrices have the same number of columns."""
    if first.shape[1] != second.shape[1]:
        raise UserError(
            f'{names}: {first.shape[1]} and {second.shape[1]} values a sample', remedy='both need the same network'
        )


def _checked(values, name, at_least):
    if len(values) < at_least:
        raise UserError(f'{name}: {len(values)} samples, and at least {at_least} are needed', remedy='ask for more')
    finite = np.isfinite(values)
    if not finite.all():
        place = np.argwhere(~finite)[0]
        raise UserError(
            f'{name}: {np.count_nonzero(~finite)} of {values.size} numbers are not finite, the first '
            f'({values[tuple(place)]}) in row {place[0]}',
            remedy='look at the weights of the networks',
        )
    return values
