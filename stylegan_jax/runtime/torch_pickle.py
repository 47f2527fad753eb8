"""PyTorch's files, read without PyTorch and without executing anything in them. No JAX.

`torch.save` has had two containers, and both are read: a zip archive (since 1.6), and a stream of pickles that the
storages follow. Both hold a pickle in which tensors are calls of a few known functions. All other names are refused.
"""

import contextlib
import functools
import io
import math
import os
import struct
import typing
import zipfile
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.runtime import bounded_pickle

_MAGIC = b'\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.'  # the number at the start of a stream, after the protocol
_BFLOAT16 = 'BFloat16'  # NumPy lacks this type: the upper 16 bits of a float32
_TYPES = {
    'Double': '<f8',
    'Float': '<f4',
    'Half': '<f2',
    _BFLOAT16: '<u2',
    'Long': '<i8',
    'Int': '<i4',
    'Short': '<i2',
    'Char': '|i1',
    'Byte': '|u1',
    'Bool': '|b1',
}


class _Storage(typing.NamedTuple):
    """Memory that tensors share: its key in the file, the type of its numbers, and how many there are."""

    key: str
    kind: str
    count: int


class Tensor(typing.NamedTuple):
    """A tensor in a file: a view of a storage; offset and strides count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


def itemsize(tensor: Tensor) -> int:
    """Returns the size of a number of a tensor, as the file stores it [bytes]."""
    return np.dtype(_TYPES[tensor.storage.kind]).itemsize


class _Dict(dict):
    """Stands in for OrderedDict."""


def _rebuild_tensor(storage, offset, shape, strides, *_):
    if not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise UserError('it has a tensor without a proper shape')
    return Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor, *_):
    return tensor


_KNOWN = {
    ('collections', 'OrderedDict'): _Dict,
    ('torch._utils', '_rebuild_tensor'): _rebuild_tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
    ('torch._utils', '_rebuild_parameter'): _rebuild_parameter,
    ('torch', 'Size'): tuple,
    **{(module, f'{kind}Storage'): kind for module in ('torch', 'torch.cuda') for kind in _TYPES},
}


class _Unpickler(bounded_pickle.Unpickler):
    writer = 'PyTorch'

    def __init__(self, file, size):
        super().__init__(file, size, encoding='latin1')
        self.storages = {}

    def find_class(self, module, name):
        if (module, name) not in _KNOWN:
            asked = f'{module[:80]}.{name[:80]}'
            raise UserError(f'the file asks for {asked}, which is no part of weights; refused')
        known = _KNOWN[module, name]
        return functools.partial(self.container, known) if known in (_Dict, tuple) else known

    def build(self, built, state):
        if not isinstance(built, _Dict):  # whose attributes, the versions of modules, are dropped
            super().build(built, state)

    def persistent_load(self, pid):
        what, kind, key, _, count, *view = pid
        if not (isinstance(key, (str, int)) and isinstance(kind, str)):
            raise UserError('it has storages of an unknown kind')
        if what != 'storage' or kind not in _TYPES or any(part is not None for part in view):
            raise UserError('it has storages of an unknown kind')
        storage = _Storage(key, kind, count)
        if type(count) is not int or count < 0 or self.storages.setdefault(key, storage) != storage:
            raise UserError(f'it contradicts itself about storage {key}')
        return storage


class TorchFile:
    """An open file of `torch.save`.

    Attributes:
      content: what was saved: dicts, lists, numbers and texts, with a `Tensor` in the place of each tensor.
    """

    def __init__(self, content: object, numbers_of: Callable[[str], np.ndarray]):
        """Takes the content, and a function that reads the numbers of a storage."""
        self.content, self._numbers_of = content, numbers_of

    def arrays(self, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Reads tensors of the content.

        Args:
          tensors: {name: Tensor}.

        Returns:
          {name: array}. Arrays may be read-only views of one another; bfloat16 becomes float32, and other types are
          kept.

        Raises:
          UserError: a tensor is larger than its storage, or has no proper shape.
        """
        numbers_of = functools.cache(self._numbers_of)
        return {name: _view(name, tensor, numbers_of) for name, tensor in tensors.items()}


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[TorchFile]:
    """Opens a file that `torch.save` wrote; storages are read when their tensors are asked for.

    Args:
      path: of a file in either container.

    Yields:
      A TorchFile.

    Raises:
      UserError: the file holds something else, contradicts itself, or asks for anything but tensors and plain values.
    """
    with open(path, 'rb') as file:
        start = file.read(32)
        is_stream = start[:1] == b'\x80' and _MAGIC in start
        file.seek(0)
        if is_stream:
            yield _open_stream(file)
        elif zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                yield _open_archive(archive)
        else:
            raise UserError('this is no file of PyTorch weights, or it is cut off')


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads a state dict that `torch.save` wrote.

    Args:
      path: of a file in either container.

    Returns:
      {name: array} of the state dict, which may be under the key 'state_dict'; see `TorchFile.arrays`.

    Raises:
      UserError: the file is damaged, holds something else, or asks for anything but tensors.
    """
    with opened(path) as file:
        return file.arrays(_state_dict(file.content))


def _open_stream(file):
    """Reads the pickles of the older container, and finds the storages behind them."""
    size = os.fstat(file.fileno()).st_size
    _, _, system = (_unpickle(file, size)[0] for _ in range(3))
    if not system['little_endian']:
        raise UserError('it was written by a machine with the other order of bytes; save it anew')
    content, claimed = _unpickle(file, size)
    keys, _ = _unpickle(file, size)
    places = {}
    for key in keys:
        if not isinstance(key, (str, int)):
            raise UserError('it has storages of an unknown kind')
        storage = claimed[key]
        (count,) = struct.unpack('<q', file.read(8))
        left = size - file.tell()
        if count != storage.count or _size_of(storage) > left:
            raise _cut_off(storage, left)
        places[key] = file.tell()
        file.seek(_size_of(storage), os.SEEK_CUR)

    def numbers_of(key):
        file.seek(places[key])
        return _numbers(claimed[key], file.read(_size_of(claimed[key])))

    return TorchFile(content, numbers_of)


def _open_archive(archive):
    """Reads the pickle of the zip container, and looks at its storages."""
    names = archive.namelist()
    pickles = [name for name in names if name.rpartition('/')[2] == 'data.pkl']
    if len(pickles) != 1:
        raise UserError('this zip file holds no PyTorch weights')
    folder = pickles[0].removesuffix('data.pkl')
    if f'{folder}constants.pkl' in names:
        raise UserError('this is a TorchScript program; give a file of weights alone (a state dict)')
    if f'{folder}byteorder' in names and _entry(archive, f'{folder}byteorder') != b'little':
        raise UserError('it was written by a machine with the other order of bytes; save it anew')
    pickled = _entry(archive, pickles[0])
    content, claimed = _unpickle(io.BytesIO(pickled), len(pickled))
    for key, storage in claimed.items():
        size = _stored(archive, f'{folder}data/{key}').file_size
        if size != _size_of(storage):
            raise _cut_off(storage, size)
    # Entries may lie upon one another, so that together they would be any number of times as large as the file.
    if sum(map(_size_of, claimed.values())) > os.fstat(archive.fp.fileno()).st_size:
        raise UserError('its storages are larger than the file')
    return TorchFile(content, lambda key: _numbers(claimed[key], _entry(archive, f'{folder}data/{key}')))


def _stored(archive, name):
    """Describes an entry, which is stored as it is, as PyTorch does it; packed ones could claim any size."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise UserError(f'its entry {name} is compressed, which PyTorch does not do; unpack it and save it anew')
    return entry


