"""The folder that keeps compiled programs."""

import os

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import tiny
from stylegan_jax import training
from stylegan_jax.data.batch import Batch
from stylegan_jax.runtime import compile_cache, platforms


@pytest.fixture(autouse=True)
def settings():
    """Gives JAX back the folder it had."""
    before = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
    compilation_cache.reset_cache()
    yield
    jax.config.update('jax_compilation_cache_dir', before[0])
    jax.config.update('jax_persistent_cache_min_compile_time_secs', before[1])
    compilation_cache.reset_cache()


@pytest.mark.parametrize(
    'variables, expected',
    [
        ({'JAX_COMPILATION_CACHE_DIR': 'HERE/jax', 'XDG_CACHE_HOME': 'HERE/xdg'}, 'jax'),
        ({'XDG_CACHE_HOME': 'HERE/xdg'}, 'xdg/stylegan_jax'),
        ({}, '.cache/stylegan_jax'),
    ],
)
def test_default_folder(monkeypatch, tmp_path, variables, expected):
    monkeypatch.setenv('HOME', str(tmp_path))
    for name in ('JAX_COMPILATION_CACHE_DIR', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace('HERE', str(tmp_path)))
    assert compile_cache.use_cache() == str(tmp_path / expected) == jax.config.jax_compilation_cache_dir
    assert os.path.isdir(tmp_path / expected)


@pytest.mark.parametrize('directory', ['', 'none'])
def test_no_cache(directory):
    assert compile_cache.use_cache(directory) is None and jax.config.jax_compilation_cache_dir is None


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path, capfd):
    (tmp_path / 'file').write_text('')
    assert compile_cache.use_cache(str(tmp_path / 'file' / 'below')) is None
    out, err = capfd.readouterr()
    assert out == '' and err.count('\n') == 1
    assert err.startswith(f'warning: --compilation_cache={tmp_path}/file/below cannot be used (Not a directory); ')
    assert jax.config.jax_compilation_cache_dir is None


def test_torn_entries_are_removed(tmp_path, recwarn):
    compile_cache.use_cache(str(tmp_path))
    for number in range(3):
        jax.jit(lambda x: x * 2.5 + number)(np.ones(3))
    entries = sorted(tmp_path.glob('*-cache'))
    assert len(entries) == 3
    os.truncate(entries[0], entries[0].stat().st_size // 2)
    os.truncate(entries[1], 0)
    compile_cache.use_cache(str(tmp_path))
    assert sorted(tmp_path.glob('*-cache')) == entries[2:]
    # What was looked at is not read again.
    os.truncate(entries[2], 0)
    os.utime(entries[2], (1, 1))
    compile_cache.use_cache(str(tmp_path))
    assert entries[2].exists()


@pytest.mark.parametrize('cache', ['folder', 'none'])
@pytest.mark.parametrize('platform', ['cpu', 'cuda'])
def test_choices_of_autotuning_are_kept_beside_the_programs(tmp_path, cache, platform):
    """XLA writes down the options that reach it. Those of a GPU are among them on a CPU as well."""
    directory = compile_cache.use_cache(str(tmp_path / 'folder') if cache == 'folder' else cache)
    options = platforms.compiler_options(platform) | {'xla_dump_to': str(tmp_path / 'dump')}
    jax.jit(lambda x: x @ x + 1.5).lower(np.ones([4, 4])).compile(options)
    (reached,) = (tmp_path / 'dump').glob('*.debug_options')
    line = f'xla_gpu_per_fusion_autotune_cache_dir: "{directory}/xla_gpu_per_fusion_autotune_cache_dir"\n'
    assert (line in reached.read_text()) == (cache == 'folder')
    assert ('xla_gpu_per_fusion_autotune_cache_dir' in reached.read_text()) == (cache == 'folder')


def test_choices_of_autotuning_are_kept_for_the_programs_of_a_run(tmp_path, monkeypatch):
    options = platforms.compiler_options('cpu') | {'xla_dump_to': str(tmp_path / 'dump')}
    monkeypatch.setattr(training.Devices, 'compiler_options', options)
    directory, config = compile_cache.use_cache(str(tmp_path / 'folder')), tiny.run_config()
    state = jax.eval_shape(lambda: training.create_state(config))
    training.Devices(config).iteration().prepare(state, training.Program(0, 4)).result()
    (reached,) = (tmp_path / 'dump').glob('*iteration*.debug_options')
    assert f'"{directory}/xla_gpu_per_fusion_autotune_cache_dir"' in reached.read_text()


def test_choices_of_autotuning_stay_when_torn_entries_are_removed(tmp_path):
    kept = tmp_path / 'xla_gpu_per_fusion_autotune_cache_dir' / 'a-key.textproto'
    kept.parent.mkdir()
    kept.write_text('algorithm { algo_id: 7 }')
    compile_cache.use_cache(str(tmp_path))
    assert kept.read_text() == 'algorithm { algo_id: 7 }'


@pytest.mark.full
def test_what_comes_from_the_cache_computes_the_same(tmp_path):
    """To the bit; so a run that goes on elsewhere ends the same."""
    hits, config = [], tiny.run_config()
    batch = Batch(np.full([4, 8, 8, 3], 77, np.uint8), *[np.zeros([4, 0], np.float32)] * 2)

    def listen(event, **kwargs):
        if event == '/jax/compilation_cache/cache_hits':
            hits.append(event)

    def trained(directory):
        jax.clear_caches()
        compilation_cache.reset_cache()
        compile_cache.use_cache(directory)
        devices = training.Devices(config)
        state, step = devices.replicate(tiny.state(config)), devices.iteration()
        hits.clear()
        for _ in range(3):
            state, metrics = step(state, devices.arrange(batch), 0.001, stage=1)
        return jax.tree.map(np.asarray, (state.replace(key=0), metrics)), len(hits)

    jax.monitoring.register_event_listener(listen)
    try:
        (without, none), (cold, first), (warm, second) = (
            trained(directory) for directory in ('none', str(tmp_path), str(tmp_path))
        )
    finally:
        jax.monitoring.unregister_event_listener(listen)
    assert none == first == 0 < second
    assert tiny.trees_equal(cold, warm) and tiny.trees_equal(cold, without)
