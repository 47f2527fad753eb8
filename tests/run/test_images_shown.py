"""Which images a run trains on: the same, wherever it was stopped, whoever reads them, on any number of devices."""

import hashlib
import multiprocessing
import signal

import numpy as np
import pytest

import tiny_run
from stylegan_jax.config import DataConfig, ParallelConfig
from stylegan_jax.run import loop
from stylegan_jax.run.log import RunLog
from stylegan_jax.training import parallel


@pytest.fixture
def shown(monkeypatch):
    """[(position, stage, size, digest of pixels and labels)] of the iterations of all runs of a test."""
    shown, step = [], parallel.Iteration.__call__

    def recording(iteration, state, batch, lr, *, stage, fades):
        digest = hashlib.sha256(b''.join(np.asarray(array).tobytes() for array in batch)).hexdigest()
        shown.append((int(state.cur_nimg), stage, np.asarray(batch.labels).size, digest))
        return step(iteration, state, batch, lr, stage=stage, fades=fades)

    monkeypatch.setattr(parallel.Iteration, '__call__', recording)
    return shown


@pytest.fixture(scope='module', autouse=True)
def compiled_once():
    """Runs on the same devices share their compiled steps."""
    compiled, compile_steps = {}, parallel.Devices.iteration
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            parallel.Devices,
            'iteration',
            lambda devices: compiled.setdefault(devices._config.parallel, compile_steps(devices)),
        )
        yield


def run_config(mode='jit', devices=1, workers=None):
    return tiny_run.run_config(
        replicas=4,
        parallel=ParallelConfig(mode=mode, devices=devices),
        data=DataConfig(source='toy_faces', count=40, workers=workers),
    )


def train(monkeypatch, workdir, config, stops=()):
    """Trains with an interruption after each of so many images."""
    stops, progress = list(stops), RunLog.progress

    def stopping_progress(log, shown, resolution, alpha, nimg):
        progress(log, shown, resolution, alpha, nimg)
        if nimg in stops:
            stops.remove(nimg)
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, 'progress', stopping_progress)
        codes = [loop.train(config, str(workdir)) for _ in range(len(stops) + 1)]
    assert codes == [143] * (len(codes) - 1) + [0] and not stops
    assert not [child for child in multiprocessing.active_children() if child.name.startswith('grain')]


@pytest.mark.full
@pytest.mark.parametrize(
    'mode, devices, workers',
    [
        ('jit', 1, 0),
        ('jit', 1, 2),
        ('jit', 4, 0),
        ('jit', 4, 3),
        ('pmap', 4, 0),
    ],
)
def test_a_run_that_was_stopped_shows_the_same_images(monkeypatch, tmp_path, shown, mode, devices, workers):
    """Stopped within a group and at its end, at each stage and in the fade, next to a new stage."""
    train(monkeypatch, tmp_path / 'undisturbed', run_config())
    undisturbed = shown[:]
    assert [position for position, *_ in undisturbed] == list(range(0, 160, 4))
    assert {stage for _, stage, *_ in undisturbed} == {0, 1}
    shown.clear()
    train(monkeypatch, tmp_path / 'stopped', run_config(mode, devices, workers), stops=[4, 16, 44, 48, 56, 100])
    assert shown == undisturbed
