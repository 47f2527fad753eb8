"""A pickle reader for the official network files that executes nothing, and that a small file cannot keep busy.

A pickle is a program that may call any function that it names. This reader knows containers, numpy arrays and the names
of the official classes, and refuses every other name. It takes no more steps and copies no more bytes than the file of
a network needs. `official` translates the networks inside.
"""

import collections
import functools
import io
import os
import pickle
import re
import reprlib
import typing

import numpy as np

from stylegan_jax.errors import UserError

_MOST_STEPS = (
    200_000  # that a file may take: its opcodes, and the entries that it copies; networks of 1024x1024 take 20,000
)
_COPIES = 3  # bytes that may be copied for each byte of the file; arrays take two
_SPARE = 1 << 20  # bytes that may be copied besides
_PLAIN = (str, bytes, int, float, type(None))  # keys; a nested tuple could take for ever to hash


class OfficialNetwork:
    """Takes the place of a pickled `Network`: holds its state, and nothing else.

    Attributes:
      module: name of the module that the class was pickled from.
      state: the dict that the official code saved.
    """

    module = ''

    def __setstate__(self, state):
        self.state = state


class EasyDict(dict):
    """Takes the place of the official dict with attribute access; its attributes are never set."""

    def __init__(self):
        """Makes an empty one; the reader fills it."""
        super().__init__()


class PickledDtype:
    """Takes the place of numpy.dtype, whose own unpickling trusts its input; plain numbers and strings only.

    Attributes:
      dtype: the numpy.dtype.
    """

    def __init__(self, name: str, align: bool = False, copy: bool = False):
        """Takes the arguments that numpy pickles; only the name counts, such as 'f4'."""
        if type(name) is not str or not re.fullmatch(r'[biufcSU]\d{1,4}', name):
            raise UserError(f'arrays of type {reprlib.repr(name)} are not read')
        self.dtype = np.dtype(name)

    def __setstate__(self, state):
        if state[1] in ('<', '>'):  # the byte order; '|' and '=' need no change
            self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray:
    """Takes the place of a numpy.ndarray in the same way; `numpy.asarray` returns the array."""

    array = np.zeros(0)

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


def _reconstruct(subtype, shape, kind):
    return PickledArray()  # empty; its shape, type and values follow


_NETWORK_MODULES = ('dnnlib.tflib.network', 'dnnlib.tflib', 'tfutil')
_CLASSES = {
    ('numpy', 'dtype'): PickledDtype,
    ('numpy', 'ndarray'): PickledArray,
    **{(module, 'EasyDict'): EasyDict for module in ('dnnlib.util', 'dnnlib', 'tfutil')},
    # A class for each module, since that tells which version of the official code wrote the network.
    **{
        (module, 'Network'): type('OfficialNetwork', (OfficialNetwork,), {'module': module})
        for module in _NETWORK_MODULES
    },
}
_CONTAINERS = {
    ('collections', 'OrderedDict'): collections.OrderedDict,
    **{
        (module, kind.__name__): kind
        for module in ('builtins', '__builtin__')
        for kind in (dict, list, tuple, set, frozenset)
    },
}


class _Bounded(io.RawIOBase):
    """A file that does not reserve memory for bytes that it does not have."""

    def __init__(self, file, size):
        super().__init__()
        self._file, self._size = file, size

    def read(self, size=-1):
        if size > self._size - self._file.tell():
            raise EOFError(f'{size} bytes should follow, and there are {self._size - self._file.tell()}')
        return self._file.read(size)

    def readline(self, size=-1):
        return self._file.readline()


class _Steps:
    """The methods of opcodes; counts how often one is taken."""

    def __init__(self, methods):
        self._methods, self._left = methods, _MOST_STEPS

    def __getitem__(self, opcode):
        self.spend(1)
        if opcode not in self._methods:
            raise pickle.UnpicklingError(f'invalid opcode {bytes([opcode])!r}')
        return self._methods[opcode]

    def spend(self, steps):
        self._left -= steps
        if self._left < 0:
            raise UserError('it has more parts than an official network')


