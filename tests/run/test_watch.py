"""The overfitting watch."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
import tiny_run
from stylegan_jax.config import AugmentConfig, DataConfig
from stylegan_jax.config.schedule import setting_at
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.data.held_out import held_out
from stylegan_jax.report import curves, reading
from stylegan_jax.run import ticks
from stylegan_jax.run import watch as watch_module
from stylegan_jax.run.loop import train
from stylegan_jax.run.watch import OverfittingWatch

DATA = DataConfig(source='toy_faces', count=40, validation=0.2)


def a_watch(**fields):
    config = tiny_run.run_config(data=DATA, **fields)
    return config, OverfittingWatch(config, open_dataset(DATA, config.image))


def numbers(train, held, fake):
    scores = dict(zip(('watch_train_logits', 'watch_validation_logits', 'watch_fake_logits'), (train, held, fake)))
    return scores | {'overfitting': (train - held) / (train - fake)}


def test_scores_are_those_of_the_discriminator():
    """Batch by batch, held-out images and as many others; r_v is their equation."""
    config, watch = a_watch()
    G, D = tiny.generator(config.generator), tiny.discriminator(config.discriminator)
    state = tiny.state(config, generator=G, discriminator=D)
    measured = watch.measure(state, setting_at(config, 160))
    dataset, held = open_dataset(DATA, config.image), np.flatnonzero(held_out(40, 0.2))
    assert len(watch._chosen[0]) == len(held) and not set(watch._chosen[0]) & set(held)
    logits = {}
    for name, indices in (('train', watch._chosen[0]), ('validation', held)):
        places = np.resize(indices, -(-len(held) // 4) * 4).reshape(-1, 4)
        scores = [D(dataset.images(each, 1) * np.float32(2 / 255) - 1) for each in places]
        # The last batch is filled up, but each image counts once.
        logits[name] = np.concatenate(scores)[: len(held)]
        np.testing.assert_allclose(measured[f'watch_{name}_logits'], np.mean(logits[name]), rtol=1e-4)
    assert len(held) % 4
    for key, name in (('watch_train_signs', 'train'), ('validation_signs', 'validation')):
        np.testing.assert_allclose(measured[key], np.mean(np.sign(logits[name])), rtol=1e-6)
    error = np.sqrt(sum(np.var(values) for values in logits.values()) / len(held))
    np.testing.assert_allclose(watch._error, error, rtol=1e-4)
    train, held, fake = (measured[f'watch_{kind}_logits'] for kind in ('train', 'validation', 'fake'))
    np.testing.assert_allclose(measured['overfitting'], (train - held) / (train - fake), rtol=1e-5)
    assert watch.measure(state, setting_at(config, 160)) == measured


def test_the_line_comes_at_the_third_tick_in_a_row_and_once():
    _, watch = a_watch()
    watch._error = 0.1
    memorised, learned, noise = numbers(2.0, -1.0, -2.0), numbers(2.0, 1.5, -2.0), numbers(0.11, 0.0, 0.01)
    lines = [watch.verdict(n) for n in (memorised, memorised, learned, noise, memorised, memorised)]
    assert lines == [None] * 6 and watch.in_a_row == 2
    line = watch.verdict(memorised)
    assert 'held-out images (-1.00) more like generated ones (-2.00)' in line and 'r_v = 0.75' in line
    assert watch.verdict(memorised) is None


@pytest.mark.parametrize(
    'mode, remedy', [('none', 'augment.mode=ada'), ('ada', 'a lower augment.target'), ('fixed', 'a higher augment.p')]
)
def test_the_line_says_what_else_there_is_to_try(mode, remedy):
    _, watch = a_watch(augment=AugmentConfig(mode=mode))
    watch._error = 0.1
    *_, line = [watch.verdict(numbers(2.0, -1.0, -2.0)) for _ in range(3)]
    assert remedy in line


@pytest.mark.full
def test_a_run_writes_the_numbers_and_the_line(tmp_path, monkeypatch):
    """Log, report, events, and the count in the checkpoint."""
    monkeypatch.setattr(watch_module, '_LIMIT', -np.inf)
    monkeypatch.setattr(watch_module, '_ERRORS', -np.inf)
    monkeypatch.setattr(ticks, 'LEAKING', 0.05)
    config = tiny_run.run_config(data=DATA, augment=AugmentConfig(mode='ada', target=-0.9, interval=3, speed_kimg=0.2))
    assert train(config, str(tmp_path)) == 0
    entries = tiny_run.log_entries(tmp_path)
    assert all({'overfitting', 'real_signs', 'augment_p'} <= entry.keys() for entry in entries)
    titles = [plot.title for plot in curves.plots(reading.read(str(tmp_path)))]
    assert [title.partition(':')[0] for title in titles if title.startswith(('Overf', 'Augm'))] == [
        'Overfitting',
        'Augmentation',
    ]
    with open(os.path.join(tmp_path, 'events.jsonl')) as file:
        events = [(event['event'], event['nimg']) for event in map(json.loads, file)]
    first_leak = next(entry['nimg'] for entry in entries if entry['augment_p'] >= 0.05)
    assert [event for event in events if event[0] == 'memorising'] == [('memorising', entries[2]['nimg'])]
    assert [event for event in events if event[0] == 'augment'] == [('augment', first_leak)]
    state, progress = tiny_run.saved_state(str(tmp_path), config)
    assert progress['memorising_ticks'] == len(entries) and 0 <= state.augmentation.p <= 1


def test_scores_that_do_not_differ_are_no_error():
    config, watch = a_watch()
    state = tiny.state(config)
    state = state.replace(d_params=jax.tree.map(jnp.zeros_like, state.d_params))
    measured = watch.measure(state, setting_at(config, 160))
    assert measured['watch_train_logits'] == 0 and np.isnan(measured['overfitting'])
    assert watch.verdict(measured) is None
