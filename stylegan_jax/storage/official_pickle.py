"""A pickle reader for the official network files that executes nothing, and that a small file cannot keep busy.

A pickle is a program that may call any function that it names. This reader knows containers, numpy arrays and the names
of the official classes, and refuses every other name. It takes no more steps and copies no more bytes than the file of
a network needs. `official` translates the networks inside.
"""

import collections
import functools
import os
import re
import typing

import numpy as np

from stylegan_jax.errors import UserError, in_one_line
from stylegan_jax.runtime import bounded_pickle
from stylegan_jax.runtime.bounded_pickle import shown

_MOST_STEPS = 200_000  # the files of networks of 1024x1024 take less than 20,000
_COPIES = 3  # bytes that may be copied for each byte of the file; arrays take two
_SPARE = 1 << 20  # bytes that may be copied besides


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
            raise UserError(f'arrays of type {shown(name)} are not read')
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


class _Unpickler(bounded_pickle.Unpickler):
    writer = 'the official code'
    most_steps = _MOST_STEPS

    def __init__(self, file, size):
        # latin1: the published files hold byte strings of Python 2 and arrays written by it.
        super().__init__(file, size, encoding='latin1')
        self._bytes_left = _COPIES * size + _SPARE
        self.known = {
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
            ('collections', 'OrderedDict'): functools.partial(self.container, collections.OrderedDict),
            **{
                (module, kind.__name__): functools.partial(self.container, kind)
                for module in ('builtins', '__builtin__')
                for kind in (dict, list, tuple, set, frozenset)
            },
        }

    def find_class(self, module, name):
        known = self.known | _CLASSES
        if (module, name) not in known:
            asked = f'{module[:80]}.{name[:80]}'
            raise UserError(f'the file asks for {asked}, which is not part of an official network; refused')
        return known[module, name]

    def build(self, built, state):
        if isinstance(built, PickledArray):
            _, shape, kind, is_fortran, raw = state
            built.array = self._array(raw, kind, shape, 'F' if is_fortran else 'C')
        elif isinstance(built, EasyDict):
            self.fill(built, state)
        elif isinstance(built, (OfficialNetwork, PickledDtype)):
            built.__setstate__(state)
        else:
            super().build(built, state)

    def _encode(self, text, encoding):
        """Takes the place of `codecs.encode`, by which protocols 0 to 2 write bytes, always in latin1."""
        if encoding != 'latin1':
            raise UserError(f'unexpected text encoding {shown(encoding)}')
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
            raise UserError(f'{path}: not a complete pickle file ({in_one_line(error)})') from error
