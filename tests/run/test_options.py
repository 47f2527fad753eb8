"""Runs with options that carry something in the state: they stop and go on, and may begin or end in the middle."""

import dataclasses
import json
import signal

import numpy as np
import pytest

import tiny
import tiny_run
from stylegan_jax.config import AugmentConfig, DataConfig, ImageConfig, LossConfig, TrainConfig
from stylegan_jax.run import loop
from stylegan_jax.run.log import RunLog
from stylegan_jax.storage.checkpoint import Checkpoints
from stylegan_jax.storage.stored_checkpoint import stored_fields
from stylegan_jax.training import create_state, with_options

LOSS = LossConfig(path_length=2.0, path_length_interval=2, separation=0.1)
ADA = AugmentConfig(mode='ada', target=-0.9, interval=3, speed_kimg=0.2)  # p rises with any discriminator
OFF = {'loss': LossConfig(), 'augment': AugmentConfig()}


def run_config(**fields):
    """Toy faces with their attributes as labels, some held out; path lengths, a probe and augmentation."""
    data = DataConfig(source='toy_faces', count=40, validation=0.2)
    return tiny_run.run_config(image=ImageConfig(8, label_dim=16), data=data, loss=LOSS, augment=ADA, **fields)


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
    """From weights of another run, of which a block of the discriminator stays; between two moves of p."""
    train = TrainConfig(total_kimg=0.08)
    first = dataclasses.replace(run_config(train=train), **OFF)
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
    assert state.path_length_means > 0 and np.any(state.probe.params['weight']) and state.augmentation.p > 0
    entry = tiny_run.log_entries(undisturbed)[-1]
    assert entry['path_length'] > 0 and entry['path_length_penalty'] > 0 and entry['separation_loss'] > 0
    assert entry['augment_p'] > 0 and 'overfitting' in entry
    # The finished run goes on without these options, and with them again.
    for options, has_them in ((OFF, False), ({'loss': LOSS, 'augment': ADA}, True)):
        config = dataclasses.replace(
            config, **options, train=dataclasses.replace(config.train, total_kimg=config.train.total_kimg + 0.016)
        )
        assert loop.train(config, stopped) == 0
        state, _ = tiny_run.saved_state(stopped, config)
        parts = state.probe, state.path_length_means, state.augmentation
        assert [part is not None for part in parts] == [has_them] * 3
    # And with the block that stayed: Adam's moments of the discriminator begin again, which the log says.
    longer = dataclasses.replace(config.train, freeze_d=0, total_kimg=config.train.total_kimg + 0.016)
    config = dataclasses.replace(config, train=longer)
    assert loop.train(config, stopped) == 0
    state, _ = tiny_run.saved_state(stopped, config)
    assert 0 < state.d_optimizer.count < state.g_optimizer.count
    assert not tiny.trees_equal(state.d_params['8x8'], began.d_params['8x8'])
    with open(f'{stopped}/events.jsonl') as file:
        lines = [event['text'] for event in map(json.loads, file) if event['event'] == 'freeze_d']
    assert lines == [
        'blocks of the discriminator that stay: 8x8',
        'blocks of the discriminator that are trained from here on: 8x8; its optimizer begins again',
    ]


def test_a_checkpoint_names_no_option_that_is_off():
    """As one that is older than the option, which Orbax would otherwise refuse."""
    off, on = (stored_fields(create_state(dataclasses.replace(run_config(), **options))) for options in (OFF, {}))
    assert on.keys() - off.keys() == {'path_length_means', 'probe', 'augmentation'} and 'd_loss_scale' in off


def test_a_checkpoint_from_before_the_options_goes_on_with_them(tmp_path):
    """The controller's numbers come back to the bit, and a checkpoint without them is read and fitted."""
    on, off = run_config(), dataclasses.replace(run_config(), **OFF)
    state = create_state(on)
    state = state.replace(augmentation=state.augmentation.replace(p=np.float32(0.3), steps=np.int32(2)))
    checkpoints = Checkpoints(str(tmp_path), keep=2)
    checkpoints.save(4, with_options(off, state), off, {})
    checkpoints.save(8, state, on, {})
    checkpoints.close()
    found, _ = tiny_run.saved_state(str(tmp_path), on)
    assert tiny.trees_equal(found, tiny_run.plain(state))
    checkpoints = Checkpoints(str(tmp_path))
    old = checkpoints.restore(on, nimg=4).state
    checkpoints.close()
    assert old.augmentation is None and with_options(on, old).augmentation.p == 0
