"""How long the rest of a run takes."""

import pytest

import tiny_run
from stylegan_jax.run import speeds
from stylegan_jax.run.time_left import Estimate, TimeLeft, work
from stylegan_jax.runtime.progress import time_range


@pytest.fixture
def config():
    """4x4 up to 48 images, 8x8 from there to 160."""
    return tiny_run.run_config()


def test_a_run_whose_resolutions_were_all_measured(config):
    left = TimeLeft(config, {'4x4': 2.0, '8x8': 10.0})
    assert left.until_end(0) == (48 * 2.0 + 112 * 10.0,) * 2
    assert left.until_end(16) == (32 * 2.0 + 112 * 10.0,) * 2
    assert left.until_end(100) == (600.0,) * 2
    assert left.until_end(160) == left.until_end(200) == (0.0, 0.0)


def test_a_resolution_that_comes_is_a_range(config):
    """From the speed of the one before to one that falls as the multiplications rise."""
    left, ratio = TimeLeft(config, {'4x4': 2.0}), work(config, 1) / work(config, 0)
    assert ratio > 4
    assert left.seconds_per_image('8x8') == (2.0, 2.0 * ratio)
    assert left.until_end(16) == (32 * 2.0 + 112 * 2.0, 32 * 2.0 + 112 * 2.0 * ratio)


def test_a_resolution_below_the_measured_one_is_no_slower(config):
    left, ratio = TimeLeft(config, {'8x8': 10.0}), work(config, 1) / work(config, 0)
    assert left.seconds_per_image('4x4') == (10.0 / ratio, 10.0)


def test_a_new_speed_takes_the_place_of_an_old_one(config):
    left = TimeLeft(config, {'8x8': 10.0})
    left.measure('8x8', 1.0)
    assert left.until_end(60) == (100.0, 100.0)


def test_nothing_is_known_before_anything_was_measured(config):
    assert TimeLeft(config).until_end(0) is None and TimeLeft(config, {'640x640': 1.0}).until_end(0) is None


def test_work_is_that_of_both_networks(config):
    # 4x4: one convolution each, of 8 features; 8x8: two more, of which one has twice 8 inputs to its outputs.
    assert work(config, 0) == 2 * 16 * 8 * 8
    assert work(config, 1) == work(config, 0) + 2 * 64 * 8 * (8 + 8)


@pytest.mark.parametrize(
    'least, most, text',
    [(60, 65, '1m 05s'), (60, 120, '1m 00s to 2m 00s'), (3.1, 3.4, '3s'), (0, 0, '0s'), (0, 5, '0s to 5s')],
)
def test_ranges_are_written_as_people_do(least, most, text):
    assert time_range(least, most) == str(Estimate(least, most)) == text


def test_speeds_of_a_log_are_the_newest_and_include_pictures(tmp_path):
    (tmp_path / 'log.jsonl').write_text(
        '{"nimg": 10, "resolution": "4x4", "images_per_second": 5.0, "tick_seconds": 2.0, "maintenance_seconds": 8.0}\n'
        '{"nimg": 30, "resolution": "4x4", "images_per_second": 5.0, "tick_seconds": 2.0, "maintenance_seconds": 1.0}\n'
        '{"nimg": 40, "resolution": "8x8", "images_per_second": 0.5, "tick_seconds": 20.0, '
        '"maintenance_seconds": 5.0, "waited_seconds": 5.0}\n'
        '{"nimg": 50, "resolution": "8x8", "images_per_second": null, "tick_seconds": 20.0}\n'
    )
    assert speeds.measured_speeds(tmp_path) == {'4x4': 0.3, '8x8': 2.0}
    assert speeds.measured_speeds(tmp_path, 10) == {'4x4': 1.0}
    assert speeds.measured_speeds(tmp_path / 'nowhere') == {}
