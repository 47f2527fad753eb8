"""Where a run begins: the cases of `resume`, one by one. Whole runs that stop and go on are in test_loop.py."""

import dataclasses
import types

import jax.numpy as jnp
import numpy as np
import pytest

import tiny
import tiny_run
from stylegan_jax.config import LogConfig, TrainConfig
from stylegan_jax.config.schedule import Iterations
from stylegan_jax.run import loop
from stylegan_jax.run.folder import RunFolder
from stylegan_jax.run.resume import resume
from stylegan_jax.storage.checkpoint import Saved


@pytest.fixture(scope='module')
def config():
    return tiny_run.run_config()


@pytest.fixture(scope='module')
def state(config):
    return tiny.state(config, lod=1.0)


class Images:
    """A data set of 40 images."""

    signature = 'these'
    labels, label_names = np.eye(4)[np.arange(40) % 2 + 1], None

    def __len__(self):
        return 40


def folder(saved=None):
    return types.SimpleNamespace(path='runs/here', take_saved=lambda: saved)


@pytest.fixture
def saved(config, state):
    progress = {'tick': 1, 'tick_nimg': 32, 'seconds': 2.5, 'images': 40, 'data': 'these'}
    return Saved(48, state, config, progress, ())


def test_a_fresh_start(config, state):
    start = resume(config, folder(), Images())
    assert start.events == [
        ('start', 'training custom in runs/here: 40 images, 4 classes, of which 2 without an image (class 0, class 3)')
    ]
    assert (start.nimg, start.goes_on, start.was_given_up) == (0, False, False)
    assert start.progress == {'tick': 0, 'tick_nimg': 0, 'seconds': 0.0}
    assert int(start.state.cur_nimg) == 0 and float(start.state.lod) == 1.0


def test_blocks_that_stay_are_named_at_the_start(tmp_path, config):
    path = str(tmp_path / 'discriminator.npz')
    tiny.discriminator(config.discriminator).save(path)
    frozen = dataclasses.replace(config, init_from=path, train=TrainConfig(freeze_d=1))
    assert resume(frozen, folder(), Images()).events[1:] == [('freeze_d', 'blocks of the discriminator that stay: 8x8')]


def test_a_process_without_the_folder_says_nothing(config):
    start = resume(config, None, Images())
    assert not start.goes_on and not start.events and not start.lines


def test_going_on(config, saved):
    start = resume(config, folder(saved), Images())
    assert start.state is saved.state and start.progress is saved.progress
    assert (start.nimg, start.goes_on, start.was_given_up) == (48, True, False)
    assert start.events == [('resume', 'going on at 0.048 kimg in runs/here')]


def test_a_finished_run_does_not_say_that_it_goes_on(config, saved):
    transfer = dataclasses.replace(config, init_from='toyfaces')
    finished = saved._replace(nimg=160, config=transfer)
    start = resume(transfer, folder(finished), Images())
    assert (start.events, start.changes) == ([], [])
    # Other settings train nothing any more: not even the block that would stay makes an optimizer begin again.
    shorter = dataclasses.replace(transfer, train=TrainConfig(total_kimg=0.15, freeze_d=1))
    start = resume(shorter, folder(finished), Images())
    assert start.events == [] and start.state is saved.state
    assert start.changes == [
        'train.total_kimg: 0.16 until now, 0.15 from here on',
        'train.freeze_d: 0 until now, 1 from here on',
    ]
    longer = dataclasses.replace(shorter, train=TrainConfig(total_kimg=0.17, freeze_d=1))
    start = resume(longer, folder(finished), Images())
    assert [kind for kind, _ in start.events] == ['changed', 'changed', 'resume', 'freeze_d'] and start.changes == []
    assert start.state is not saved.state


def test_damage_and_changes_come_first(config, saved):
    other = dataclasses.replace(config, train=TrainConfig(total_kimg=0.17))
    found = saved._replace(
        damaged=('64: unreadable; the one before it is used',), progress=saved.progress | {'data': 'others'}
    )
    assert resume(other, folder(found), Images()).events == [
        ('damaged', '64: unreadable; the one before it is used'),
        ('changed', 'train.total_kimg: 0.16 until now, 0.17 from here on'),
        ('changed', 'the data set: 40 other images, or in another order, until now'),
        ('resume', 'going on at 0.048 kimg in runs/here'),
    ]


@pytest.mark.parametrize(
    'changes, group_nimg, first',
    [
        ({}, 32, (36, 1.0, 4)),
        ({'lr': 0.5, 'steps_per_evaluation': 2}, 32, (36, 1.0, 4)),
        ({'batch': 8}, 36, (36, 0.875, 8)),
        ({'batch': 2}, 36, (36, 0.875, 2)),
        ({'stage_kimg': 0.004}, 36, (36, 0.0, 4)),
    ],
)
def test_another_schedule_begins_a_new_group(config, saved, changes, group_nimg, first):
    """A run that stopped after one of four steps at 4x4, whose next group is in the fade to 8x8."""
    state = saved.state.replace(cur_nimg=jnp.int32(36), group_nimg=jnp.int32(32))
    other = dataclasses.replace(
        config, schedule=dataclasses.replace(config.schedule, **changes), log=LogConfig(tick_kimg=7)
    )
    begun = resume(other, folder(saved._replace(nimg=36, state=state)), Images()).state
    assert (int(begun.cur_nimg), int(begun.group_nimg), float(begun.lod)) == (36, group_nimg, 1.0)
    position, setting = Iterations(other, 36, int(begun.group_nimg))[0]
    assert (position, setting.lod, setting.batch) == first


@pytest.mark.parametrize('network', ['g', 'd'])
def test_a_broken_run_is_found(config, saved, network):
    most = config.train.most_skipped
    for skipped, broken in ((most - 1, False), (most, True)):
        state = saved.state.replace(**{f'{network}_skipped': np.int32(skipped)})
        start = resume(config, folder(saved._replace(state=state)), Images())
        assert start.goes_on and start.was_given_up == broken


def test_the_checkpoint_is_not_kept_after_it_was_read(tmp_path):
    """It has a copy of the whole state."""
    config = tiny_run.run_config(train=TrainConfig(total_kimg=0.016))
    loop.train(config, str(tmp_path))
    taken = RunFolder(config, str(tmp_path))
    try:
        assert taken.take_saved().nimg == 16 and taken.saved is None
    finally:
        taken.checkpoints.close()
        taken.release()
