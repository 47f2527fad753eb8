"""Metrics of a run in training: at its checkpoints, also after a stop in the middle of one, and the best kept."""

import dataclasses
import json
import os

import numpy as np
import pytest

import tiny
import tiny_run
from stylegan_jax.config import Config, DataConfig, ImageConfig, LogConfig, ScheduleConfig, TrainConfig, serialization
from stylegan_jax.config.schedule import resolve
from stylegan_jax.data.dataset import DataOpener
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation import results
from stylegan_jax.evaluation.metric_names import parse
from stylegan_jax.run import loop
from stylegan_jax.run import metrics as run_metrics
from stylegan_jax.storage.checkpoint import Checkpoints


def run_config(metrics='fd_toy24', **log):
    """40 drawn faces at 32x32: ticks, checkpoints and metrics at 32, 64 and 80 images."""
    return resolve(
        tiny.run_config(
            image=ImageConfig(32),
            data=DataConfig(source='toy_faces', count=40),
            train=TrainConfig(total_kimg=0.08),
            schedule=ScheduleConfig(initial_resolution=32, batch=4),
            metrics=metrics,
            log=LogConfig(
                **{'tick_kimg': 0.032, 'tick_kimg_by_resolution': {}, 'keep_checkpoints': 3, 'grid_size': (2, 2)} | log
            ),
        )
    )


def measured(workdir):
    """[(images shown, metric)] of the run's results."""
    return [(result['nimg'], result['metric']) for result in results.read(os.path.join(workdir, run_metrics.FILE))]


def test_every_checkpoint_is_measured_and_the_best_kept(tmp_path, capsys):
    assert loop.train(run_config(keep_best=True), str(tmp_path)) == 0
    assert measured(tmp_path) == [(32, 'fd_toy24'), (64, 'fd_toy24'), (80, 'fd_toy24')]
    found = results.read(tmp_path / run_metrics.FILE)
    best = min(found, key=lambda result: result['value'])['nimg']
    checkpoints = Checkpoints(str(tmp_path / run_metrics.BEST))
    assert checkpoints.all() == [best]
    assert checkpoints.restore(run_config()).nimg == best
    checkpoints.close()
    assert f'fd_toy24 {found[0]["value"]:.6g} at 0.032 kimg' in capsys.readouterr().out
    events = [json.loads(line) for line in (tmp_path / 'events.jsonl').read_text().splitlines()]
    assert [event['nimg'] for event in events if event['event'] == 'best'][-1] == best


@pytest.mark.full
def test_not_at_every_checkpoint(tmp_path):
    assert loop.train(run_config(metrics_every=2), str(tmp_path)) == 0
    assert measured(tmp_path) == [(64, 'fd_toy24'), (80, 'fd_toy24')]


@pytest.mark.full
def test_a_run_stopped_while_it_measures_measures_again(tmp_path, monkeypatch):
    """And ends like one that was not."""
    assert loop.train(run_config(), str(tmp_path / 'whole')) == 0
    measure = run_metrics.RunMetrics.measure

    def interrupted(self, state, nimg, poll):
        if nimg == 64:
            os.kill(os.getpid(), 15)
            poll()
            raise AssertionError('the signal was not seen')
        return measure(self, state, nimg, poll)

    with monkeypatch.context() as patch:
        patch.setattr(run_metrics.RunMetrics, 'measure', interrupted)
        assert loop.train(run_config(), str(tmp_path / 'stopped')) == 143
    assert measured(tmp_path / 'stopped') == [(32, 'fd_toy24')]
    assert loop.train(run_config(), str(tmp_path / 'stopped')) == 0
    stopped, whole = (results.read(tmp_path / name / run_metrics.FILE) for name in ('stopped', 'whole'))
    assert [(one['nimg'], one['value']) for one in stopped] == [(one['nimg'], one['value']) for one in whole]
    states = [tiny_run.saved_state(str(tmp_path / name), run_config())[0] for name in ('stopped', 'whole')]
    assert tiny.trees_equal(*states)


def test_lost_work_is_forgotten(tmp_path):
    path = tmp_path / run_metrics.FILE
    results.append(path, [{'metric': 'fd_toy24', 'value': 1.0, 'nimg': nimg} for nimg in (32, 64)])
    some = run_metrics.RunMetrics(run_config(metrics=''), str(tmp_path), None)
    some.drop_beyond(32)
    assert measured(tmp_path) == [(32, 'fd_toy24')]


@pytest.mark.parametrize(
    'metrics, log, expected',
    [
        ('fid50k', {}, 'fid50k needs 50,000 real images, and the data set has 40'),
        ('fd_toys', {}, "metric 'fd_toys': there is none"),
        ('', {'keep_best': True}, 'log.keep_best=True: there is no metric'),
    ],
)
def test_mistakes_are_found_before_the_training(tmp_path, metrics, log, expected):
    with pytest.raises(UserError, match=expected):
        loop.train(run_config(metrics, **log), str(tmp_path))
    assert not (tmp_path / 'log.jsonl').exists()


def test_processes_that_measure_nothing_need_no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv('STYLEGAN_JAX_CACHE', str(tmp_path))
    config = run_config('fid24')
    opener = DataOpener(config.data)
    run_metrics.check_before_data(config, opener, measures=False)
    with pytest.raises(UserError, match='the weights of inception-2015 are missing'):
        run_metrics.check_before_data(config, opener)
    with pytest.raises(UserError, match='fid41 needs 41 real images, and the data set has 40'):
        run_metrics.check_before_data(run_config('fid41'), opener, measures=False)


