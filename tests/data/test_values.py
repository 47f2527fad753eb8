"""Whether the values of pictures of more than 8 bits fill their range."""

import pytest

from stylegan_jax.data.values import Extrema, described, merged, suggested_range, warning_of


@pytest.mark.parametrize(
    'extrema, expected',
    [
        ([], None),
        ([(0, 65535, 65535)], None),
        ([(0, 40000, 65535), (3, 200, 65535)], None),
        ([(7, 4000, 65535), (3, 4095, 65535)], (0, 4095)),
        ([(0, 4096, 65535)], (0, 8191)),
        ([(0, 70000, 65535)], (0, 131071)),
        ([(-3, 100, 65535)], (-3, 100)),
        ([(0, 1, 255)], (0, 1)),
        ([(0, 0.7, 255)], (0, 1)),
        ([(0, 254.5, 255)], None),
        ([(0, 0, 65535)], None),
    ],
)
def test_suggested_range(extrema, expected):
    extrema = [Extrema(*each) for each in extrema]
    assert suggested_range(extrema) == expected
    warning = warning_of(extrema)
    assert (warning is None) == (expected is None)
    assert warning is None or f'value_range={expected[0]},{expected[1]}' in warning


def test_extrema_of_one_white_are_merged():
    found = merged([Extrema(3, 5, 65535), Extrema(0, 1, 255), Extrema(1, 4, 65535)])
    assert found == [(0, 1, 255), (1, 5, 65535)]
    assert '0 to 1, where 255 is white and 1 to 5, where 65535 is white' in described(found)
    assert described([]) is None
