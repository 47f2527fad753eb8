"""Writes files of weights as PyTorch does, in both of its containers, without it."""

import collections
import io
import pickle
import struct
import types
import zipfile

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
_KINDS = {np.dtype(code): kind for kind, code in (('Float', 'f4'), ('Double', 'f8'), ('Half', 'f2'), ('Long', 'i8'))}


class Storage:
    """Numbers that tensors share. What it claims can differ from what is written for it."""

    def __init__(self, numbers, *, kind=None, count=None, location='cpu'):
        self.numbers = np.asarray(numbers)
        self.kind = kind or _KINDS[self.numbers.dtype]
        self.count = self.numbers.size if count is None else count
        self.location = location


class Tensor:
    """A view of a storage; pickled as a call of PyTorch's function."""

    def __init__(self, storage, shape, strides, offset=0):
        self.storage, self.shape, self.strides, self.offset = storage, shape, strides, offset

    @classmethod
    def of(cls, array, **options):
        array = np.asarray(array)
        return cls(
            Storage(array.ravel(), **options),
            array.shape,
            tuple(np.array(array.strides) // array.itemsize) if array.size else (1,) * array.ndim,
        )

    def __reduce__(self):
        numbers = tuple(map(int, self.shape)), tuple(map(int, self.strides))
        return _rebuild_tensor_v2, (self.storage, self.offset, *numbers, False, collections.OrderedDict())


class Parameter:
    """A tensor that is trained; pickled as a call around it."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        return _rebuild_parameter, (self.tensor, True, collections.OrderedDict())


def _rebuild_tensor_v2(*_):
    raise AssertionError('only its name is pickled')


def _rebuild_parameter(*_):
    raise AssertionError('only its name is pickled')


class _StorageType:
    """Pickled by its name alone, as a class is."""

    def __init__(self, kind):
        self.kind = kind

    def __reduce__(self):
        return f'{self.kind}Storage'


def write(path, content, *, container='zip', protocol=2, compression=zipfile.ZIP_STORED, cut=None, extra=()):
    """Writes a file.

    Args:
      path: where to.
      content: what is pickled; tensors may be anywhere in it.
      container: 'zip' or 'stream'.
      protocol: of the pickles.
      compression: of the entries of a zip.
      cut: how many bytes to leave.
      extra: more entries of a zip, (name, bytes).
    """
    file = io.BytesIO()
    {'zip': _write_zip, 'stream': _write_stream}[container](file, content, protocol, compression, extra)
    path.write_bytes(file.getvalue()[:cut])


def _write_zip(file, content, protocol, compression, extra):
    pickled, storages = _pickled(content, protocol, ())
    with zipfile.ZipFile(file, 'w', compression) as archive:
        archive.writestr('archive/data.pkl', pickled)
        for key, storage in storages.items():
            archive.writestr(f'archive/data/{key}', storage.numbers.tobytes())
        for name, data in extra:
            archive.writestr(f'archive/{name}', data)
        archive.writestr('archive/version', '3\n')


def _write_stream(file, content, protocol, compression, extra):
    sizes = {'short': 2, 'int': 4, 'long': 4}
    for value in (MAGIC, 1001, {'protocol_version': 1001, 'little_endian': True, 'type_sizes': sizes}):
        pickle.dump(value, file, protocol)
    pickled, storages = _pickled(content, protocol, (None,))
    file.write(pickled)
    pickle.dump(sorted(storages), file, protocol)
    for key in sorted(storages):
        file.write(struct.pack('<q', storages[key].count) + storages[key].numbers.tobytes())


def _pickled(content, protocol, rest):
    """Pickles what has tensors in it; returns the bytes, and {key: storage}."""
    storages = {}

    class Pickler(pickle._Pickler):  # the one in Python lets any object be pickled by a name
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            key = next((key for key, storage in storages.items() if storage is value), str(len(storages)))
            storages[key] = value
            return ('storage', _StorageType(value.kind), key, value.location, value.count, *rest)

        def save_global(self, value, name=None):
            if isinstance(value, _StorageType):
                self.write(f'ctorch\n{name}\n'.encode())
            elif value in (_rebuild_tensor_v2, _rebuild_parameter):
                self.write(f'ctorch._utils\n{value.__name__}\n'.encode())
            else:
                super().save_global(value, name)

        dispatch = pickle._Pickler.dispatch | {types.FunctionType: save_global}

    file = io.BytesIO()
    Pickler(file, protocol).dump(content)
    return file.getvalue(), storages
