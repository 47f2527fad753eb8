"""How long compiling took is kept beside the programs."""

import dataclasses

import jax
import pytest

import tiny_run
from stylegan_jax.config import LogConfig
from stylegan_jax.run.compile_times import FILE, CompileTimes

PROGRAM = 0, 4, 1


@pytest.fixture
def folder(tmp_path):
    """The folder of compiled programs, an empty one."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update('jax_compilation_cache_dir', str(tmp_path))
    yield tmp_path
    jax.config.update('jax_compilation_cache_dir', before)


def test_the_time_of_a_program_is_known_the_next_time(folder):
    config = tiny_run.run_config()
    times = CompileTimes(config)
    assert times.folder == str(folder) and times.last(PROGRAM) is None
    times.note(PROGRAM, 37.04)
    times.note((1, 4, 1), 5.0)
    assert CompileTimes(config).last(PROGRAM) == 37.0
    times.note(PROGRAM, 12.0)
    assert CompileTimes(config).last(PROGRAM) == 12.0


def test_settings_that_change_no_program_change_nothing(folder):
    config = tiny_run.run_config()
    CompileTimes(config).note(PROGRAM, 3.0)
    same = dataclasses.replace(config, metrics='fd_toy24', log=LogConfig(), seed=7, name='other')
    assert CompileTimes(same).last(PROGRAM) == 3.0
    assert CompileTimes(tiny_run.run_config(generator={'fmap_max': 4})).last(PROGRAM) is None


@pytest.mark.parametrize('damage', ['', '[1]', '{"a"', '{"a": "b"}'])
def test_a_damaged_file_is_made_anew(folder, damage):
    (folder / FILE).write_text(damage)
    config = tiny_run.run_config()
    assert CompileTimes(config).last(PROGRAM) is None
    CompileTimes(config).note(PROGRAM, 1.0)
    assert CompileTimes(config).last(PROGRAM) == 1.0


def test_the_oldest_are_forgotten(folder, monkeypatch):
    monkeypatch.setattr('stylegan_jax.run.compile_times._MOST', 2)
    times = CompileTimes(tiny_run.run_config())
    for stage in range(3):
        times.note((stage, 4, 1), 1.0)
    assert [times.last((stage, 4, 1)) for stage in range(3)] == [None, 1.0, 1.0]


def test_nothing_is_kept_without_a_folder(folder):
    jax.config.update('jax_compilation_cache_dir', None)
    times = CompileTimes(tiny_run.run_config())
    times.note(PROGRAM, 2.0)
    assert times.folder is None and times.last(PROGRAM) is None