def test_a_number_of_images_that_is_not_looked_at_is_none(tmp_path, monkeypatch):
    """And nothing is made up in its place: the Evaluator is for networks that there are."""
    monkeypatch.setattr(run_metrics, 'Evaluator', None)
    run_metrics.check_before_data(run_config('fd_toy24,fd_toy50000,fd_toy24_full'), None)


def test_a_finished_run_that_is_measured_says_with_what(tmp_path):
    """It is trained no more, so that config.json stays."""
    trained = run_config(metrics='')
    checkpoints = Checkpoints(tmp_path, keep=1)
    state = tiny.state(trained).replace(cur_nimg=np.int32(80), group_nimg=np.int32(80))
    progress = {'tick': 3, 'tick_nimg': 80, 'seconds': 1.0, 'images': 40}
    checkpoints.save(80, state, trained, progress)
    checkpoints.wait()
    checkpoints.close()
    (tmp_path / 'config.json').write_text(serialization.to_json(trained))
    others = dataclasses.replace(run_config(keep_best=True), data=DataConfig(source='toy_faces', count=44))
    for _ in range(2):  # the second time nothing is left to measure
        assert loop.train(others, str(tmp_path)) == 0
        assert measured(tmp_path) == [(80, 'fd_toy24')]
        events = [json.loads(line) for line in (tmp_path / 'events.jsonl').read_text().splitlines()]
        assert [event['text'] for event in events if event['event'] == 'changed'] == [
            "metrics: '' until now, 'fd_toy24' from here on",
            'data.count: 40 until now, 44 from here on',
            'log.keep_best: False until now, True from here on',
            'the data set: 40 images until now, 44 from here on, in another order',
        ]
        assert serialization.from_json(Config, (tmp_path / 'config.json').read_text()) == trained


def test_what_cannot_be_measured_does_not_end_the_training(tmp_path, monkeypatch, capsys):
    def failing(*args):
        raise UserError('no room')

    monkeypatch.setattr(run_metrics.RunMetrics, 'measure', failing)
    assert loop.train(run_config(), str(tmp_path)) == 0
    assert 'fd_toy24 could not be measured (no room); training goes on' in capsys.readouterr().out


def results_of(values, metric='fd_toy24'):
    return [{'metric': metric, 'value': value, 'nimg': nimg, 'in_training': True} for nimg, value in values]


@pytest.fixture
def kept(tmp_path):
    """Returns a function that gives the checkpoint in best/ after results at 16, 32, ... images, one after another."""

    def kept(*values, metric='fd_toy24', name='fd_toy24', leave=lambda workdir: None):
        some = run_metrics.RunMetrics(run_config(metrics='', keep_best=False), str(tmp_path), None)
        some._metrics = parse(name)
        some._config = dataclasses.replace(some._config, log=dataclasses.replace(some._config.log, keep_best=True))
        for number, value in enumerate(values, 1):
            (tmp_path / 'checkpoints' / str(16 * number)).mkdir(parents=True)
            results.append(tmp_path / run_metrics.FILE, results_of([(16 * number, value)], metric))
            leave(tmp_path)
            some.keep_if_best(16 * number)
        (best,) = (tmp_path / 'best' / 'checkpoints').iterdir()
        return int(best.name)

    return kept


def test_smaller_distances_are_better(kept):
    assert kept(3.0, 1.0, 2.0) == 32


def test_larger_precision_is_better(kept):
    assert kept(0.2, 0.4, 0.1, metric='pr2k3_precision', name='pr2k3') == 32


@pytest.mark.parametrize('left', ['checkpoints.part', 'checkpoints/8'])  # while it copied, and before it removed
def test_what_a_kill_left_goes_with_the_next_best_checkpoint(kept, tmp_path, left):
    def killed(workdir):
        if (workdir / 'best').exists():
            (workdir / 'best' / left).mkdir()
            (workdir / 'best' / left / 'file').touch()

    assert kept(2.0, 1.0, leave=killed) == 32
    assert os.listdir(tmp_path / 'best') == ['checkpoints'] and not os.listdir(tmp_path / 'best' / 'checkpoints' / '32')


def test_what_users_put_beside_the_best_checkpoint_stays(kept, tmp_path):
    def measure(workdir):
        if (workdir / 'best').exists():
            (workdir / 'best' / 'metrics.jsonl').write_text('{}')

    assert kept(2.0, 1.0, leave=measure) == 32
    assert sorted(os.listdir(tmp_path / 'best')) == ['checkpoints', 'metrics.jsonl']


def test_what_the_command_measured_does_not_count(tmp_path):
    some = run_metrics.RunMetrics(run_config(metrics=''), str(tmp_path), None)
    some._metrics = parse('fd_toy24')
    results.append(tmp_path / run_metrics.FILE, [{'metric': 'fd_toy24', 'value': 1.0, 'nimg': 32, 'psi': 0.5}])
    assert some.is_due(1, 32, False)
    results.append(tmp_path / run_metrics.FILE, results_of([(32, 2.0)]))
    assert not some.is_due(1, 32, False)
