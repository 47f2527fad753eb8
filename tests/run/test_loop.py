"""The host loop on tiny runs: what a run leaves behind, and that stopping it changes nothing."""

import contextlib
import dataclasses
import functools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import jax
import numpy as np
import PIL.Image
import pytest

import tiny
import tiny_run
from stylegan_jax import training
from stylegan_jax.cli.experiments import load_experiment
from stylegan_jax.config import (
    Config,
    DataConfig,
    ImageConfig,
    LogConfig,
    LossConfig,
    ParallelConfig,
    TrainConfig,
    serialization,
)
from stylegan_jax.config.schedule import resolve
from stylegan_jax.data.dataset import DataOpener
from stylegan_jax.data.toy_faces import kept
from stylegan_jax.errors import UserError
from stylegan_jax.run import loop
from stylegan_jax.run.log import RunLog
from stylegan_jax.runtime.compiling import is_compiling
from stylegan_jax.storage import checkpoint

# What differs from run to run.
TIMES = (
    *('seconds', 'tick_seconds', 'images_per_second', 'maintenance_seconds', 'host_memory_gib'),
    *('waited_seconds', 'seconds_left', 'seconds_left_at_most'),
)


@pytest.fixture(scope='module', autouse=True)
def compiled_once():
    """Lets runs share their compiled steps, which are most of their cost; gives those of each config."""
    compiled, compile_steps = {}, training.Devices.iteration

    def compile_once(devices):
        config = devices._config
        parts = config.generator, config.discriminator, config.loss, config.train.style_mixing_prob, config.precision
        return compiled.setdefault(parts, compile_steps(devices))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Devices, 'iteration', compile_once)
        yield compiled


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    """Workdir of a run that nobody stopped."""
    workdir = str(tmp_path_factory.mktemp('loop') / 'deep' / 'undisturbed')
    assert loop.train(tiny_run.run_config(), workdir) == 0
    return workdir


