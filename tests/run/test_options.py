"""Runs with options that carry something in the state: they stop and go on, and may begin or end in the middle."""

import dataclasses
import signal

import numpy as np
import pytest

import tiny
import tiny_run
from stylegan_jax.config import ImageConfig, LossConfig, TrainConfig
from stylegan_jax.run import loop
from stylegan_jax.run.log import RunLog
from stylegan_jax.storage.stored_checkpoint import stored_fields
from stylegan_jax.training import create_state

LOSS = LossConfig(path_length=2.0, path_length_interval=2, separation=0.1)


def run_config(**fields):
    """Toy faces with their attributes as labels; path lengths, a probe and a frozen block."""
    return tiny_run.run_config(image=ImageConfig(8, label_dim=16), loss=LOSS, **fields)


@pytest.fixture
def stop_at(monkeypatch):
    """Returns a function after which a run gets SIGTERM when it has shown `nimg` images."""
    progress, stops = RunLog.progress, set()

    def stopping_progress(log, shown, resolution, alpha, nimg):
        progress(log, shown, resolution, alpha, nimg)
        if nimg in stops:
            stops.remove(nimg)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(RunLog, 'progress', stopping_progress)
    return stops.add


@pytest.mark.full
def test_a_stopped_run_ends_as_an_undisturbed_one(tmp_path, stop_at):
    """From weights of another run, of which a block of the discriminator stays."""
    train = TrainConfig(total_kimg=0.08)
    first = dataclasses.replace(run_config(train=train), loss=LossConfig())
    source, undisturbed, stopped = (str(tmp_path / name) for name in ('source', 'undisturbed', 'stopped'))
    assert loop.train(first, source) == 0
    config = run_config(train=dataclasses.replace(train, freeze_d=1), init_from=source)
    assert loop.train(config, undisturbed) == 0
    stop_at(20)
    assert [loop.train(config, stopped) for _ in range(2)] == [143, 0]
    (state, _), (expected, _) = (tiny_run.saved_state(each, config) for each in (stopped, undisturbed))
    assert tiny.trees_equal(state, expected)
    (began, _) = tiny_run.saved_state(source, first)
    assert tiny.trees_equal(state.d_params['8x8'], began.d_params['8x8'])
    assert state.path_length_means > 0 and np.any(state.probe.params['weight'])
    entry = tiny_run.log_entries(undisturbed)[-1]
    assert entry['path_length'] > 0 and entry['path_length_penalty'] > 0 and entry['separation_loss'] > 0
    # The finished run goes on without these options, and with them again.
    for loss, has_them in ((LossConfig(), False), (LOSS, True)):
        config = dataclasses.replace(
            config, loss=loss, train=dataclasses.replace(config.train, total_kimg=config.train.total_kimg + 0.016)
        )
        assert loop.train(config, stopped) == 0
        state, _ = tiny_run.saved_state(stopped, config)
        assert (state.probe is not None) == (state.path_length_means is not None) == has_them


def test_a_checkpoint_names_no_option_that_is_off():
    """As one that is older than the option, which Orbax would otherwise refuse."""
    off, on = (
        stored_fields(create_state(dataclasses.replace(run_config(), loss=loss))) for loss in (LossConfig(), LOSS)
    )
    assert on.keys() - off.keys() == {'path_length_means', 'probe'} and 'd_loss_scale' in off
