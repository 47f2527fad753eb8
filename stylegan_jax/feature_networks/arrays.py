"""What all feature networks do with the arrays that they are made from: check them, and say which they are."""

import hashlib

import numpy as np

from stylegan_jax.errors import UserError

_LISTED = 3


def checked(arrays, shapes, *, where, optional=()):
    """Checks that arrays are those of a network.

    Args:
      arrays: {name: array}.
      shapes: {name: shape} of what the network has.
      where: file or folder that they came from, for the message.
      optional: names that may be missing, all together.

    Returns:
      {name: float32 array}, without the names that `shapes` lacks.

    Raises:
      UserError: names are missing or unknown, or a shape is another one; the message names them.
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


def digest(arrays):
    """Returns 16 hex digits that differ wherever a name, shape, type or value of the arrays {name: array} does."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder('<'), order='C', copy=False)
        sha.update(f'{name} {array.shape} {array.dtype.str}\n'.encode())
        sha.update(array.data)
    return sha.hexdigest()[:16]


def _listed(names):
    names = sorted(names)
    return ', '.join(names[:_LISTED]) + (f' and {len(names) - _LISTED} more' if len(names) > _LISTED else '')
