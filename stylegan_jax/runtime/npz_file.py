"""Files of named arrays that say what they are: .npz archives with a header in JSON. No pickle, no JAX.

What a header means is for the modules that write such files: `networks.file` and `editing.latent_file`.
"""

import contextlib
import json
import os
import typing
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.stand_ins import stand_in_at

_HEADER = 'header'  # the name of the array of no dimensions whose one value is the JSON text
# Compressed archives may claim any size. NumPy leaves entries as they are, or compresses them in one way; that makes
# weights a tenth smaller, and pictures that are mostly of one colour perhaps ten times smaller.
_MOST_GROWTH = 20
_HARMLESS = 64 << 20  # bytes that an archive may hold in any case
_HARMLESS_HEADER = 4 << 20
_T = typing.TypeVar('_T')


def write(
    path: str | os.PathLike | typing.BinaryIO, header: Mapping[str, typing.Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Writes a file; it appears whole or not at all.

    Args:
      path: where it will be; an existing file is replaced. Or an open file, such as one in memory.
      header: dict for JSON.
      arrays: {name: array}; no name is 'header'.
    """
    with contextlib.nullcontext(path) if hasattr(path, 'write') else atomic.writing(path, 'wb') as file:
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
        with open(path, 'rb') as stream:
            file = np.load(stream, allow_pickle=False)
            check_sizes(file, os.fstat(stream.fileno()).st_size)
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


def check_sizes(file: np.lib.npyio.NpzFile, size: int) -> None:
    """Checks that what an open archive claims to hold is in proportion to its size, before anything of it is read.

    Args:
      file: what `numpy.load` returned.
      size: of the archive [bytes].

    Raises:
      UserError: it is not.
    """
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise UserError('this is no .npz file')
    entries = file.zip.infolist()
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f'its entry {entry.filename[:80]!r} is compressed in a way that NumPy does not use')
    claimed = sum(entry.file_size for entry in entries)
    if claimed > max(_HARMLESS, _MOST_GROWTH * size):
        raise UserError(f'it would be {claimed / 2**20:.0f} MiB when unpacked, and has {size / 2**20:.1f} MiB')
    header = sum(entry.file_size for entry in entries if entry.filename in (_HEADER, f'{_HEADER}.npy'))
    if header > max(_HARMLESS_HEADER, size // 2):
        raise UserError(f'its header would have {header / 2**20:.0f} MiB')
