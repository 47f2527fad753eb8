"""Classes and labels in the forms that users write."""

import pytest

from stylegan_jax.cli.parsing import parse_classes, parse_label
from stylegan_jax.errors import UserError

NAMES = 'cat', 'maine-coon', 'Owl', 'a, b', '1'


@pytest.mark.parametrize(
    'text, expected',
    [
        ('0', [0]),
        ('0,2', [0, 2]),
        ('0-2', [0, 1, 2]),
        ('cat', [0]),
        ('maine-coon, cat', [1, 0]),
        ('OWL', [2]),
        ('a, b', [3]),
        ('cat,3-4,2', [0, 3, 4, 2]),
        ('name:1', [4]),
        ('number:1', [1]),
    ],
)
def test_classes_are_numbers_ranges_and_names(text, expected):
    assert parse_classes(text, 5, NAMES) == expected


@pytest.mark.parametrize(
    'text, names, expected',
    [
        ('5', NAMES, 'class 5 does not exist; this network has classes 0 to 4 (cat, maine-coon, Owl'),
        ('-1', None, 'class -1 does not exist; this network has classes 0 to 4$'),
        ('dog', NAMES, 'class dog does not exist; .*cat'),
        ('cat', None, 'whose names are not known'),
        ('', NAMES, 'does not exist'),
        ('3-9', None, 'class 3-9 does not exist'),
        ('1', NAMES, r"class=1: '1' could be several classes: 1 \(maine-coon\), 4 \(1\); write name:"),
    ],
)
def test_other_texts_are_no_classes(text, names, expected):
    with pytest.raises(UserError, match=expected.replace('(cat', r'\(cat')):
        parse_classes(text, 5, names)


def test_names_that_are_their_own_numbers_are_not_ambiguous():
    assert parse_classes('3', 5, '01234') == [3]


def test_a_label_is_as_many_numbers_as_the_network_takes():
    assert parse_label('0,1,0.5', 3) == [0, 1, 0.5]
    for text in ('0,1', '0,1,x', '0,1,nan', ''):
        with pytest.raises(UserError, match=f'^label={text}: give 3 numbers'):
            parse_label(text, 3)
