"""What all metrics ask of the arrays that they are given."""

import numpy as np

from stylegan_jax.errors import UserError


def matrix(values, name, *, at_least=1, columns=None):
    """Returns numbers [N, D] as a NumPy array of their own type.

    Args:
      values: [N, D], in host memory or on a device.
      name: what messages call it, in the plural ('real features').
      at_least: how many rows are needed.
      columns: D, or None for any but 0.

    Raises:
      UserError: another shape, too few rows, or a number that is not finite.
    """
    values = np.asarray(values)
    if values.ndim != 2 or not values.shape[1] or columns not in (None, values.shape[1]):
        raise UserError(f'{name}: shape {values.shape}; give [samples, {columns or "values"}]')
    return _checked(values, name, at_least)


def vector(values, name, *, at_least=1):
    """Returns numbers [N] as a NumPy array of their own type; else as `matrix`."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise UserError(f'{name}: shape {values.shape}; give [samples]')
    return _checked(values, name, at_least)


def same_columns(first, second, names):
    """Raises UserError unless two matrices have as many columns."""
    if first.shape[1] != second.shape[1]:
        raise UserError(f'{names}: {first.shape[1]} and {second.shape[1]} values a sample; both need the same network')


def _checked(values, name, at_least):
    if len(values) < at_least:
        raise UserError(f'{name}: {len(values)} samples, and at least {at_least} are needed; ask for more')
    finite = np.isfinite(values)
    if not finite.all():
        place = np.argwhere(~finite)[0]
        raise UserError(
            f'{name}: {np.count_nonzero(~finite)} of {values.size} numbers are not finite, the first '
            f'({values[tuple(place)]}) in row {place[0]}; look at the weights of the networks'
        )
    return values
