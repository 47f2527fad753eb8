"""Passes over samples: what is kept is the same however often they were stopped, and whatever was torn meanwhile."""

import json
import os
import shutil
import threading

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.evaluation.gathering import Store
from stylegan_jax.runtime.interruption import Interrupted

COUNT, SIZE, COLUMNS = 50, 4, 3
SAMPLES = np.random.default_rng(0).standard_normal((60, COLUMNS)).astype(np.float32) + 100
KEEPS = {('features', 'moments'), ('features', 'rows'), ('logits', 'rows')}
IDENTITY = {'source': 'test', 'seed': 1}


def produce(start):
    for first in range(start, 60, SIZE):
        rows = SAMPLES[first : first + SIZE]
        yield {'features': rows, 'logits': rows[:, :1], 'unused': rows}


def gather(store, produce=produce, keeps=KEEPS, identity=IDENTITY, **options):
    return store.gather(identity, COUNT, keeps, produce, title='test', quiet=True, **options)


def check(kept):
    np.testing.assert_array_equal(kept['features', 'rows'], SAMPLES[:COUNT])
    np.testing.assert_array_equal(kept['logits', 'rows'], SAMPLES[:COUNT, :1])
    moments = kept['features', 'moments']
    assert moments.count == COUNT
    np.testing.assert_allclose(moments.mean, SAMPLES[:COUNT].astype(float).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance(), np.cov(SAMPLES[:COUNT].astype(float), rowvar=False), rtol=1e-9)


def stopping(after):
    """A `poll` that raises after so many calls."""
    calls = iter(range(after))

    def poll():
        if next(calls, None) is None:
            raise Interrupted('SIGTERM')

    return poll


def recorded(starts):
    def recording(start):
        starts.append(start)
        return produce(start)

    return recording


def test_everything_is_kept(tmp_path):
    check(gather(Store(tmp_path)))


@pytest.mark.parametrize('after', [0, 3, 10])
def test_a_stopped_pass_goes_on(tmp_path, after):
    starts = []
    with pytest.raises(Interrupted):
        gather(Store(tmp_path), poll=stopping(after))
    check(gather(Store(tmp_path), recorded(starts)))
    assert starts == [SIZE * (after + 1)]


def test_a_whole_pass_is_not_made_again(tmp_path):
    starts = []
    gather(Store(tmp_path))
    check(gather(Store(tmp_path), recorded(starts)))
    assert starts == []


def test_what_was_not_kept_before_is_made_up_for(tmp_path):
    """From the first sample on; what is there already passes over them."""
    starts = []
    gather(Store(tmp_path), keeps={('features', 'moments')})
    check(gather(Store(tmp_path), recorded(starts)))
    assert starts == [0]


def test_another_identity_is_another_pass(tmp_path):
    gather(Store(tmp_path))
    starts = []
    gather(Store(tmp_path), recorded(starts), identity=IDENTITY | {'seed': 2})
    assert starts == [0] and len(os.listdir(tmp_path)) == 2
    assert sorted(
        json.loads((tmp_path / name / 'identity.json').read_text())['seed'] for name in os.listdir(tmp_path)
    ) == [1, 2]


def test_what_a_kill_tore_is_cut_back(tmp_path):
    """Rows are written as they come, moments now and then."""
    with pytest.raises(Interrupted):
        gather(Store(tmp_path), poll=stopping(3))
    (folder,) = tmp_path.iterdir()
    with open(folder / f'features.rows.{COLUMNS}', 'ab') as file:
        file.write(b'torn')
    (folder / 'features.moments.npz').write_bytes(b'PK torn')
    starts = []
    check(gather(Store(tmp_path), recorded(starts)))
    assert starts == [0]


def test_a_thread_may_save_in_between(tmp_path):
    """As a signal asks for it while the main thread computes; what is on disk then is a pass that can go on."""
    store, copy = Store(tmp_path / 'store'), tmp_path / 'copy'

    def produce_and_save(start):
        for number, outputs in enumerate(produce(start)):
            if number == 5:
                thread = threading.Thread(target=store.save)
                thread.start()
                thread.join()
                shutil.copytree(tmp_path / 'store', copy)
            yield outputs

    gather(store, produce_and_save)
    starts = []
    check(gather(Store(copy), recorded(starts)))
    assert starts == [5 * SIZE]


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    def broken(start):
        for outputs in produce(start):
            outputs['features'] = outputs['features'] * np.where(np.arange(COLUMNS) == 1, np.nan, 1)
            yield outputs

    with pytest.raises(UserError, match='features of an image are not finite'):
        gather(Store(tmp_path), broken)


def test_forgetting(tmp_path):
    store = Store(tmp_path)
    gather(store)
    store.forget(IDENTITY, COUNT)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file.*cannot be written'):
        gather(Store(tmp_path / 'file'))


def test_there_is_a_sign_of_life_without_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('stylegan_jax.evaluation.gathering._SAY_EVERY', 0.0)
    Store(tmp_path).gather(IDENTITY, 10, {('logits', 'rows')}, produce, title='real images')
    assert capsys.readouterr().err == 'real images: 4 of 10\nreal images: 8 of 10\nreal images: 10 of 10\n'
    gather(Store(tmp_path))
    assert capsys.readouterr().err == ''
