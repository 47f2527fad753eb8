"""The metrics that a report proposes can be measured on the images of its run."""

import json

import pytest

import tiny_run
from stylegan_jax.config import Config, DataConfig, ImageConfig, serialization
from stylegan_jax.evaluation.evaluator import check_reals
from stylegan_jax.evaluation.metric_names import parse
from stylegan_jax.report import commands, reading
from stylegan_jax.report.proposed_metrics import proposed

TOY = DataConfig(source='toy_faces')
FILES = DataConfig(path='pictures.zip')


def run_of(tmp_path, config, images):
    (tmp_path / 'config.json').write_text(serialization.to_json(config))
    facts = {} if images is None else {'images': images}
    (tmp_path / 'events.jsonl').write_text(json.dumps({'nimg': 0, 'event': 'machine', **facts}) + '\n')
    return reading.read(tmp_path)


@pytest.mark.parametrize(
    'data, resolution, images, expected',
    [
        (TOY, 32, 10_000, ['fd_toy']),
        (TOY, 64, 4_999, ['fd_toy_full']),
        (TOY, 32, None, ['fd_toy']),
        (TOY, 16, 10_000, ['fid50k_full', '--download']),
        (FILES, 32, 50_000, ['fid50k', '--download']),
        (FILES, 32, 49_999, ['fid50k_full', '--download']),
        (FILES, 32, 4_999, ['kid10k_full', '--download']),
        (FILES, 32, 10, ['kid10k_full', '--download']),
        (FILES, 32, None, ['fid50k_full', '--download']),
        (DataConfig(path='pictures.zip', count=300), 32, None, ['kid10k_full', '--download']),
    ],
)
def test_the_proposal_suits_the_number_of_images(tmp_path, data, resolution, images, expected):
    run = run_of(tmp_path, Config(data=data, image=ImageConfig(resolution)), images)
    assert proposed(run) == [f'--metrics={expected[0]}', *expected[1:]]
    (metric,) = parse(expected[0])
    check_reals(metric, images or data.count or 10_000)
    (line,) = dict(commands.commands(run))['Measure']
    assert line.split()[-len(expected) :] == proposed(run)


def test_the_metrics_of_the_run_come_first(tmp_path):
    run = run_of(tmp_path, tiny_run.run_config(metrics='fd_toy24'), 40)
    assert proposed(run) == ['--metrics=fd_toy24']


def test_nothing_is_proposed_where_no_metric_fits(tmp_path):
    run = run_of(tmp_path, Config(data=FILES, image=ImageConfig(32, channels=4)), 100)
    assert proposed(run) == [] and 'Measure' not in dict(commands.commands(run))


def test_a_run_notes_how_many_images_it_has(tmp_path):
    from stylegan_jax.run import loop

    config = tiny_run.run_config(image=ImageConfig(4))
    assert loop.train(config, str(tmp_path)) == 0
    assert reading.read(tmp_path).newest('machine')['images'] == 40
