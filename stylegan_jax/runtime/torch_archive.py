"""Writes files as `torch.save` does, without PyTorch: the zip container, with a pickle of protocol 2. No JAX.

`torch.load` reads them, with `weights_only=True` as well.
"""

import math
import os
import struct
import typing
import zipfile
from collections.abc import Mapping

import numpy as np

from stylegan_jax.runtime import atomic

_FOLDER = 'archive'  # the name that PyTorch itself gives the folder in a file without a name


def write(path: str | os.PathLike, content: Mapping[str, object]) -> None:
    """Writes a file; it appears complete or not at all. Equal contents make equal files.

    Args:
      path: of the file; an existing one is replaced.
      content: dict of arrays, which become tensors of float32, of integers that fit 32 bits, and of such dicts.
    """
    pickled = _Pickle()
    pickled.add(content)
    with atomic.writing(path, 'wb') as file, zipfile.ZipFile(file, 'w') as archive:
        _add_entry(archive, 'data.pkl', b'\x80\x02' + bytes(pickled.opcodes) + b'.')
        _add_entry(archive, 'byteorder', b'little')
        for key, array in enumerate(pickled.arrays):
            _add_entry(archive, f'data/{key}', array.tobytes())
        _add_entry(archive, 'version', b'3\n')


def _add_entry(archive, name, data):
    archive.writestr(zipfile.ZipInfo(f'{_FOLDER}/{name}'), data)  # without the time, and not compressed


class _Pickle:
    """The opcodes of a pickle, and the arrays that it refers to.

    Python's own pickler writes names of functions only where it can import them, and these are PyTorch's.
    """

    def __init__(self):
        self.opcodes, self.arrays = bytearray(), []

    def add(self, value: typing.Any) -> None:
        """Appends what puts a value on the stack."""
        if isinstance(value, Mapping):
            self.opcodes += b'ccollections\nOrderedDict\n)R('  # its call without arguments, and a mark
            for key, entry in value.items():
                self.add(key)
                self.add(entry)
            self.opcodes += b'u'  # all since the mark are entries
        elif isinstance(value, str):
            text = value.encode()
            self.opcodes += b'X' + struct.pack('<I', len(text)) + text
        elif isinstance(value, int):
            self.opcodes += b'J' + struct.pack('<i', value)
        else:
            self._add_tensor(np.asarray(value, '<f4'))

    def _add_tensor(self, array):
        """Appends the call that makes a tensor: of storage, offset, shape, strides, no gradient and no hooks."""
        self.opcodes += b'ctorch._utils\n_rebuild_tensor_v2\n(('
        self.add('storage')
        self.opcodes += b'ctorch\nFloatStorage\n'
        self.add(str(len(self.arrays)))
        self.add('cpu')
        self.add(array.size)
        self.opcodes += b'tQ'  # a tuple, which is a persistent id
        self.add(0)
        for numbers in (array.shape, [math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]):
            self.opcodes += b'('
            for number in numbers:
                self.add(number)
            self.opcodes += b't'
        self.opcodes += b'\x89'  # False
        self.add({})
        self.opcodes += b'tR'
        self.arrays.append(array)
