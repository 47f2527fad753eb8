"""Flags and options of XLA that the installed version does not have are left out, and the others arrive."""

import pytest

from stylegan_jax.runtime import xla_options

pytestmark = pytest.mark.smoke
KNOWN = '--xla_backend_optimization_level=0'


def test_flags_that_xla_does_not_have_are_left_out():
    assert xla_options.known_flags([KNOWN, '--xla_no_such_flag=1', '--xla_nor_this=false']) == [KNOWN]
    assert xla_options.known_flags([]) == []


def test_a_flag_with_a_wrong_value_is_not_taken_for_an_unknown_one():
    with pytest.raises(RuntimeError, match='xla_backend_optimization_level=many'):
        xla_options.known_flags(['--xla_backend_optimization_level=many'])


def test_options_that_xla_does_not_have_are_left_out_and_named_once(capsys):
    options = {'xla_backend_optimization_level': 1, 'xla_no_such_option': True}
    for _ in range(2):
        assert xla_options.known_options(options) == {'xla_backend_optimization_level': 1}
    assert capsys.readouterr().err.count('has no option xla_no_such_option; it is left out') == 1


def test_an_option_with_a_wrong_value_is_not_taken_for_an_unknown_one():
    with pytest.raises(Exception, match='xla_backend_optimization_level'):
        xla_options.known_options({'xla_backend_optimization_level': 'many'})
