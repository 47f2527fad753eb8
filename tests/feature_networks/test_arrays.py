"""What is said about arrays that are not those of a network, and which digests differ."""

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks.arrays import checked, digest

SHAPES = {f'layer.{i}': (2, 3) for i in range(5)}


def arrays():
    return {name: np.full(shape, i, np.float32) for i, (name, shape) in enumerate(SHAPES.items())}


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda given: given.pop('layer.3'), 'file: lacks layer.3;'),
        (
            lambda given: [given.pop(f'layer.{i}') for i in range(5)],
            'file: lacks layer.0, layer.1, layer.2 and 2 more;',
        ),
        (lambda given: given.update(extra=np.zeros(3)), 'file: has unknown arrays: extra;'),
        (lambda given: given.update({'layer.1': np.zeros((3, 2))}), r'layer.1 has shape \(3, 2\) .* has \(2, 3\)'),
        (lambda given: given.update({'layer.1': np.zeros((2, 3), int)}), 'layer.1 has numbers of type int64'),
    ],
)
def test_wrong_names_shapes_and_types_are_named(change, words):
    given = arrays()
    change(given)
    with pytest.raises(UserError, match=words):
        checked(given, SHAPES, where='file')


def test_optional_arrays_are_all_there_or_none():
    optional = ['layer.3', 'layer.4']
    some = {name: array for name, array in arrays().items() if name not in optional}
    assert checked(some, SHAPES, where='file', optional=optional).keys() == some.keys()
    with pytest.raises(UserError, match='lacks layer.4'):
        checked(some | {'layer.3': np.zeros((2, 3), np.float32)}, SHAPES, where='file', optional=optional)


def test_arrays_become_float32():
    found = checked({'x': np.float16([[1, 2]])}, {'x': (1, 2)}, where='file')
    assert found['x'].dtype == np.float32


def test_digest_is_of_names_shapes_types_and_values_alone():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    same = [{'a': x, 'b': x}, {'b': x, 'a': x.copy(order='F')}, {'a': x.astype('>f4'), 'b': x}]
    other = [
        {'a': x, 'c': x},
        {'a': x, 'b': x.reshape(3, 2)},
        {'a': x, 'b': x + 1},
        {'a': x, 'b': x.view(np.int32)},
        {'a': x},
    ]
    assert len({digest(arrays) for arrays in same}) == 1
    digests = [digest(arrays) for arrays in [same[0], *other]]
    assert len(set(digests)) == len(digests) and all(len(text) == 16 for text in digests)
