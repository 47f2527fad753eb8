"""Checking the arrays that a feature network is built from, and a digest that identifies them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError

_LISTED = 3  # names in a message; the others are counted


def checked(
    arrays: Mapping[str, ArrayLike], shapes: Mapping[str, Sequence[int]], *, where: object, optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """Checks that arrays have the names, shapes and types that a network needs.

    Args:
      arrays: {name: array}.
      shapes: {name: shape} of the network.
      where: file or folder that the arrays came from, for the message.
      optional: names that may be missing, but only all of them together.

    Returns:
      {name: float32 array}.

    Raises:
      UserError: names are missing or unknown, or a shape differs; the message names them.
    """
    required = shapes.keys() - (() if set(optional) & arrays.keys() else optional)
    for problem, names in (('lacks', required - arrays.keys()), ('has unknown arrays:', arrays.keys() - shapes.keys())):
        if names:
            raise UserError(f'{where}: {problem} {_listed(names)}; these are not the weights asked for')
    for name in sorted(arrays):
        if np.shape(arrays[name]) != tuple(shapes[name]):
            raise UserError(
                f'{where}: {name} has shape {np.shape(arrays[name])} where the network has '
                f'{tuple(shapes[name])}; these are not the weights asked for'
            )
        if np.asarray(arrays[name]).dtype.kind != 'f':
            raise UserError(f'{where}: {name} has numbers of type {np.asarray(arrays[name]).dtype}; weights are floats')
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def digest(arrays: Mapping[str, ArrayLike]) -> str:
    """Returns 16 hexadecimal digits, which differ if a name, shape, type or value of the arrays {name: array} does."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        # Little-endian and row-major, so that the digest does not depend on the machine or on the memory layout.
        array = array.astype(array.dtype.newbyteorder('<'), order='C', copy=False)
        sha.update(f'{name} {array.shape} {array.dtype.str}\n'.encode())
        sha.update(array.data)
    return sha.hexdigest()[:16]


def _listed(names):
    names = sorted(names)
    return ', '.join(names[:_LISTED]) + (f' and {len(names) - _LISTED} more' if len(names) > _LISTED else '')
