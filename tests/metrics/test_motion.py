"""Motion between pictures: known motions are found, and content is moved as SciPy moves it."""

import functools

import jax
import numpy as np
import pytest
import scipy.ndimage

from stylegan_jax.metrics import motion

SIDE = 40


@functools.cache
def shapes():
    """Smooth shapes [120, 120, 1] in -1..1."""
    drawn = scipy.ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((120, 120)), 5)
    return (0.4 * drawn / drawn.std())[..., None].astype(np.float32)


def seen(down, across, scale=1.0):
    """[1, SIDE, SIDE, 1]: the middle of the shapes, moved and made smaller, by SciPy's splines."""
    places = (np.mgrid[:SIDE, :SIDE] - SIDE / 2) * scale
    places += 60 - np.array([down, across]).reshape(2, 1, 1)
    return scipy.ndimage.map_coordinates(shapes()[..., 0], places, order=3)[None, ..., None].astype(np.float32)


def estimated(before, after):
    """The motion [H, W, 2] away from the border, across which content comes in."""
    return np.asarray(_estimated(before, after))[0, 8:-8, 8:-8]


_estimated = jax.jit(motion.estimated)


@pytest.mark.parametrize('down, across', [(0.4, -0.7), (3.3, 2.2), (-4.2, 1.0)])
def test_translations_are_found(down, across):
    found = estimated(seen(0, 0), seen(down, across))
    np.testing.assert_allclose(np.median(found, axis=(0, 1)), [down, across], atol=0.05)
    assert np.mean(np.abs(found - [down, across]) < 0.25) > 0.9


def test_motions_that_differ_from_place_to_place_are_found():
    found = estimated(seen(0, 0), seen(0, 0, scale=0.9))
    places = np.moveaxis(np.mgrid[:SIDE, :SIDE], 0, -1)[8:-8, 8:-8] - SIDE / 2
    assert np.mean(np.abs(found - 0.1 * places) < 0.25) > 0.95  # what is at p was at 0.9 p


def test_flat_pictures_do_not_move():
    flat = np.full((1, SIDE, SIDE, 1), 0.3, np.float32)
    np.testing.assert_allclose(estimated(flat, flat + 0.1), 0, atol=1e-3)


def test_blur_is_that_of_scipy_away_from_the_border():
    image = np.random.default_rng(1).standard_normal((1, 40, 31, 1), np.float32)
    expected = scipy.ndimage.gaussian_filter(image.astype(np.float64), (0, 2, 2, 0), truncate=8)
    np.testing.assert_allclose(motion.blur(image, 2.0)[:, 10:-10, 10:-10], expected[:, 10:-10, 10:-10], atol=2e-5)
    np.testing.assert_allclose(motion.blur(np.ones_like(image), 2.0), 1, rtol=1e-5)


def test_content_is_moved_by_whole_pixels_exactly_and_else_nearly_as_by_splines():
    image, flow = seen(0, 0), np.zeros((1, SIDE, SIDE, 2), np.float32)
    whole = motion.moved(image, flow + np.float32([2, -3]))
    np.testing.assert_allclose(whole[:, 2:, :-3], image[:, :-2, 3:], atol=1e-6)
    parts = motion.moved(image, flow + np.float32([0.4, -1.7]))
    np.testing.assert_allclose(parts[:, 4:-4, 4:-4], seen(0.4, -1.7)[:, 4:-4, 4:-4], atol=2e-3)
