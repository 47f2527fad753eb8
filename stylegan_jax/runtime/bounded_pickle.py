"""The reader of pickles that all readers of foreign pickles build on: a small file cannot keep it busy. No JAX.

A pickle is a program. What it may call is for the readers to say: `storage.official_pickle` and
`torch_pickle`. Here its steps are counted, and nothing is hashed, copied or reserved that a few bytes
could make arbitrarily large.
"""

import io
import pickle
import reprlib
import typing
from collections.abc import Mapping, Sequence

from stylegan_jax.errors import UserError

_PLAIN = (str, bytes, int, float, type(None))  # the types of keys; a nested tuple could take for ever to hash
_LONGEST_SHOWN = 100


def shown(value: object) -> str:
    """Returns the beginning of a value's `repr`, which takes no time even where that would have no end."""
    return reprlib.repr(value)[:_LONGEST_SHOWN]


class _Bounded(io.RawIOBase):
    """A file that does not reserve memory for bytes that it does not have."""

    def __init__(self, file, size):
        super().__init__()
        self._file, self._size = file, size

    def read(self, size=-1):
        left = self._size - self._file.tell()
        if size > left:
            raise EOFError(f'{size} bytes should follow, and there are {left}')
        return self._file.read(size)

    def readline(self, size=-1):
        return self._file.readline()


class _Steps:
    """The methods of opcodes, by opcode; counts the steps that are taken."""

    def __init__(self, methods, most, writer):
        self._methods, self._left, self._writer = methods, most, writer

    def __getitem__(self, opcode):
        self.spend(1)
        if opcode not in self._methods:
            raise pickle.UnpicklingError(f'invalid opcode {bytes([opcode])!r}')
        return self._methods[opcode]

    def spend(self, steps):
        self._left -= steps
        if self._left < 0:
            raise UserError(f'it has more parts than {self._writer} writes')


class Unpickler(pickle._Unpickler):
    """Python's own reader, of the two the one that is written in Python.

    The other one, in C, reserves memory for as many objects as a number in the file says, and offers no way to check
    keys before they are hashed. Subclasses have a `find_class` that knows all that the file may name.

    Attributes:
      writer: whose pickles these are, for errors.
      most_steps: opcodes that a file may have, together with the entries that it copies from container to container.
    """

    writer = 'Python'
    most_steps = 1_000_000

    def __init__(self, file: typing.BinaryIO, size: int, *, encoding: str):
        """Prepares to read a pickle.

        Args:
          file: open at the pickle.
          size: of the file [bytes].
          encoding: of byte strings of Python 2.
        """
        super().__init__(_Bounded(file, size), encoding=encoding)
        self.dispatch, self._size = _Steps(self._methods, self.most_steps, self.writer), size

    def container(self, kind: type, content: Sequence | Mapping = ()) -> typing.Any:
        """Takes the place of a call of dict, list, tuple, set or frozenset, or of a subclass."""
        if not isinstance(content, (list, tuple, dict, set, frozenset)):
            raise pickle.UnpicklingError(f'a {kind.__name__} of a {type(content).__name__}')
        if issubclass(kind, dict):
            return self.fill(kind(), content)
        self.dispatch.spend(len(content))
        return kind(_checked(content) if issubclass(kind, (set, frozenset)) else content)

    def fill(self, target: dict, content: Sequence | Mapping) -> dict:
        """Puts the entries of another dict, or pairs, into a dict; returns that."""
        self.dispatch.spend(len(content))
        for key, value in content.items() if isinstance(content, dict) else content:
            target[_checked([key])[0]] = value
        return target

    def build(self, built: object, state: object) -> None:
        """Gives an object its state; refuses, since objects of the kinds that are here have none."""
        raise pickle.UnpicklingError(f'a state of a {type(built).__name__}')

    # The opcodes whose own methods would hash keys, reserve memory, or change objects in other ways.

    def _load_put(self):
        self._memoize(int(self.readline()[:-1]))

    def _load_long_binput(self):
        self._memoize(int.from_bytes(self.read(4), 'little'))

    def _memoize(self, number):
        # A pickle numbers the objects that it refers to again, from 0 or 1 up.
        if not 0 <= number <= self._size:
            raise UserError(f'its pickle is not one that {self.writer} writes')
        self.memo[number] = self.stack[-1]

    def _load_dict(self):
        items = self.pop_mark()
        self.append(_with_items({}, items))

    def _load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        _with_items(self.stack[-1], [key, value])

    def _load_setitems(self):
        items = self.pop_mark()
        _with_items(self.stack[-1], items)

    def _load_additems(self):
        items = self.pop_mark()
        if not isinstance(self.stack[-1], set):
            raise pickle.UnpicklingError(f'members of a {type(self.stack[-1]).__name__}')
        self.stack[-1].update(_checked(items))

    def _load_frozenset(self):
        items = self.pop_mark()
        self.append(frozenset(_checked(items)))

    def _load_bytearray8(self):
        size = int.from_bytes(self.read(8), 'little')
        self.append(bytearray(self.read(size)))

    def _load_build(self):
        state = self.stack.pop()
        self.build(self.stack[-1], state)

    _methods = pickle._Unpickler.dispatch | {
        pickle.PUT[0]: _load_put,
        pickle.LONG_BINPUT[0]: _load_long_binput,
        pickle.DICT[0]: _load_dict,
        pickle.SETITEM[0]: _load_setitem,
        pickle.SETITEMS[0]: _load_setitems,
        pickle.ADDITEMS[0]: _load_additems,
        pickle.FROZENSET[0]: _load_frozenset,
        pickle.BYTEARRAY8[0]: _load_bytearray8,
        pickle.BUILD[0]: _load_build,
    }


def _checked(keys):
    for key in keys:
        if not isinstance(key, _PLAIN):
            raise UserError(f'one of its keys is of type {type(key).__name__}')
    return keys


def _with_items(target, items):
    """Puts items, which are a key, its value, a key and so on, into a dict; returns that."""
    if not isinstance(target, dict):
        raise pickle.UnpicklingError(f'entries of a {type(target).__name__}')
    target.update(zip(_checked(items[::2]), items[1::2], strict=True))
    return target
