"""The error of users: its text with and without a setting, a value and a remedy."""

import os

import pytest

from stylegan_jax.errors import UserError, require, require_choice, unwritable


@pytest.mark.parametrize(
    'given, text',
    [
        ({}, 'it is wrong'),
        ({'field': 'psi'}, 'psi: it is wrong'),
        ({'field': 'psi', 'value': None}, 'psi=None: it is wrong'),
        ({'field': 'psi', 'value': 7, 'remedy': 'leave it out'}, 'psi=7: it is wrong; leave it out'),
        ({'remedy': 'leave it out'}, 'it is wrong; leave it out'),
    ],
    ids=str,
)
def test_text(given, text):
    assert str(UserError('it is wrong', **given)) == text


def test_another_name_takes_the_place_of_the_setting():
    assert UserError('it is wrong', field='psi', value=7).text('--psi') == '--psi=7: it is wrong'


def test_requirements():
    require(True, 'count', 1, 'give at least 1')
    require_choice('noise', 'const', ('const', 'none'))
    with pytest.raises(UserError, match='^count=0: give at least 1$'):
        require(False, 'count', 0, 'give at least 1')
    with pytest.raises(UserError, match="^noise='loud': choose one of 'const', 'none'$"):
        require_choice('noise', 'loud', ('const', 'none'))


def test_unwritable():
    full = OSError(28, 'No space left on device')
    assert (
        str(unwritable('out', 'x', full)) == 'out=x: cannot be written (No space left on device); choose another folder'
    )
    assert str(unwritable(None, 'x', full, 'make room')) == 'x: cannot be written (No space left on device); make room'
    # Libraries also raise an OSError with a message alone.
    assert str(unwritable('out', 'x', OSError('no encoder'), None)) == 'out=x: cannot be written (no encoder)'
    # The system's words for making a folder where a file is, 'File exists', would not say what is wrong.
    with pytest.raises(FileExistsError) as caught:
        os.mkdir(__file__)
    assert 'x: cannot be written (there is a file of that name)' in str(unwritable('out', 'x', caught.value))
