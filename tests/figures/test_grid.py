"""Pixels, grids and PNG files."""
import os

import numpy as np
import PIL.Image
import pytest

from stylegan_jax.figures import grid


def test_minus_one_to_one_becomes_0_to_255_truncated():
    values = np.array([-9, -1, -0.999, 0, 0.5, 0.992, 1, 9, (254.999 - 128) / 127.5])
    np.testing.assert_array_equal(grid.to_uint8(values), [0, 0, 0, 128, 191, 254, 255, 255, 254])
    assert grid.to_uint8(values).dtype == np.uint8


def test_every_value_of_a_png_comes_back():
    levels = np.arange(256)
    np.testing.assert_array_equal(grid.to_uint8((levels - 127.75) / 127.5), levels)


def test_grid_goes_row_by_row_and_is_filled_up_with_black():
    images = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones([1, 2, 3, 1], np.uint8)
    picture = grid.image_grid(images, columns=3)
    np.testing.assert_array_equal(picture[::2, ::3, 0], [[1, 2, 3], [4, 5, 0]])
    assert picture.shape == (4, 9, 1) and picture.dtype == np.uint8


def test_enlarging_repeats_pixels():
    image = np.array([[1, 2], [3, 4]], np.uint8)[..., None]
    np.testing.assert_array_equal(grid.enlarge(image, 2)[..., 0],
                                  [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]])


@pytest.mark.parametrize('channels, mode', [(1, 'L'), (2, 'L'), (3, 'RGB'), (4, 'RGBA')])
def test_png_holds_the_pixels(tmp_path, channels, mode):
    image = np.random.default_rng(0).integers(0, 256, [5, 4, channels], np.uint8)
    grid.save_png(tmp_path / 'image.png', image)
    picture = PIL.Image.open(tmp_path / 'image.png')
    assert picture.mode == mode
    np.testing.assert_array_equal(np.asarray(picture), image if channels > 2 else image[..., 0])


def test_png_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError('disk full')
    (tmp_path / 'image.png').write_text('before')
    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError):
        grid.save_png(str(tmp_path / 'image.png'), np.zeros([2, 2, 3], np.uint8))
    assert (tmp_path / 'image.png').read_text() == 'before'
