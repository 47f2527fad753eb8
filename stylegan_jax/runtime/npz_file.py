"""Files of named arrays that say what they are: .npz archives with a header in JSON. No pickle, no JAX.

What a header means is for the modules that write such files: `networks.file` and `editing.latent_file`.
"""

import json
import os
import typing
from collections.abc import Callable, Mapping

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.stand_ins import stand_in_at

_HEADER = 'header'  # the name of the array of no dimensions whose one value is the JSON text
_T = typing.TypeVar('_T')


def write(path: str | os.PathLike, header: Mapping[str, typing.Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a file; it appears whole or not at all.

    Args:
      path: where it will be; an existing file is replaced.
      header: dict for JSON.
      arrays: {name: array}; no name is 'header'.
    """
    with atomic.writing(path, 'wb') as file:
        np.savez(file, **{_HEADER: np.array(json.dumps(header))}, **arrays)


def read(path: str | os.PathLike, build: Callable[[dict, dict[str, np.ndarray]], _T], what: str) -> _T:
    """Reads a file and builds something from it.

    Args:
      path: of the file.
      build: takes (header, {name: array}); the header is empty if the file has none. Where it raises a UserError, the
        path is put before the message; any other exception means that the file is damaged.
      what: such as 'network file', for errors.

    Returns:
      What `build` returned.

    Raises:
      UserError: the file is missing, damaged or something else.
    """
    try:
        # Without pickles, an archive can hold nothing that would be executed.
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file[_HEADER])) if _HEADER in file.files else {}
            return build(header, {name: file[name] for name in file.files if name != _HEADER})
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
    except FileNotFoundError:
        raise UserError(f'{path}: No such file', remedy=f'give a {what}') from None
    except Exception as error:  # damaged archives raise errors of many types
        if kind := stand_in_at(path):
            raise UserError(f'{path}: this is no {what}: it is {kind}') from error
        message = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise UserError(f'{path}: damaged {what} ({message})') from error
