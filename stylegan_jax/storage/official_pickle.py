"""A pickle reader for the official network files that executes nothing.

It knows containers, numpy arrays and the names of the official classes, and refuses every other name. What the
networks inside mean is `official`'s business.
"""

import collections
import pickle
import re

import numpy as np

from stylegan_jax.errors import UserError


class OfficialNetwork:
    """What stands in for a pickled `Network`: its state and nothing else.

    Attributes:
      module: name of the module that the class was pickled from.
      state: the dict that the official code saved.
    """

    module = ''

    def __setstate__(self, state):
        self.state = state


class EasyDict(dict):
    """Stands in for the official dict with attribute access; its own attributes are never set."""

    def __setstate__(self, state):
        self.update(state)


def _encode(text, encoding):
    """What Python 2 protocols use to write bytes; only the encoding that they use."""
    if encoding != 'latin1':
        raise UserError(f'unexpected text encoding {encoding!r}')
    return text.encode('latin1')


class PickledDtype:
    """Stands in for numpy.dtype, whose own unpickling trusts what it is given; plain numbers and strings only."""

    def __init__(self, name, align=False, copy=False):
        if not re.fullmatch(r'[biufcSU]\d{1,4}', str(name)):
            raise UserError(f'arrays of type {str(name)[:20]!r} are not read')
        self.dtype = np.dtype(str(name))

    def __setstate__(self, state):
        if state[1] in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray:
    """Stands in for a numpy.ndarray in the same way; `numpy.asarray` gives the array."""

    array = np.zeros(0)

    def __setstate__(self, state):
        _, shape, kind, is_fortran, raw = state
        self.array = _from_buffer(_to_bytes(raw), kind, shape, 'F' if is_fortran else 'C')

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


def _reconstruct(subtype, shape, kind):
    return PickledArray()


def _scalar(kind, raw):
    return _from_buffer(_to_bytes(raw), kind, (), 'C')[()]


def _from_buffer(raw, kind, shape, order):
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
            return type('OfficialNetwork', (OfficialNetwork,), {'module': module})
        if (module, name) not in _KNOWN:
            raise UserError(f'the file asks for {module}.{name}, which is not part of an official network; refused')
        return _KNOWN[module, name]


def read(path):
    """Reads an official pickle.

    Args:
      path: of the file; (G, D, Gs) as the training code writes it, or one network.

    Returns:
      What was pickled, with `OfficialNetwork` in place of networks and `PickledArray` in place of arrays.

    Raises:
      UserError: the file is damaged, is no pickle, or names anything else than data.
    """
    with open(path, 'rb') as file:
        try:
            # latin1: the published files hold byte strings of Python 2 and arrays written by it.
            return _Unpickler(file, encoding='latin1').load()
        except UserError as error:
            raise UserError(f'{path}: {error}') from None
        except Exception as error:  # damaged pickles fail in every way there is
            message = ' '.join(f'{type(error).__name__}: {error}'.split())
            raise UserError(f'{path}: not a complete pickle file ({message})') from error