def _entry(archive, name):
    return archive.read(_stored(archive, name))


def _unpickle(file, size):
    """Reads the next pickle of a file of this size; returns what it holds, and {key: storage} of what it mentions."""
    unpickler = _Unpickler(file, size)
    return unpickler.load(), unpickler.storages


def _size_of(storage):
    return np.dtype(_TYPES[storage.kind]).itemsize * storage.count


def _numbers(storage, data):
    numbers = np.frombuffer(data, _TYPES[storage.kind], storage.count)
    return (numbers.astype('<u4') << 16).view('<f4') if storage.kind == _BFLOAT16 else numbers


def _cut_off(storage, size):
    return UserError(
        f'storage {storage.key} should have {storage.count} numbers ({storage.kind}), and there are '
        f'{size} bytes for it; download or copy the file again'
    )


def _state_dict(loaded):
    """The dict of tensors in what was loaded."""
    if isinstance(loaded, dict) and isinstance(loaded.get('state_dict'), dict):
        loaded = loaded['state_dict']
    if not isinstance(loaded, dict) or not loaded:
        raise UserError('it holds no state dict (tensors by name)')
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UserError(f'its {str(name)[:80]!r} is no tensor; give a file of weights alone (a state dict)')
    return loaded


def _view(name, tensor, numbers_of):
    """The array of a tensor: a view of its storage, which must contain all numbers that the tensor claims."""
    shape, strides = tensor.shape, tensor.strides
    if len(shape) != len(strides) or not all(type(n) is int and n >= 0 for n in (tensor.offset, *shape, *strides)):
        raise UserError(f'{name} has no proper shape')
    if not isinstance(tensor.storage, _Storage):
        raise UserError(f'{name} has no storage')
    numbers = numbers_of(tensor.storage.key)
    count = math.prod(shape)
    end = tensor.offset + sum((n - 1) * stride for n, stride in zip(shape, strides)) + 1 if count else 0
    # Also no more numbers than the storage has: with strides of zero, one repeated number could claim any size.
    if max(end, count) > len(numbers):
        raise UserError(
            f'{name} claims shape {shape} from {tensor.offset} with strides {strides}, more than the '
            f'{len(numbers)} numbers that its storage has'
        )
    if not count:
        return np.zeros(shape, numbers.dtype)
    strides = [stride * numbers.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], shape, strides, writeable=False)
