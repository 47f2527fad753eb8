"""Resized images against what TensorFlow 1, Pillow and PyTorch made of the same ones."""

import jax
import numpy as np
import pytest
from PIL import Image

import feature_reference
import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks.resizing import resize, to_colour

REFERENCE = metric_reference.arrays('inception')
IMAGES = [feature_reference.rule_image(*row) for row in REFERENCE['image_seed_h_w'].tolist()]


def pillow(image, size):
    """Bicubic, each channel as floats."""
    channels = [
        np.asarray(Image.fromarray(np.float32(channel)).resize((size, size), Image.BICUBIC))
        for channel in np.moveaxis(image, -1, 0)
    ]
    return np.clip(np.stack(channels, -1), 0, 255)


def grid(resized):
    assert resized.shape == (1, 299, 299, 3) and resized.dtype == np.float32
    return np.asarray(resized)[0, ::13, ::13]


@pytest.mark.parametrize('row', range(5))
def test_images_follow_their_rule(row):
    assert feature_reference.crc(IMAGES[row]) == REFERENCE['image_crc32'][row]


@pytest.mark.parametrize('row', range(5))
def test_legacy_equals_tensorflow_to_the_bit(row):
    np.testing.assert_array_equal(grid(resize(IMAGES[row][None], 299, 'legacy')), REFERENCE['tf1_grid'][row])


@pytest.mark.parametrize('row', range(5))
def test_legacy_within_a_larger_graph_equals_tensorflow_to_the_bit(row):
    """What a compiler merges depends on what is around."""
    half = jax.jit(lambda images: resize(images, 299, 'legacy') * 0.5 + 1)
    np.testing.assert_array_equal(grid(half(IMAGES[row][None])), REFERENCE['tf1_grid'][row] * np.float32(0.5) + 1)


@pytest.mark.parametrize('row', range(5))
def test_clean_is_near_the_reference(row):
    np.testing.assert_allclose(grid(resize(IMAGES[row][None], 299, 'clean')), REFERENCE['clean_grid'][row], atol=1e-3)


@pytest.mark.parametrize('row', range(5))
def test_half_pixel_is_near_the_reference(row):
    found = grid(resize(IMAGES[row][None], 299, 'half_pixel'))
    np.testing.assert_allclose(found, REFERENCE['pytorch_grid'][row] * 255, atol=1e-3)


@pytest.mark.parametrize('height, width, size', [(40, 64, 224), (333, 1024, 224), (300, 17, 299), (7, 5, 3)])
def test_clean_is_pillow(height, width, size):
    image = feature_reference.rule_image(5, height, width)
    found = resize(image[None].astype(np.float32), size, 'clean')
    np.testing.assert_allclose(np.asarray(found)[0], pillow(image, size), atol=1e-3)


@pytest.mark.parametrize('way', ['legacy', 'clean', 'half_pixel'])
def test_an_image_of_the_size_stays_as_it_is(way):
    image = feature_reference.rule_image(1, 50, 50)
    np.testing.assert_array_equal(resize(image[None], 50, way)[0], np.float32(image))


@pytest.mark.parametrize('way', ['legacy', 'clean', 'half_pixel'])
def test_batches_and_grey_images(way):
    images = np.stack([feature_reference.rule_image(seed, 20, 30) for seed in range(3)])
    together = resize(images, 13, way)
    for i in range(3):
        for channel in range(3):
            alone = resize(images[i : i + 1, :, :, channel : channel + 1], 13, way)
            np.testing.assert_allclose(alone[0, :, :, 0], together[i, :, :, channel], atol=1e-4)


def test_unknown_ways_and_channels_are_refused():
    with pytest.raises(UserError, match="way='bicubic': choose 'legacy', 'clean', 'half_pixel'"):
        resize(np.zeros((1, 8, 8, 3), np.uint8), 4, 'bicubic')
    with pytest.raises(UserError, match=r'images have shape \(1, 8, 8, 2\)'):
        to_colour(np.zeros((1, 8, 8, 2)))
    assert to_colour(np.ones((1, 8, 8, 1))).shape == (1, 8, 8, 3)
