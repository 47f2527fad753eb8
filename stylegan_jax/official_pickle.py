"""A pickle reader for the official network files that executes nothing.

It knows containers, numpy arrays and the names of the official classes, and refuses every other name. What the
networks inside mean is `official`'s business.
"""
import collections
import pickle

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


def _numpy_globals():
    """The functions that pickled arrays and scalars name, under the module names of numpy 1 and 2."""
    array = np.zeros(1)
    functions = {'multiarray._reconstruct': array.__reduce__()[0],
                 'multiarray.scalar': np.float32(0).__reduce__()[0],
                 'numeric._frombuffer': array.__reduce_ex__(5)[0]}
    known = {('numpy', 'ndarray'): np.ndarray, ('numpy', 'dtype'): np.dtype}
    for core in ('numpy.core', 'numpy._core'):
        for name, function in functions.items():
            module, attribute = name.split('.')
            known[f'{core}.{module}', attribute] = function
    return known


_NETWORK_MODULES = ('dnnlib.tflib.network', 'dnnlib.tflib', 'tfutil')
_KNOWN = {
    **_numpy_globals(),
    ('collections', 'OrderedDict'): collections.OrderedDict,
    ('_codecs', 'encode'): _encode,
    **{(module, name): getattr(__import__('builtins'), name)
       for module in ('builtins', '__builtin__')
       for name in ('dict', 'list', 'tuple', 'set', 'frozenset', 'bytearray', 'complex', 'slice', 'range')
       if not (module == '__builtin__' and name == 'range')},
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
      What was pickled, with `OfficialNetwork` in place of networks.

    Raises:
      UserError: the file is damaged, is no pickle, or names anything else than data.
    """
    with open(path, 'rb') as file:
        try:
            # latin1: the published files hold byte strings of Python 2 and arrays written by it.
            return _Unpickler(file, encoding='latin1').load()
        except UserError as error:
            raise UserError(f'{path}: {error}') from None
        except Exception as error:      # damaged pickles fail in every way there is
            message = ' '.join(f'{type(error).__name__}: {error}'.split())
            raise UserError(f'{path}: not a complete pickle file ({message})') from error
