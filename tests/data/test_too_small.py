"""The resolution that pictures suffice for which are too small for another one."""

import pytest

from stylegan_jax.config import ImageConfig
from stylegan_jax.data.too_small import sufficient_resolution


@pytest.mark.parametrize(
    'sizes, image, fit, expected',
    [
        ({(40, 50): 5}, ImageConfig(64), 'crop', 32),
        ({(40, 50): 5, (100, 100): 9}, ImageConfig(64), 'crop', 32),
        ({(64, 64): 5}, ImageConfig(64), 'crop', None),  # none is too small
        ({(3, 3): 5}, ImageConfig(64), 'crop', None),  # too small for every stage
        ({(33, 40): 99, (1, 1): 1}, ImageConfig(64), 'crop', 32),  # one in a hundred
        ({(33, 40): 98, (9, 9): 2}, ImageConfig(64), 'crop', 8),
        ({(24, 100): 5}, ImageConfig(64, (3, 4)), 'crop', 32),
        ({(23, 100): 5}, ImageConfig(64, (3, 4)), 'crop', 16),
        ({(32, 32): 5}, ImageConfig(64), 'exact', 32),
        ({(128, 128): 5}, ImageConfig(64), 'exact', None),
        ({(24, 32): 5}, ImageConfig(64), 'wide', 32),
        ({(3, 4): 5}, ImageConfig(64), 'wide', None),  # it makes no images of 4 pixels
        ({}, ImageConfig(64), 'crop', None),
    ],
)
def test_sufficient_resolution(sizes, image, fit, expected):
    assert sufficient_resolution(sizes, image, fit) == expected