@pytest.fixture
def finished(undisturbed, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(undisturbed, tmp_path / 'copy')


@pytest.fixture
def call_at(monkeypatch):
    """Returns a function after which a run calls something, once, when it has shown `nimg` images."""
    progress, calls = RunLog.progress, {}

    def calling_progress(log, shown, resolution, alpha, nimg):
        progress(log, shown, resolution, alpha, nimg)
        if nimg in calls:
            calls.pop(nimg)()

    monkeypatch.setattr(RunLog, 'progress', calling_progress)
    return calls.__setitem__


@pytest.fixture
def stop_at(call_at):
    """Returns a function after which a run gets a signal when it has shown `nimg` images."""
    return lambda nimg, number: call_at(nimg, lambda: signal.raise_signal(number))


def text_of(workdir, name):
    with open(os.path.join(workdir, name)) as file:
        return file.read()


def picture_of(workdir, name):
    return np.asarray(PIL.Image.open(os.path.join(workdir, name)))


def assert_same_end(workdir, undisturbed):
    config = tiny_run.run_config()
    (state, progress), (expected, expected_progress) = (
        tiny_run.saved_state(each, config) for each in (workdir, undisturbed)
    )
    assert tiny.trees_equal(state, expected)
    assert {**progress, 'seconds': 0} == {**expected_progress, 'seconds': 0}
    assert tiny_run.log_entries(workdir, TIMES) == tiny_run.log_entries(undisturbed, TIMES)
    for name in sorted(os.listdir(undisturbed)):
        if name.endswith('.png'):
            assert np.array_equal(picture_of(workdir, name), picture_of(undisturbed, name)), name


# What a run leaves behind.


def test_config_is_resolved_and_loads_back(undisturbed):
    config = serialization.from_json(Config, text_of(undisturbed, 'config.json'))
    assert config == tiny_run.run_config() and config.schedule.lr == 0.001


def test_log_has_an_entry_a_tick(undisturbed):
    entries = tiny_run.log_entries(undisturbed)
    assert [(entry['tick'], entry['nimg'], entry['kimg']) for entry in entries] == [
        (tick, 32 * tick, 0.032 * tick) for tick in (1, 2, 3, 4, 5)
    ]
    assert set(entries[0]) == {
        'tick',
        'nimg',
        'kimg',
        'resolution',
        'lod',
        'alpha',
        'batch',
        'lr',
        *TIMES,
        'g_loss',
        'd_loss',
        'g_gradient_norm',
        'd_gradient_norm',
        'g_skipped',
        'd_skipped',
        'real_logits',
        'fake_logits',
        'r1_penalty',
        'w_norm',
        'w_spread',
    }
    values = [value for entry in entries for value in entry.values()]
    assert np.isfinite([value for value in values if not isinstance(value, str)]).all()
    assert [entry['seconds'] for entry in entries] == sorted(entry['seconds'] for entry in entries)


def test_run_grows(undisturbed):
    entries = tiny_run.log_entries(undisturbed)
    assert [(entry['resolution'], entry['lod'], entry['alpha']) for entry in entries] == [
        ('4x4', 1.0, 1.0),
        ('8x8', 0.5, 0.5),
        ('8x8', 0.0, 1.0),
        ('8x8', 0.0, 1.0),
        ('8x8', 0.0, 1.0),
    ]
    ticks = [line.split() for line in text_of(undisturbed, 'log.txt').splitlines() if line.startswith('tick')]
    assert [tick[4] for tick in ticks] == ['4x4', '8x8', '8x8', '8x8', '8x8']


def test_log_begins_and_ends_with_what_a_reader_wants_to_know(undisturbed):
    lines = text_of(undisturbed, 'log.txt').splitlines()
    assert lines[0] == f'training custom in {undisturbed}: 40 images, no labels'
    assert lines[-1].startswith('done: 0.16 kimg in ') and undisturbed in lines[-1]
    assert 's of training, without starts, pictures, checkpoints and metrics; ' in lines[-1]


def test_tensorboard_has_the_scalars(undisturbed):
    folder = os.path.join(undisturbed, 'tensorboard')
    events = b''.join(open(os.path.join(folder, name), 'rb').read() for name in os.listdir(folder))
    assert all(events.count(name) == 5 for name in (b'g_loss', b'd_loss', b'images_per_second', b'alpha'))


def test_pictures_are_grids_of_one_size(undisturbed):
    names = sorted(name for name in os.listdir(undisturbed) if name.endswith('.png'))
    assert names == [*(f'fakes{nimg:09d}.png' for nimg in (32, 64, 96, 128, 160)), 'reals.png']
    for name in names:
        assert picture_of(undisturbed, name).shape == (2 * 8 * 8, 4 * 8 * 8, 3)  # 64 // 8 times enlarged


def test_the_newest_checkpoints_stay(undisturbed):
    assert sorted(os.listdir(os.path.join(undisturbed, 'checkpoints'))) == ['128', '160']


def test_checkpoints_come_every_so_many_ticks(tmp_path):
    config = tiny_run.run_config()
    config = dataclasses.replace(
        config,
        schedule=dataclasses.replace(config.schedule, stage_kimg=1),
        log=dataclasses.replace(config.log, checkpoint_ticks=2, keep_checkpoints=9),
    )
    assert loop.train(config, str(tmp_path)) == 0
    assert sorted(map(int, os.listdir(tmp_path / 'checkpoints'))) == [64, 128, 160]


# Stopping and going on.


def test_a_stopped_run_ends_as_an_undisturbed_one(undisturbed, tmp_path, stop_at):
    config, workdir = tiny_run.run_config(), str(tmp_path)
    stop_at(8, signal.SIGINT)  # half a group
    stop_at(16, signal.SIGINT)  # the end of a group
    stop_at(56, signal.SIGTERM)  # half a group in a fade
    assert [loop.train(config, workdir) for _ in range(4)] == [130, 130, 143, 0]
    assert_same_end(workdir, undisturbed)
    log = text_of(workdir, 'log.txt')
    assert 'stopped at 0.056 kimg and saved' in log and f'going on at 0.056 kimg in {workdir}' in log


def test_going_on_compiles_no_stage_twice(undisturbed, tmp_path, stop_at, compiled_once):
    """Neither for what was restored nor for what comes beside it: a new lod, forgotten moments."""

    def compilations():
        return {parts: step.programs for parts, step in compiled_once.items()}

    before = compilations()
    stop_at(56, signal.SIGTERM)
    assert [loop.train(tiny_run.run_config(), str(tmp_path)) for _ in range(2)] == [143, 0]
    assert compilations() == before


def test_a_run_goes_on_from_its_checkpoint_after_a_crash(undisturbed, finished):
    """What the log had beyond the checkpoint, a torn line among it, is not there twice."""
    shutil.rmtree(finished / 'checkpoints' / '160')
    with open(finished / 'log.jsonl', 'a') as file:
        file.write('{"tick": 6, "nim')
    assert loop.train(tiny_run.run_config(), str(finished)) == 0
    assert_same_end(finished, undisturbed)


def test_a_run_whose_checkpoints_are_gone_begins_anew_and_says_so(finished, undisturbed, capsys):
    shutil.rmtree(finished / 'checkpoints')
    assert loop.train(tiny_run.run_config(), str(finished)) == 0
    assert_same_end(finished, undisturbed)
    line = f'the log in {finished} goes to 0.16 kimg, but there is no checkpoint: the run begins anew'
    assert capsys.readouterr().out.startswith(line)
    events = [json.loads(line) for line in text_of(finished, 'events.jsonl').splitlines()]
    assert [event['text'] for event in events if event['event'] == 'damaged'] == [line]


def damaged_files(workdir):
    return sorted(tiny_run.files_below(workdir / 'checkpoints' / '160'))


def damage(path, kind, chance):
    size = os.path.getsize(path)
    if kind == 'flipped byte' and size:
        with open(path, 'r+b') as file:
            file.seek(position := chance.randrange(size))
            byte = file.read(1)[0] ^ 1 << chance.randrange(8)
            file.seek(position)
            file.write(bytes([byte]))
    else:
        os.truncate(path, chance.randrange(size) if kind == 'truncated' and size else 0)


@pytest.mark.parametrize('kind', ['truncated', 'emptied', 'flipped byte'])
def test_a_damaged_checkpoint_is_named_and_set_aside(undisturbed, tmp_path, kind, capsys, monkeypatch):
    """All files of a kind of damage at once here; one file at a time in the stress test below."""
    workdir, chance = shutil.copytree(undisturbed, tmp_path / 'copy'), random.Random(3)
    for path in damaged_files(workdir):
        damage(path, kind, chance)
    assert loop.train(tiny_run.run_config(), str(workdir)) == 0
    assert_same_end(workdir, undisturbed)
    out = capsys.readouterr().out
    assert f'{workdir}/checkpoints/160: this checkpoint cannot be read' in out and 'going on at 0.128 kimg' in out
    assert os.listdir(workdir / 'damaged-checkpoints') == ['160']
    assert '"event": "damaged"' in text_of(workdir, 'events.jsonl')


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize('kind', ['truncated', 'emptied', 'flipped byte'])
@pytest.mark.parametrize('number', range(25))
def test_damage_to_any_file_of_a_checkpoint_changes_nothing(undisturbed, tmp_path, kind, number):
    workdir, seed = shutil.copytree(undisturbed, tmp_path / 'copy'), random.randrange(10**6)
    paths = damaged_files(workdir)
    if number >= len(paths):
        pytest.skip(f'there are {len(paths)} files')
    print(f'seed {seed}: {paths[number]}')
    damage(paths[number], kind, random.Random(seed))
    assert loop.train(tiny_run.run_config(), str(workdir)) == 0
    assert_same_end(workdir, undisturbed)


def test_a_run_without_any_good_checkpoint_does_not_start_afresh(finished):
    for path in tiny_run.files_below(finished / 'checkpoints'):
        os.truncate(path, 0)
    for _ in range(2):  # it stays so
        with pytest.raises(UserError, match='checkpoints/160: this .*checkpoints/128: this .*None is left to go on'):
            loop.train(tiny_run.run_config(), str(finished))


def test_what_changed_since_the_checkpoint_is_said(finished, capsys):
    config = tiny_run.run_config(train=TrainConfig(total_kimg=0.17), data=DataConfig(source='toy_faces', count=44))
    assert loop.train(config, str(finished)) == 0
    out = capsys.readouterr().out
    for line in (
        'train.total_kimg: 0.16 until now, 0.17 from here on',
        'data.count: 40 until now, 44 from here on',
        'the data set: 40 images until now, 44 from here on, in another order',
    ):
        assert line in out


def test_another_seed_is_refused(finished):
    with pytest.raises(UserError, match='^seed=4: .* belongs to a run with another seed, 0; '):
        loop.train(tiny_run.run_config(seed=4), str(finished))


def test_a_finished_run_stays_as_it_is(finished, capsys, monkeypatch):
    monkeypatch.setattr(kept, 'draw_some', None)  # nothing is drawn

    def lasting():
        return {
            path: state
            for path, state in tiny_run.files_below(finished).items()
            if not path.endswith(('config.json', 'log.txt', 'events.jsonl', 'report.html', 'lock'))
            and 'tensorboard' not in path
        }

    before, config = lasting(), text_of(finished, 'config.json')
    assert loop.train(tiny_run.run_config(), str(finished)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f'nothing to do: {finished} has reached 0.16 kimg before, and the run ends at 0.16'
    )
    assert lasting() == before and text_of(finished, 'config.json') == config


def test_metrics_that_the_images_are_too_few_for_are_refused_before_any_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(DataOpener, 'open', None)
    config = tiny_run.run_config(metrics='ppl_zend8,kid41')  # whose weights are missing, but no matter then
    with pytest.raises(UserError, match='kid41 needs 41 real images, and the data set has 40'):
        loop.train(config, str(tmp_path / 'run'))
    assert not (tmp_path / 'run').exists()


def test_a_finished_run_goes_on_when_it_is_made_longer(finished):
    config = tiny_run.run_config(train=TrainConfig(total_kimg=0.17))
    assert loop.train(config, str(finished)) == 0
    assert [entry['nimg'] for entry in tiny_run.log_entries(finished)] == [32, 64, 96, 128, 160, 176]


def test_another_architecture_is_refused(finished):
    config = tiny_run.run_config(generator={'fmap_max': 4})
    with pytest.raises(UserError, match=r'generator\.fmap_max: 8 in the checkpoint, 4 now'):
        loop.train(config, str(finished))


def test_workdir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / 'file').write_text('')
    for workdir in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        with pytest.raises(UserError, match=f'^workdir={workdir}: cannot be written .*choose another'):
            loop.train(tiny_run.run_config(), str(workdir))


