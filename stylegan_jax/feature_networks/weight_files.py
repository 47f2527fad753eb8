"""Reads files of weights, in all formats that feature networks are published in, as arrays by name.

Nothing in the files is executed. The networks themselves know the meaning of the names.
"""

import os
import pathlib

import numpy as np
import safetensors

from stylegan_jax.errors import UserError, in_one_line
from stylegan_jax.runtime import npz_file, torch_pickle
from stylegan_jax.runtime.stand_ins import stand_in_at

_SAFETENSORS_TYPES = {
    'F64': '<f8',
    'F32': '<f4',
    'F16': '<f2',
    'I64': '<i8',
    'I32': '<i4',
    'I16': '<i2',
    'I8': '|i1',
    'U8': '|u1',
    'BOOL': '|b1',
}


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads a file of weights.

    Args:
      path: of a PyTorch state dict (.pth, .pt), a .safetensors file or an .npz file without pickles.

    Returns:
      {name: array}; arrays may be read-only. bfloat16 becomes float32, and other types are kept.

    Raises:
      UserError: the file does not exist, is damaged, or is something else.
    """
    reader = _READERS.get(pathlib.Path(path).suffix.lower())
    if reader is None:
        raise UserError(f'{path}: weights are read from files that end in ' + ', '.join(_READERS))
    try:
        return reader(path)
    except UserError as error:
        if kind := stand_in_at(path):
            raise UserError(f'{path}: this is no file of weights: it is {kind}') from None
        raise UserError(f'{path}: {error}') from None
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror or error})') from error
    except Exception as error:  # damaged files fail in every way there is
        if kind := stand_in_at(path):
            raise UserError(f'{path}: this is no file of weights: it is {kind}') from None
        raise UserError(
            f'{path}: damaged file of weights ({in_one_line(error)})', remedy='download or copy it again'
        ) from error


def _read_safetensors(path):
    arrays = {}
    for name, tensor in safetensors.deserialize(pathlib.Path(path).read_bytes()):
        kind = tensor['dtype']
        if kind == 'BF16':  # NumPy lacks this type: the upper 16 bits of a float32
            numbers = (np.frombuffer(tensor['data'], '<u2').astype('<u4') << 16).view('<f4')
        elif kind in _SAFETENSORS_TYPES:
            numbers = np.frombuffer(tensor['data'], _SAFETENSORS_TYPES[kind])
        else:
            raise UserError(f'{name} has numbers of type {kind}, which are not read')
        arrays[name] = numbers.reshape(tensor['shape'])
    return arrays


def _read_npz(path):
    with open(path, 'rb') as stream:  # np.load leaves a damaged file open
        file = np.load(stream, allow_pickle=False)
        npz_file.check_sizes(file, os.fstat(stream.fileno()).st_size)
        with file:
            return dict(file)


_READERS = {'.pth': torch_pickle.read, '.pt': torch_pickle.read, '.safetensors': _read_safetensors, '.npz': _read_npz}
