"""How layers are split into coarse, middle and fine ones."""

import pytest

from stylegan_jax.config import ImageConfig
from stylegan_jax.figures import layer_ranges


@pytest.mark.parametrize(
    'resolution, expected',
    [
        (1024, {'coarse': range(0, 4), 'middle': range(4, 8), 'fine': range(8, 18)}),  # the paper's
        (256, {'coarse': range(0, 4), 'middle': range(4, 8), 'fine': range(8, 14)}),
        (64, {'coarse': range(0, 4), 'middle': range(4, 8), 'fine': range(8, 10)}),
        (32, {'coarse': range(0, 4), 'middle': range(4, 6), 'fine': range(6, 8)}),
        (16, {'coarse': range(0, 2), 'middle': range(2, 4), 'fine': range(4, 6)}),
        (8, {'coarse': range(0, 2), 'fine': range(2, 4)}),
        (4, {'coarse': range(0, 2)}),
    ],
)
def test_split_by_resolution(resolution, expected):
    assert layer_ranges.split(ImageConfig(resolution)) == expected


@pytest.mark.parametrize('image', [ImageConfig(512, base_shape=(4, 3)), ImageConfig(512, base_shape=(3, 4))])
def test_longer_side_decides(image):
    assert layer_ranges.split(image) == layer_ranges.split(ImageConfig(512))


def test_networks_that_begin_large_have_all_ranges():
    assert list(layer_ranges.split(ImageConfig(512, base_shape=(64, 64))).values()) == [
        range(0, 4),
        range(4, 6),
        range(6, 8),
    ]


def test_an_earlier_stage_is_split_as_a_smaller_network():
    assert layer_ranges.split(ImageConfig(1024), 4) == layer_ranges.split(ImageConfig(32))


def test_resolutions_are_named():
    image = ImageConfig(64)
    assert layer_ranges.resolutions(image, range(2, 6)) == '8-16 px'
    assert layer_ranges.resolutions(image, range(8, 10)) == '64 px'