# Disks and networks that fail.


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB; and functions that fill it, but for some bytes, and that make room again."""
    folder, filler = tmp_path / 'disk', tmp_path / 'disk' / 'filler'
    folder.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder], capture_output=True)
    if mounted.returncode:
        pytest.skip('only root can mount a small file system')

    def fill(left=0):
        while not (folder / 'run' / 'checkpoints' / '64').exists():  # it is being written
            time.sleep(0.01)
        with open(filler, 'wb', buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        os.truncate(filler, max(0, os.path.getsize(filler) - left))

    yield folder, fill, lambda: filler.unlink()
    subprocess.run(['umount', folder], check=True)


def test_a_full_disk_is_said_and_survived(small_disk, undisturbed, call_at, capfd):
    folder, fill, make_room = small_disk
    call_at(72, fill)  # the tick at 96 finds no room, the one at 128 does
    call_at(104, make_room)
    workdir = folder / 'run'
    assert loop.train(tiny_run.run_config(), str(workdir)) == 0
    out, err = capfd.readouterr()
    assert 'warning: a sample picture could not be written (No space left on device); training goes on' in out
    assert 'warning: a checkpoint could not be written (No space left on device: it takes up to 1.' in out
    assert out.count('a checkpoint can be written again') == 1 and 'Traceback' not in out + err
    assert sorted(os.listdir(workdir / 'checkpoints')) == ['128', '160']
    assert tiny_run.log_entries(workdir, TIMES) == tiny_run.log_entries(undisturbed, TIMES)
    assert not [name for name in os.listdir(workdir) if name.endswith('.part')]
    missing = set(os.listdir(undisturbed)) - set(os.listdir(workdir))
    assert missing == {'fakes000000096.png'}


@pytest.mark.parametrize('left', [0, 30000, 100000])
def test_a_disk_that_stays_full_keeps_the_last_good_checkpoint(
    small_disk, undisturbed, call_at, capfd, left, monkeypatch
):
    """With the little that is left, a save fails in its middle."""
    folder, fill, make_room = small_disk
    monkeypatch.setattr(checkpoint, '_ROOM_BESIDE', -(10**9))
    call_at(72, lambda: fill(left))
    workdir = folder / 'run'
    with pytest.raises(UserError, match='the state at 0.16 kimg could not be saved; the last good .* 0.064 kimg.*room'):
        loop.train(tiny_run.run_config(), str(workdir))
    out, err = capfd.readouterr()
    assert out.count('a checkpoint could not be written (No space left on device)') == 1
    assert 'Traceback' not in out + err
    assert '64' in os.listdir(workdir / 'checkpoints') and '96' not in os.listdir(workdir / 'checkpoints')
    make_room()
    assert loop.train(tiny_run.run_config(), str(workdir)) == 0
    assert_same_end(workdir, undisturbed)


def test_gradients_that_stay_infinite_stop_the_run(tmp_path, capsys, monkeypatch):
    """Weights are as they were, saved, and the first tensor that is not finite is named."""
    # That it was given up before changes nothing, since its first steps succeed.
    resume = loop.resume
    monkeypatch.setattr(loop, 'resume', lambda *arguments: resume(*arguments)._replace(was_given_up=True))
    config = tiny_run.run_config(
        schedule=dataclasses.replace(one_stage(), lr=1e18), train=TrainConfig(total_kimg=1.0, most_skipped=12)
    )
    with pytest.raises(
        UserError,
        match='not finite in 12 steps in a row, until 0.* kimg; the first tensor that is '
        r'not: output of [GD] .*before, and saved\. .*lower schedule.lr=1e\+18',
    ):
        loop.train(config, str(tmp_path))
    state, _ = tiny_run.saved_state(str(tmp_path), config)
    assert max(state.g_skipped, state.d_skipped) >= 12
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.g_params, state.d_params)))
    assert '"event": "broken"' in text_of(tmp_path, 'events.jsonl')
    assert 'D steps skipped: their gradients were not finite' in text_of(tmp_path, 'log.txt')
    # Started again, it stops at once; with another learning rate too, as what is wrong is in the weights.
    monkeypatch.undo()
    (before,) = os.listdir(tmp_path / 'checkpoints')
    with pytest.raises(UserError, match=f'before; the newest checkpoint is still that at {int(before) / 1000:g} kimg'):
        loop.train(config, str(tmp_path))
    assert os.listdir(tmp_path / 'checkpoints') == [before]


# Compiling.


def shrunk_quickstart(**parallel):
    """From 8x8 to 16x16 in 480 images: 8x8 up to 160, alpha 0.25, 0.5 and 0.75 up to 256; a tick is 96 images."""
    config = load_experiment('quickstart')
    image = ImageConfig(16)
    return resolve(
        dataclasses.replace(
            config,
            image=image,
            parallel=ParallelConfig(devices=1, **parallel),
            generator=tiny.generator_config(image=image),
            discriminator=tiny.discriminator_config(image=image),
            data=dataclasses.replace(config.data, count=40),
            train=dataclasses.replace(config.train, total_kimg=0.48),
            schedule=dataclasses.replace(
                config.schedule, stage_kimg=0.128, fade_kimg=0.128, batch=8, batch_by_resolution={}
            ),
            log=dataclasses.replace(config.log, tick_kimg=0.096, grid_size=(4, 2)),
        )
    )


@pytest.mark.full
@pytest.mark.parametrize('per_dispatch', [1, 4])
def test_a_new_stage_is_there_in_time_and_nothing_is_compiled_in_a_stage(tmp_path, monkeypatch, call_at, per_dispatch):
    config, ends, compiled_by = shrunk_quickstart(steps_per_dispatch=per_dispatch), {}, {}
    progress, step = RunLog.progress, training.parallel.Iteration.__call__

    def blocking(*args, **kwargs):
        return jax.block_until_ready(step(*args, **kwargs))

    def recording_progress(log, shown, resolution, alpha, nimg):
        ends[nimg] = time.monotonic()
        compiled_by[nimg] = threads.count('MainThread')
        progress(log, shown, resolution, alpha, nimg)

    monkeypatch.setattr(training.parallel.Iteration, '__call__', blocking)
    monkeypatch.setattr(RunLog, 'progress', recording_progress)
    call_at(128, lambda: wait_until(lambda: not is_compiling()))
    with tiny_run.count_compilations() as threads:
        assert loop.train(config, str(tmp_path)) == 0
    assert list(ends) == list(range(8 * per_dispatch, 481, 8 * per_dispatch))
    # The first group of a stage, and its first tick (its pictures), may compile small things; so may the first sum of
    # metrics, after the second dispatch.
    shown = 8 * per_dispatch
    may = [(0, max(32, 2 * shown)), (96, 96 + shown), (160, 192), (192, 192 + shown)]
    later = [nimg for nimg in ends if not any(start < nimg <= end for start, end in may)]
    assert len(later) >= len(ends) / 2
    before = dict(zip(ends, [0, *compiled_by.values()]))
    assert [nimg for nimg in later if compiled_by[nimg] != before[nimg]] == []
    assert len(threads) > threads.count('MainThread') > 0
    first = 160 + 8 * per_dispatch
    print(f'from the end of the last iterations of a stage to that of the next ones: {ends[first] - ends[160]:.2f} s')
    assert ends[first] - ends[160] < 2

    events = [
        event
        for event in map(json.loads, text_of(tmp_path, 'events.jsonl').splitlines())
        if event['event'] == 'compile'
    ]
    assert [(event['resolution'], event['batch'], event['steps']) for event in events] == [
        ('8x8', 8, per_dispatch),
        ('16x16', 8, per_dispatch),
    ]
    assert all(event['seconds'] > 0 for event in events) and events[1]['nimg'] < 160
    assert events[1]['waited'] == 0
    log = text_of(tmp_path, 'log.txt')
    assert log.count('\ncompiled ') == 2 and 'waiting for the compiler: 16x16' not in log


def wait_until(condition, limit=300):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.full
@pytest.mark.parametrize('ahead', [1, 2])
def test_programs_are_compiled_ahead(tmp_path, monkeypatch, call_at, compiled_once, ahead):
    """Two where there are cores to spare; each is compiled once."""
    if ahead == 2:  # CPU devices never leave cores free.
        monkeypatch.setattr(training.Devices, 'are_cpus', False)
        monkeypatch.setattr(loop, 'NUM_THREADS', 4)
    config, begun = three_stages(ahead), {}
    for nimg in (4, 48, 52, 112):
        call_at(nimg, lambda nimg=nimg: begun.update({nimg: sorted([*compiled_once.values()][-1].programs)}))
    assert loop.train(config, str(tmp_path)) == 0
    programs = [training.Program(stage, 4) for stage in range(3)]
    if ahead == 2:  # Only accelerators leave the fade out; there is none in this run.
        programs[2] = programs[2]._replace(fades=False)
    assert begun == {4: programs[: 1 + ahead], 48: programs[: 1 + ahead], 52: programs, 112: programs}
    events = [json.loads(line) for line in text_of(tmp_path, 'events.jsonl').splitlines()]
    compiled = sorted(event['resolution'] for event in events if event['event'] == 'compile')
    assert compiled == ['16x16', '4x4', '8x8']


def three_stages(number):
    """4x4 up to 48 images, 8x8 up to 96, and 16x16. Those of different numbers share no programs."""
    return tiny_run.run_config(
        resolution=16,
        generator={'fmap_max': 4},
        schedule=dataclasses.replace(tiny_run.run_config().schedule, stage_kimg=0.032, fade_kimg=0.016),
        parallel=ParallelConfig(devices=1, steps_per_dispatch=1),
        train=TrainConfig(total_kimg=0.112, style_mixing_prob=0.1 * number),
    )


def test_which_machines_compile_how_many_programs_ahead(monkeypatch):
    devices = training.Devices(tiny_run.run_config())
    for cores, platform, processes, ahead in (
        (16, 'cuda', 1, 2),
        (4, 'cuda', 1, 2),
        (2, 'cuda', 1, 1),
        (16, 'cpu', 1, 1),
        (2, 'cpu', 1, 1),
        (16, 'cuda', 4, 1),
    ):
        monkeypatch.setattr(training.Devices, 'are_cpus', platform == 'cpu')
        monkeypatch.setattr(loop, 'NUM_THREADS', cores)
        monkeypatch.setattr(jax, 'process_count', lambda: processes)
        assert loop._programs_ahead(devices) == ahead, (cores, platform, processes)


def test_a_long_wait_for_a_program_is_said_once(tmp_path, monkeypatch, capsys):
    config = tiny_run.run_config(train=TrainConfig(total_kimg=0.016, style_mixing_prob=0.25))
    monkeypatch.setattr(loop, '_SHORT_WAIT', 0.2)
    assert loop.train(config, str(tmp_path)) == 0
    (event,) = (
        event
        for event in map(json.loads, text_of(tmp_path, 'events.jsonl').splitlines())
        if event['event'] == 'compile' and event['resolution'] == '4x4'
    )
    assert 0.2 < event['waited'] <= event['seconds'] + 0.1
    seconds, waited = (f'{event[name]:.1f}s' for name in ('seconds', 'waited'))
    cached = r', from the cache( \(\d+\.\ds without it\))?' if event['from_cache'] else ''
    said = (
        r'waiting for the compiler: 4x4, batch 4 \(it (took \S+ last time|is kept in \S+, where later '
        rf'starts find it)\)\ncompiled 4x4, batch 4: {seconds}{cached}, of which the run waited {waited}\n'
    )
    for text in (text_of(tmp_path, 'log.txt'), capsys.readouterr().out):
        assert re.search(said, text) and text.count('waiting') == 1


def test_a_signal_ends_the_wait_for_a_program(tmp_path, monkeypatch):
    """The run is saved as it was, while the thread goes on."""
    config = tiny_run.run_config(train=TrainConfig(total_kimg=0.16, style_mixing_prob=0.5))
    activity = RunLog.activity

    def stopping(log, text):
        activity(log, text)
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, 'activity', stopping)
        assert loop.train(config, str(tmp_path)) == 143
    assert is_compiling()
    state, _ = tiny_run.saved_state(str(tmp_path), config)
    assert state.cur_nimg == 0


# Several iterations per dispatch.


def with_steps(per_dispatch, **fields):
    return tiny_run.run_config(parallel=ParallelConfig(devices=1, steps_per_dispatch=per_dispatch), **fields)


@pytest.mark.full
def test_a_stopped_run_of_several_iterations_per_dispatch_ends_as_an_undisturbed_one(tmp_path, stop_at):
    config = with_steps(2)
    assert loop.train(config, str(tmp_path / 'undisturbed')) == 0
    for nimg in (8, 32, 56):  # in a group, at the end of one, and in the fade
        stop_at(nimg, signal.SIGTERM)
    assert [loop.train(config, str(tmp_path / 'stopped')) for _ in range(4)] == [143, 143, 143, 0]
    assert_same_end(tmp_path / 'stopped', tmp_path / 'undisturbed')


@pytest.mark.full
def test_several_iterations_per_dispatch_train_as_one_by_one(float64, tmp_path, stop_at, compiled_once, call_at):
    """Also where a run goes on so in the middle of a group, with single ones up to its end."""
    fields, shown = {'precision': 'float64', 'train': TrainConfig(total_kimg=0.096)}, []
    assert loop.train(with_steps(1, **fields), str(tmp_path / 'singly')) == 0
    for nimg in (56, 60, 64, 80):
        call_at(nimg, functools.partial(shown.append, nimg))
    stop_at(52, signal.SIGTERM)  # alpha is 0.5
    assert loop.train(with_steps(1, **fields), str(tmp_path / 'mixed')) == 143
    assert loop.train(with_steps(4, **fields), str(tmp_path / 'mixed')) == 0
    assert shown == [56, 60, 64, 80]
    assert loop.train(with_steps(4, **fields), str(tmp_path / 'per_dispatch')) == 0
    config = with_steps(1, **fields)
    (expected, _), *others = (
        tiny_run.saved_state(str(tmp_path / name), config) for name in ('singly', 'mixed', 'per_dispatch')
    )
    entries = tiny_run.log_entries(tmp_path / 'singly', TIMES)
    for name, (state, _) in zip(('mixed', 'per_dispatch'), others):
        # The first bias has no gradient while its feature maps are flat, and Adam makes steps of what rounding leaves.
        for params in (state.g_params, state.g_ema, expected.g_params, expected.g_ema):
            first = params['synthesis']['4x4']['const']
            assert np.abs(first['bias']).max() < 1e-5
            first['bias'] = np.zeros_like(first['bias'])
        tiny.assert_trees_close(state, expected, rtol=1e-9, atol=1e-10)
        for entry, other in zip(entries, tiny_run.log_entries(tmp_path / name, TIMES), strict=True):
            assert entry.keys() == other.keys()
            for field, value in entry.items():
                assert value == other[field] or value == pytest.approx(other[field], rel=1e-7), field


# Kinds of runs.


def test_grey_images_of_classes_that_are_not_square(tmp_path):
    """Each row of the grids is a class."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for index in range(12):
        PIL.Image.fromarray(np.full([6, 8], 100 * (index % 3), np.uint8)).save(folder / f'{index:02d}.png')
    labels = [[f'{index:02d}.png', index % 3] for index in range(12)]
    (folder / 'dataset.json').write_text(json.dumps({'labels': labels}))
    config = tiny_run.run_config(
        image=ImageConfig(8, base_shape=(3, 4), channels=1, label_dim=3),
        data=DataConfig(path=str(folder)),
        train=TrainConfig(total_kimg=0.016, style_mixing_prob=0),
        log=LogConfig(),
    )
    assert loop.train(config, str(tmp_path / 'run')) == 0
    assert tiny_run.log_entries(tmp_path / 'run')[-1]['resolution'] == '3x4'
    reals, fakes = (picture_of(tmp_path / 'run', name) for name in ('reals.png', 'fakes000000.png'))
    assert reals.shape == fakes.shape == (3 * 6 * 8, 32 * 8 * 8)
    np.testing.assert_array_equal(reals, np.repeat([0, 100, 200], 6 * 8)[:, None] * np.ones(32 * 8 * 8))


@pytest.mark.parametrize(
    'letter, loss, metric', [('A', LossConfig(name='wgan_gp'), 'mixed_norms'), ('B', LossConfig(), 'r1_penalty')]
)
def test_other_configurations_train(tmp_path, letter, loss, metric):
    config = tiny_run.run_config(letter, loss=loss, schedule=one_stage(), train=TrainConfig(total_kimg=0.016))
    start = tiny_run.plain(training.create_state(config))
    assert loop.train(config, str(tmp_path)) == 0
    state, _ = tiny_run.saved_state(str(tmp_path), config)
    assert not tiny.trees_equal(state.g_params, start.g_params)
    assert not tiny.trees_equal(state.d_params, start.d_params)
    (entry,) = tiny_run.log_entries(tmp_path)
    assert metric in entry and entry['g_skipped'] == entry['d_skipped'] == 0


def one_stage():
    """8x8 from the start."""
    return dataclasses.replace(tiny_run.run_config().schedule, initial_resolution=8)