class _Unpickler(pickle._Unpickler):
    """Python's own reader, the one that is written in Python.

    The other one, in C, reserves memory for as many objects as a number in the file says, and offers no way to check
    keys and calls before they are hashed and made.
    """

    def __init__(self, file, size):
        # latin1: the published files hold byte strings of Python 2 and arrays written by it.
        super().__init__(_Bounded(file, size), encoding='latin1')
        self.dispatch = _Steps(self._methods)
        self._bytes_left = _COPIES * size + _SPARE
        self._functions = {
            **{
                (f'{core}.{module}', name): function
                for core in ('numpy.core', 'numpy._core')  # as numpy 1 and 2 have them
                for module, name, function in (
                    ('multiarray', '_reconstruct', _reconstruct),
                    ('multiarray', 'scalar', self._scalar),
                    ('numeric', '_frombuffer', self._array),
                )
            },
            ('_codecs', 'encode'): self._encode,
            **{name: functools.partial(self._container, kind) for name, kind in _CONTAINERS.items()},
        }

    def find_class(self, module, name):
        known = self._functions | _CLASSES
        if (module, name) not in known:
            asked = f'{module[:80]}.{name[:80]}'
            raise UserError(f'the file asks for {asked}, which is not part of an official network; refused')
        return known[module, name]

    def _encode(self, text, encoding):
        """Takes the place of `codecs.encode`, by which protocols 0 to 2 write bytes, always in latin1."""
        if encoding != 'latin1':
            raise UserError(f'unexpected text encoding {reprlib.repr(encoding)}')
        self._copy(len(text))
        return text.encode('latin1')

    def _scalar(self, kind, raw):
        return self._array(raw, kind, (), 'C')[()]

    def _array(self, raw, kind, shape, order):
        if isinstance(raw, str):  # pickled by Python 2
            raw = self._encode(raw, 'latin1')
        values = np.frombuffer(raw, kind.dtype)
        self._copy(values.nbytes)
        return values.reshape(shape, order=order).copy()  # writable; a size that does not fit is an error

    def _copy(self, size):
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise UserError('its arrays are larger than the file')

    def _container(self, kind, content=()):
        if not isinstance(content, (list, tuple, dict, set, frozenset)):
            raise pickle.UnpicklingError(f'a {kind.__name__} of a {type(content).__name__}')
        self.dispatch.spend(len(content))
        if not issubclass(kind, dict):
            return kind(self._keys(content) if issubclass(kind, (set, frozenset)) else content)
        pairs = content.items() if isinstance(content, dict) else content
        return self._filled(kind(), [part for key, value in pairs for part in (key, value)])

    def _keys(self, keys):
        for key in keys:
            if not isinstance(key, _PLAIN):
                raise UserError(f'a {type(key).__name__} is a key in it, which no official network has')
        return keys

    def _filled(self, target, items):
        """Puts items, which are a key, a value, a key and so on, into a dict."""
        if not isinstance(target, dict):
            raise pickle.UnpicklingError(f'entries of a {type(target).__name__}')
        target.update(zip(self._keys(items[::2]), items[1::2], strict=True))
        return target

    # The opcodes whose own methods would hash keys, reserve memory, or change objects in other ways.

    def load_dict(self):
        items = self.pop_mark()
        self.append(self._filled({}, items))

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._filled(self.stack[-1], [key, value])

    def load_setitems(self):
        items = self.pop_mark()
        self._filled(self.stack[-1], items)

    def load_additems(self):
        items = self.pop_mark()
        if not isinstance(self.stack[-1], set):
            raise pickle.UnpicklingError(f'members of a {type(self.stack[-1]).__name__}')
        self.stack[-1].update(self._keys(items))

    def load_frozenset(self):
        items = self.pop_mark()
        self.append(frozenset(self._keys(items)))

    def load_bytearray8(self):
        self.append(bytearray(self.read(int.from_bytes(self.read(8), 'little'))))

    def load_build(self):
        state = self.stack.pop()
        built = self.stack[-1]
        if isinstance(built, PickledArray):
            _, shape, kind, is_fortran, raw = state
            built.array = self._array(raw, kind, shape, 'F' if is_fortran else 'C')
        elif isinstance(built, EasyDict):
            self.dispatch.spend(len(state))
            self._filled(built, [part for pair in dict.items(state) for part in pair])
        elif isinstance(built, (OfficialNetwork, PickledDtype)):
            built.__setstate__(state)
        else:
            raise pickle.UnpicklingError(f'a state of a {type(built).__name__}')

    _methods = pickle._Unpickler.dispatch | {
        opcode[0]: method
        for opcode, method in (
            (pickle.DICT, load_dict),
            (pickle.SETITEM, load_setitem),
            (pickle.SETITEMS, load_setitems),
            (pickle.ADDITEMS, load_additems),
            (pickle.FROZENSET, load_frozenset),
            (pickle.BYTEARRAY8, load_bytearray8),
            (pickle.BUILD, load_build),
        )
    }


def read(path: str | os.PathLike) -> typing.Any:
    """Reads an official pickle.

    Args:
      path: of the file; (G, D, Gs) as the training code writes it, or one network.

    Returns:
      The pickled object, with `OfficialNetwork` in place of networks and `PickledArray` in place of arrays.

    Raises:
      UserError: the file is damaged, is no pickle, or names anything but data.
    """
    with open(path, 'rb') as file:
        try:
            return _Unpickler(file, os.fstat(file.fileno()).st_size).load()
        except UserError as error:
            raise UserError(f'{path}: {error}') from None
        except Exception as error:  # damaged pickles raise errors of many types
            message = ' '.join(f'{type(error).__name__}: {error}'.split())[:200]
            raise UserError(f'{path}: not a complete pickle file ({message})') from error
