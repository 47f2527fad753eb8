"""Pixels, grids and PNG files."""

import os
import threading
import time

import numpy as np
import PIL.Image
import pytest

from stylegan_jax.sampling import grid


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
    np.testing.assert_array_equal(
        grid.enlarge(image, 2)[..., 0], [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    )


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


# Files written by threads.


class Slow(np.ndarray):
    """An image that takes its time to be looked at, and tells when that is over."""

    @property
    def __array_interface__(self):
        time.sleep(0.3)
        self.looked_at.set()
        return np.ndarray.__array_interface__.__get__(self)


def slow_image():
    image = np.full([2, 2, 3], 7, np.uint8).view(Slow)
    image.looked_at = threading.Event()
    return image


def test_threads_write_all_files_and_count_them(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, [50, 5, 4, 3], np.uint8)
    threads, written = set(), []
    with grid.PngWriter(lambda: written.append(threading.current_thread())) as writer:
        for number, image in enumerate(images):
            writer.save(tmp_path / f'{number}.png', image)
            threads |= {thread for thread in threading.enumerate() if thread.name.startswith('png')}
    assert written == [threading.main_thread()] * 50 and threads
    assert not any(thread.is_alive() for thread in threads)
    for number, image in enumerate(images):
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / f'{number}.png')), image)


def test_saving_waits_while_many_files_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(grid, 'NUM_THREADS', 1)
    monkeypatch.setattr(grid, '_MOST_WAITING', 2)
    images = [slow_image() for _ in range(4)]
    with grid.PngWriter() as writer:
        for number, image in enumerate(images[:2]):
            writer.save(tmp_path / f'{number}.png', image)
        assert not images[0].looked_at.is_set()
        writer.save(tmp_path / '2.png', images[2])
        assert images[0].looked_at.is_set() and not images[2].looked_at.is_set()
    assert sorted(os.listdir(tmp_path)) == ['0.png', '1.png', '2.png']


def test_an_error_of_a_thread_comes_out_of_a_later_save(tmp_path):
    with pytest.raises(FileNotFoundError):
        with grid.PngWriter() as writer:
            for number in range(10_000):
                writer.save(tmp_path / 'nowhere' / f'{number}.png', np.zeros([2, 2, 3], np.uint8))
            pytest.fail('nothing was raised')


def test_an_error_of_the_last_file_comes_out_at_the_end(tmp_path):
    with pytest.raises(FileNotFoundError):
        with grid.PngWriter() as writer:
            writer.save(tmp_path / 'nowhere' / 'image.png', np.zeros([2, 2, 3], np.uint8))


def test_after_an_interruption_no_file_is_begun_and_none_is_half(tmp_path, monkeypatch):
    monkeypatch.setattr(grid, 'NUM_THREADS', 1)
    images = [slow_image() for _ in range(4)]
    with pytest.raises(KeyboardInterrupt):
        with grid.PngWriter() as writer:
            for number, image in enumerate(images):
                writer.save(tmp_path / f'{number}.png', image)
            time.sleep(0.1)
            raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ['0.png'] and not images[1].looked_at.is_set()
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / '0.png')), np.full([2, 2, 3], 7))
