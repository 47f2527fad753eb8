"""Values that are kept within a bound."""

import numpy as np

from stylegan_jax.runtime.recent import Recent


def kept(recent, keys):
    """Which of some keys are kept; looking counts as use."""
    return ''.join(key for key in keys if recent.found(key) is not None)


def test_the_value_that_was_not_used_for_longest_is_dropped():
    recent = Recent(3)
    for key in 'abc':
        assert recent.keep(key, key.upper()) == key.upper()
    assert recent.found('a') == 'A' and recent.found('x') is None
    recent.keep('d', 'D')
    assert kept(recent, 'abcd') == 'acd' and len(recent) == 3
    recent.keep('a', 'new')
    recent.keep('e', 'E')
    assert kept(recent, 'abcde') == 'ade' and recent.found('a') == 'new'


def test_sizes_count_and_the_newest_value_always_stays():
    recent = Recent(10, len)
    recent.keep('a', 'x' * 6)
    recent.keep('b', 'x' * 4)
    recent.keep('b', 'x' * 3)
    recent.keep('c', 'x')
    assert kept(recent, 'abc') == 'abc'
    recent.keep('d', 'x' * 11)
    assert kept(recent, 'abcd') == 'd'
    recent.keep('e', 'x' * 10)
    assert kept(recent, 'de') == 'e'


def test_arrays_are_values_too():
    recent = Recent(2)
    recent.keep('a', np.zeros(3))
    assert recent.found('a').shape == (3,)
