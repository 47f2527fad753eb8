"""A pickle reader for the official network files that executes nothing.

A pickle is a program that may call any function that it names. This reader knows containers, numpy arrays and the names
of the official classes, and refuses every other name. `official` translates the networks inside.
"""

import collections
import os
import pickle
import re
import typing

import numpy as np

from stylegan_jax.errors import UserError


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

    def __setstate__(self, state):
        self.update(state)


def _encode(text, encoding):
    """Takes the place of `codecs.encode`, by which pickle protocols 0 to 2 write bytes, always in latin1."""
    if encoding != 'latin1':
        raise UserError(f'unexpected text encoding {encoding!r}')
    return text.encode('latin1')


class PickledDtype:
    """Takes the place of numpy.dtype, whose own unpickling trusts its input; plain numbers and strings only.

    Attributes:
      dtype: the numpy.dtype.
    """

    def __init__(self, name: str, align: bool = False, copy: bool = False):
        """Takes the arguments that numpy pickles; only the name counts, such as 'f4'."""
        if not re.fullmatch(r'[biufcSU]\d{1,4}', str(name)):
            raise UserError(f'arrays of type {str(name)[:20]!r} are not read')
        self.dtype = np.dtype(str(name))

    def __setstate__(self, state):
        if state[1] in ('<', '>'):  # the byte order; '|' and '=' need no change
            self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray:
    """Takes the place of a numpy.ndarray in the same way; `numpy.asarray` returns the array."""

    array = np.zeros(0)

    def __setstate__(self, state):
        _, shape, kind, is_fortran, raw = state
        self.array = _from_buffer(_to_bytes(raw), kind, shape, 'F' if is_fortran else 'C')

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


def _reconstruct(subtype, shape, kind):
    return PickledArray()  # empty; `__setstate__` follows with shape, type and values


def _scalar(kind, raw):
    return _from_buffer(_to_bytes(raw), kind, (), 'C')[()]


def _from_buffer(raw, kind, shape, order):
    # frombuffer refuses a size that does not fit; the copy is writable.
    return np.frombuffer(raw, kind.dtype).reshape(shape, order=order).copy()


def _to_bytes(raw):
    return raw.encode('latin1') if isinstance(raw, str) else raw  # pickled by Python 2


_NETWORK_MODULES = ('dnnlib.tflib.network', 'dnnlib.tflib', 'tfutil')
_KNOWN = {
    ('numpy', 'dtype'): PickledDtype,
    ('numpy', 'ndarray'): PickledArray,
    **{
        (f'{core}.{module}', name): function
        for core in ('numpy.core', 'numpy._core')  # as numpy 1 and 2 have them
        for module, name, function in (
            ('multiarray', '_reconstruct', _reconstruct),
            ('multiarray', 'scalar', _scalar),
            ('numeric', '_frombuffer', _from_buffer),
        )
    },
    ('collections', 'OrderedDict'): collections.OrderedDict,
    ('_codecs', 'encode'): _encode,
    **{
        (module, kind.__name__): kind
        for module in ('builtins', '__builtin__')
        for kind in (dict, list, tuple, set, frozenset)
    },
    **{(module, 'EasyDict'): EasyDict for module in ('dnnlib.util', 'dnnlib', 'tfutil')},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if name == 'Network' and module in _NETWORK_MODULES:
            # A class for each network, since the module tells which version of the official code wrote it.
            return type('OfficialNetwork', (OfficialNetwork,), {'module': module})
        if (module, name) not in _KNOWN:
            raise UserError(f'the file asks for {module}.{name}, which is not part of an official network; refused')
        return _KNOWN[module, name]


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
            # latin1: the published files hold byte strings of Python 2 and arrays written by it.
            return _Unpickler(file, encoding='latin1').load()
        except UserError as error:
            raise UserError(f'{path}: {error}') from None
        except Exception as error:  # damaged pickles raise errors of many types
            message = ' '.join(f'{type(error).__name__}: {error}'.split())
            raise UserError(f'{path}: not a complete pickle file ({message})') from error
