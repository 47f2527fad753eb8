"""The text of --dry_run: the config as it will be, every layer, every stage."""

import re

import jax
import pytest

import tiny
import tiny_run
from stylegan_jax import training
from stylegan_jax.config import Config, ImageConfig, serialization
from stylegan_jax.run import dry_run


def tables(config):
    """(config, rows of G, of D and of the schedule), each row a list of cells."""
    text, *parts = dry_run.describe(config).split('\n\n')
    return serialization.from_json(Config, text), *(
        [re.split(r'  +', line) for line in part.splitlines()] for part in parts
    )


def layers(rows):
    """{layer: (parameters, output shape, weight shape)} and the total of a network's table."""
    assert rows[0][1:] == ['Params', 'OutputShape', 'WeightShape']
    assert rows[-1][0] == 'Total' and rows[1] == rows[-2] == ['---'] * 4
    total = int(rows[-1][1].replace(',', ''))
    return {name: (int(params), *shapes) for name, params, *shapes in rows[2:-2]}, total


def test_config_is_resolved():
    config = tiny.run_config()
    assert config.schedule.lr is None
    assert tables(config)[0].schedule.lr == 0.001


@pytest.mark.parametrize('letter', 'ABCDEF')
def test_totals_are_those_of_the_networks(letter):
    """With labels, as they change layers too."""
    config = tiny.run_config(letter, image=ImageConfig(8, label_dim=3))
    state = jax.eval_shape(lambda: training.create_state(config))
    _, *networks, _, _ = tables(config)
    for table, params in zip(networks, (state.g_params, state.d_params)):
        rows, total = layers(table)
        sizes = [leaf.size for leaf in jax.tree.leaves(params)]
        assert total == sum(row[0] for row in rows.values()) == sum(sizes)


def test_layers_have_their_shapes():
    _, g_rows, d_rows, *_ = tables(tiny_run.run_config())
    generator, discriminator = layers(g_rows)[0], layers(d_rows)[0]
    assert generator['mapping/dense0'] == (6 * 7 + 7, '(?, 7)', '(6, 7)')
    assert generator['synthesis/8x8/to_rgb'] == (8 * 3 + 3, '(?, 8, 8, 3)', '(1, 1, 8, 3)')
    assert discriminator['8x8/from_rgb'] == (3 * 8 + 8, '(?, 8, 8, 8)', '(1, 1, 3, 8)')


def test_schedule_shows_every_stage_and_fade():
    *_, rows, _ = tables(tiny_run.run_config())
    assert rows[0] == ['kimg', 'Resolution', 'Phase', 'Images', 'Batch', 'Rate', 'Steps']
    assert rows[2:] == [
        ['0 - 0.048', '4x4', 'steady', '48', '4', '0.001', '12'],
        ['0.048 - 0.064', '8x8', 'fade', '16', '4', '0.001', '4'],
        ['0.064 - 0.16', '8x8', 'steady', '96', '4', '0.001', '24'],
    ]


def test_of_a_run_that_goes_on_it_shows_what_is_left():
    *_, schedule, memory = dry_run.describe(tiny_run.run_config(), 56).split('\n\n')
    assert [line.split()[:7] for line in schedule.splitlines()[2:4]] == [
        ['0.056', '-', '0.064', '8x8', 'fade', '8', '4'],
        ['0.064', '-', '0.16', '8x8', 'steady', '96', '4'],
    ]
    assert schedule.endswith('\nWhat is left from 0.056 kimg on')
    assert [line.split()[0] for line in memory.splitlines()[2:-1]] == ['8x8']


@pytest.mark.parametrize('memory, verdict', [(10**12, 'yes'), (1, 'no, with no parallel.accumulate')])
def test_says_whether_the_device_holds_it(monkeypatch, memory, verdict):
    monkeypatch.setattr(dry_run.memory_plan, 'device_memory', lambda: (memory, 'test'))
    *_, rows = tables(tiny_run.run_config())
    assert [row[-1] for row in rows[2:-1]] == [verdict] * 2
