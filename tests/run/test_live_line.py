"""The sign of life of a run, with a clock of the test's own."""

import sys

import pytest

import tiny_run
from stylegan_jax.run.live_line import LiveLine
from stylegan_jax.run.time_left import TimeLeft


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return []


@pytest.fixture
def open_line(clock, said):
    """Returns a function that makes the line of a run of 160 images, 8x8 from 48 on."""
    lines = []

    def open_line():
        lines.append(LiveLine(0, 160, TimeLeft(tiny_run.run_config(), {'8x8': 2.0}), said.append, clock))
        return lines[-1]

    yield open_line
    for line in lines:
        line.close()


def train(line, clock, images, seconds_each, first=0, resolution='4x4'):
    for nimg in range(first + 4, first + images + 4, 4):
        clock.now += 4 * seconds_each
        line.progress(4, resolution, 1.0, nimg)


def test_a_line_a_minute_without_a_terminal(open_line, clock, said, capsys):
    line = open_line()
    line.expect_picture(32)
    train(line, clock, 20, 5.0)  # 100 seconds
    assert said == ['4x4 alpha 1.00, 0.012 of 0.16 kimg, 0.2 img/s, 6m 44s left, picture in 1m 40s']
    # 12 images: (48 - 12) * 5 s + 112 * 2 s = 404 s, and 20 images to the picture
    clock.now += 59
    line.beat()
    assert len(said) == 2 and capsys.readouterr() == ('', '')


def test_other_lines_are_signs_of_life_as_well(open_line, clock, said):
    line = open_line()
    for _ in range(10):
        train(line, clock, 4, 12.0)
        line.spoken()
    assert not said


def test_what_a_run_waits_for_is_said_every_minute(open_line, clock, said):
    line = open_line()
    line.activity('compiling 8x8')
    for _ in range(1250):
        clock.now += 0.1
        line.beat()
    assert said == ['compiling 8x8 (1m 00s)', 'compiling 8x8 (2m 00s)']


def test_a_pause_and_another_resolution_do_not_count_as_slow_training(open_line, clock):
    line = open_line()
    train(line, clock, 20, 1.0)
    line.activity('drawing')
    clock.now += 1000
    train(line, clock, 8, 1.0, first=20)
    assert '1.0 img/s' in line.text()
    clock.now += 500  # the first dispatch of a resolution says nothing about its speed
    train(line, clock, 8, 0.5, first=28, resolution='8x8')
    assert '2.0 img/s' in line.text()


def test_the_speed_is_that_of_the_last_minute(open_line, clock):
    line = open_line()
    train(line, clock, 40, 1.0)
    train(line, clock, 80, 2.0, first=40)
    assert '0.5 img/s' in line.text()


def test_there_is_a_text_before_there_is_a_speed(open_line, clock):
    line = open_line()
    assert line.text() == ''
    line.progress(4, '4x4', 0.5, 4)
    assert line.text() == '4x4 alpha 0.50, 0.004 of 0.16 kimg'


def test_one_line_is_rewritten_in_a_terminal(open_line, clock, said, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    monkeypatch.setenv('COLUMNS', '150')
    line = open_line()
    line.expect_picture(32)
    train(line, clock, 20, 5.0)
    line.activity('waiting for the compiler')
    clock.now += 3
    line.beat()
    text = capsys.readouterr().err
    assert '\n' not in text and not said
    shown = [part.strip() for part in text.split('\r')]
    assert any(part.startswith('12% |') and '0.2 img/s, 6m 04s left, picture in 1m 00s' in part for part in shown)
    assert shown[-1].endswith('waiting for the compiler (3s)')
