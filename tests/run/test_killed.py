"""Training in a process of its own that is killed at random instants ends, to the byte, as if nothing had happened."""

import glob
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

import killed_run
import tiny
import tiny_run

TESTS = pathlib.Path(__file__).parents[1]
PER_RUN = (
    *('seconds', 'tick_seconds', 'images_per_second', 'maintenance_seconds', 'host_memory_gib'),
    *('waited_seconds', 'seconds_left', 'seconds_left_at_most'),
)


class Training:
    """Starts the training command on one folder after another, with the compiled programs of all kept in one."""

    def __init__(self, folder, nimg):
        self.nimg = nimg
        flags = os.environ['XLA_FLAGS'].replace('--xla_force_host_platform_device_count=8', '')
        self._environment = os.environ | {
            'KILLED_RUN_NIMG': str(nimg),
            'PYTHONPATH': str(TESTS),
            'XLA_FLAGS': flags,
            'JAX_COMPILATION_CACHE_DIR': str(folder / 'compiled'),
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
        }

    def start(self, workdir):
        return subprocess.Popen(
            [
                sys.executable,
                '-m',
                'stylegan_jax.main',
                f'--experiment={TESTS / "killed_run.py"}',
                f'--workdir={workdir}',
            ],
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def finish(self, workdir):
        """Runs to the end; returns what it printed."""
        process = self.start(workdir)
        output, _ = process.communicate(timeout=500)
        assert process.returncode == 0, output
        return output


@pytest.fixture(scope='module')
def short(tmp_path_factory):
    """A short training, and the folder of its undisturbed run."""
    return undisturbed(tmp_path_factory.mktemp('short'), 480)


def undisturbed(folder, nimg):
    training = Training(folder, nimg)
    training.finish(folder / 'undisturbed')
    return training, folder / 'undisturbed'


def assert_same_end(monkeypatch, training, workdir, expected):
    monkeypatch.setenv('KILLED_RUN_NIMG', str(training.nimg))
    config = killed_run.get_config()
    (state, progress), (expected_state, expected_progress) = (
        tiny_run.saved_state(each, config) for each in (workdir, expected)
    )
    assert tiny.trees_equal(state, expected_state)
    assert progress | {'seconds': 0} == expected_progress | {'seconds': 0}
    assert tiny_run.log_entries(workdir, PER_RUN) == tiny_run.log_entries(expected, PER_RUN)
    pictures = sorted(path.name for path in expected.glob('*.png'))
    assert len(pictures) == training.nimg // 32 + 1 and pictures == sorted(path.name for path in workdir.glob('*.png'))
    for name in pictures:
        assert (workdir / name).read_bytes() == (expected / name).read_bytes(), name


def wait_for(process, condition, limit=100):
    """Waits until a condition holds or the process ends."""
    end = time.monotonic() + limit
    while process.poll() is None and not condition():
        assert time.monotonic() < end, 'the training hangs'
        time.sleep(0.001)


def positions(workdir):
    """Images shown at the committed checkpoints."""
    return {int(path.name) for path in (workdir / 'checkpoints').glob('*') if path.name.isdecimal()}


def is_saving(workdir):
    return bool(glob.glob(str(workdir / 'checkpoints' / '*orbax-checkpoint-tmp*')))


def kill(training, workdir, number, chance, kind):
    """Starts training and kills it at a random instant of a kind; returns what was happening."""
    process, before = training.start(workdir), positions(workdir)
    try:
        if kind == 'start':
            time.sleep(chance.uniform(0, 8))
        else:
            wait_for(process, lambda: positions(workdir) - before)  # so that every start gets further
            if kind == 'save':
                wait_for(process, lambda: is_saving(workdir))
            time.sleep(chance.uniform(0, 0.1 if kind == 'save' else 1.5))
        saving = is_saving(workdir)
        process.send_signal(number)
        output, _ = process.communicate(timeout=100)
    finally:
        process.kill()
    return process.returncode, saving, output


@pytest.mark.parametrize('number, seed', [(signal.SIGKILL, 1), pytest.param(signal.SIGTERM, 2, marks=pytest.mark.full)])
def test_a_killed_run_ends_as_an_undisturbed_one(short, tmp_path, monkeypatch, number, seed):
    """A few times only; the stress test below does it often."""
    training, expected = short
    kill_often(training, tmp_path / 'run', number, seed, ['save', 'any'])
    assert_same_end(monkeypatch, training, tmp_path / 'run', expected)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_twenty_times_ends_as_an_undisturbed_one(tmp_path, monkeypatch, number):
    training, expected = undisturbed(tmp_path, 6400)
    kinds = ['start'] * 4 + ['save'] * 8 + ['any'] * 8
    kill_often(training, tmp_path / 'run', number, int(time.time()), kinds)
    assert_same_end(monkeypatch, training, tmp_path / 'run', expected)


def kill_often(training, workdir, number, seed, kinds):
    print(f'seed {seed}')
    chance = random.Random(seed)
    chance.shuffle(kinds)
    saving = []
    for kind in kinds:
        code, was_saving, output = kill(training, workdir, number, chance, kind)
        print(f'{kind}: exit code {code}, {"saving, " if was_saving else ""}checkpoints {sorted(positions(workdir))}')
        expected_codes = {signal.SIGKILL: [-signal.SIGKILL], signal.SIGTERM: [143, -signal.SIGTERM]}[number]
        assert code in expected_codes, output
        saving.append(was_saving)
    assert any(saving), 'no kill fell into a save; try another seed'
    training.finish(workdir)
