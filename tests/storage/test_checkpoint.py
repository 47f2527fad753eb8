"""Checkpoints: what comes back is what was saved, to the bit, or one line says why not."""

import dataclasses
import os
import shutil

import jax
import numpy as np
import pytest

import tiny
import tiny_run
from stylegan_jax import training
from stylegan_jax.config import ScheduleConfig, serialization
from stylegan_jax.errors import UserError
from stylegan_jax.storage.checkpoint import Checkpoints
from stylegan_jax.storage.loading import load, load_with_lod
from stylegan_jax.storage.networks_of_runs import load_with_run
from stylegan_jax.storage.same_run import refuse_other_run

CONFIG = tiny_run.run_config(seed=7)
PROGRESS = {'tick': 2, 'tick_nimg': 32, 'seconds': 1.1}


@pytest.fixture(scope='module')
def state():
    """A state in a fade, no two parts of which are alike."""
    networks = [tiny.generator(CONFIG.generator), tiny.discriminator(CONFIG.discriminator)]
    state = training.create_state(
        CONFIG, generator=networks[0], discriminator=networks[1], ema=tiny.filled(networks[0], seed=2), lod=0.5
    )
    return state.replace(
        g_optimizer=jax.tree.map(lambda x: x + 3, state.g_optimizer),
        cur_nimg=state.cur_nimg + 56,
        d_optimizer=jax.tree.map(lambda x: x + 4, state.d_optimizer),
        group_nimg=state.group_nimg + 48,
    )


def save(workdir, state, nimgs=(56,), keep=3):
    checkpoints = Checkpoints(workdir, keep=keep)
    for nimg in nimgs:
        checkpoints.save(nimg, state, CONFIG, PROGRESS)
    checkpoints.wait()
    checkpoints.close()


@pytest.fixture(scope='module')
def saved(state, tmp_path_factory):
    """A run directory."""
    workdir = tmp_path_factory.mktemp('saved')
    save(workdir, state)
    return workdir


@pytest.fixture
def own_copy(saved, tmp_path):
    """One to be damaged."""
    return shutil.copytree(saved, tmp_path / 'run')


def test_everything_comes_back_to_the_bit(saved, state):
    restored, progress = tiny_run.saved_state(saved, CONFIG)
    expected = tiny_run.plain(state)
    assert tiny.trees_equal(restored, expected) and progress == PROGRESS | {'lod': 0.5}
    assert jax.tree.map(lambda x: x.dtype, restored) == jax.tree.map(lambda x: x.dtype, expected)
    assert jax.tree.structure(restored) == jax.tree.structure(expected)


def test_the_key_draws_the_same_numbers(saved, state):
    checkpoints = Checkpoints(saved)
    key = checkpoints.restore(CONFIG).state.key
    checkpoints.close()
    assert np.array_equal(jax.random.normal(key, 3), jax.random.normal(state.key, 3))


def test_the_newest_ones_stay(state, tmp_path):
    save(tmp_path, state, nimgs=(16, 32, 48), keep=2)
    assert sorted(os.listdir(tmp_path / 'checkpoints')) == ['32', '48']
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() == 48
    checkpoints.close()


def test_a_reader_finds_what_a_training_saved_in_place_of_what_it_was_to_read(own_copy, state):
    checkpoints = Checkpoints(own_copy)
    assert checkpoints.all() == [56]
    (own_copy / 'checkpoints' / '56').rename(own_copy / 'checkpoints' / '64')
    found = checkpoints.restore()
    checkpoints.close()
    assert (found.nimg, found.damaged) == (64, ()) and tiny.trees_equal(found.state.w_avg, state.w_avg)


def test_the_config_comes_back(saved):
    assert restore(saved, None).config == CONFIG


def restore(workdir, config):
    checkpoints = Checkpoints(workdir)
    try:
        return checkpoints.restore(config)
    finally:
        checkpoints.close()


@pytest.mark.parametrize(
    'theirs, ours, remedy',
    [
        ('', 'toyfaces', 'leave it out'),
        ('', '.', 'leave it out'),
        ('toyfaces', '', 'give that one'),
        ('runs/a/', 'runs/b', 'give that one'),
        ('toyfaces', os.path.abspath('toyfaces'), 'give that one'),  # a name, and a path
    ],
)
def test_a_run_that_began_elsewhere_is_refused(theirs, ours, remedy):
    configs = [dataclasses.replace(CONFIG, init_from=each) for each in (theirs, ours)]
    with pytest.raises(UserError) as caught:
        refuse_other_run(*configs, 'there')
    expected = f'init_from={ours!r}: there says init_from={theirs!r}; choose another workdir, or {remedy}'
    assert str(caught.value) == expected
    refuse_other_run(configs[0], configs[0], 'there')


@pytest.mark.parametrize('theirs, ours', [('runs/a/', 'runs/a'), ('runs/a', os.path.abspath('runs/a'))])
def test_one_path_may_be_spelled_in_several_ways(theirs, ours):
    configs = [dataclasses.replace(CONFIG, init_from=each) for each in (theirs, ours)]
    refuse_other_run(*configs, 'there')
    refuse_other_run(*reversed(configs), 'there')


def test_labels_that_a_run_began_without_are_refused_with_the_setting_that_leaves_them_out():
    labelled = dataclasses.replace(CONFIG.image, label_dim=16)
    words = {}
    for finds in (True, False):
        data = dataclasses.replace(CONFIG.data, find_labels=finds)
        with pytest.raises(UserError, match='image.label_dim: 0 in the checkpoint, 16 now') as caught:
            refuse_other_run(CONFIG, dataclasses.replace(CONFIG, image=labelled, data=data), 'there')
        words[finds] = caught.value.remedy
    assert words[False] == 'choose another workdir, or the settings that it was made with'
    assert words[True] == words[False] + ' (data.find_labels=False for no labels)'


def test_labels_that_are_no_longer_found_are_named_as_the_cause():
    labelled = dataclasses.replace(CONFIG, image=dataclasses.replace(CONFIG.image, label_dim=2))
    for finds, cause in (True, 'no labels were found beside the images (data.path=lost); bring them back'), (False, ''):
        data = dataclasses.replace(CONFIG.data, path='lost', find_labels=finds)
        with pytest.raises(UserError, match='image.label_dim: 2 in the checkpoint, 0 now; ') as caught:
            refuse_other_run(labelled, dataclasses.replace(CONFIG, data=data), 'there')
        assert cause in str(caught.value) and ('no labels' in str(caught.value)) == finds


@pytest.mark.parametrize(
    'change, message',
    [
        (
            {'generator': dataclasses.replace(CONFIG.generator, fmap_max=4)},
            r'generator\.fmap_max: 8 in the checkpoint, 4 now',
        ),
        (
            {'image': dataclasses.replace(CONFIG.image, resolution=16)},
            r'image\.resolution: 8 in the checkpoint, 16 now',
        ),
        ({'precision': 'float64'}, "precision: 'float32' in the checkpoint, 'float64' now"),
        ({'train': dataclasses.replace(CONFIG.train, beta1=0.5)}, r'train\.beta1: 0\.0 in the checkpoint, 0\.5 now'),
    ],
)
def test_another_architecture_is_refused_with_both_sides(saved, change, message):
    with pytest.raises(UserError, match=f'checkpoints/56 belongs to another architecture: {message}; choose'):
        restore(saved, dataclasses.replace(CONFIG, **change))


def test_every_difference_is_shown(saved):
    config = dataclasses.replace(
        CONFIG,
        generator=dataclasses.replace(CONFIG.generator, z_dim=9),
        discriminator=dataclasses.replace(CONFIG.discriminator, fmap_base=16),
    )
    with pytest.raises(UserError, match=r'\.z_dim: 6 .* 9 now; discriminator\.fmap_base: 32 .* 16 now'):
        restore(saved, config)


def test_the_same_networks_may_be_trained_otherwise(saved, state):
    config = dataclasses.replace(
        CONFIG,
        schedule=ScheduleConfig(batch=8, lr=0.5),
        replicas=2,
        train=dataclasses.replace(CONFIG.train, total_kimg=9.0),
    )
    assert tiny.trees_equal(tiny_run.plain(restore(saved, config).state), tiny_run.plain(state))


def test_networks_of_a_run(saved, state):
    before = tiny_run.files_below(saved)
    G, D, ema = (load(saved, which) for which in ('G', 'D', 'ema'))
    assert G.config == ema.config == CONFIG.generator and D.config == CONFIG.discriminator
    assert tiny.trees_equal((G.params, G.w_avg, G.noise), (state.g_params, state.w_avg, state.noise))
    assert tiny.trees_equal((ema.params, ema.w_avg, ema.noise), (state.g_ema, state.ema_w_avg, state.noise))
    assert tiny.trees_equal(D.params, state.d_params)
    assert load_with_lod(saved)[1] == 0.5 and load_with_run(saved, 'ema')[1].progress['lod'] == 0.5
    assert tiny_run.files_below(saved) == before, 'reading a run changed it'


def test_a_run_in_float64_is_read_where_jax_has_no_float64(state, tmp_path):
    config = dataclasses.replace(CONFIG, precision='float64')
    with jax.enable_x64(True):
        types = jax.eval_shape(lambda: tiny_run.plain(training.create_state(config)))
    written = jax.tree.map(lambda x, like: np.asarray(x, like.dtype), tiny_run.plain(state), types)
    written = written.replace(w_avg=written.w_avg + 1 / 3)
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(56, written.replace(key=state.key), config, PROGRESS)
    checkpoints.close()
    restored = tiny_run.plain(restore(tmp_path, None).state)
    assert restored.w_avg.dtype == np.float64 and tiny.trees_equal(restored, written)
    np.testing.assert_array_equal(load(tmp_path, 'G').w_avg, written.w_avg.astype(np.float32), strict=True)


def test_folder_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match=f'{tmp_path}: not a run directory'):
        load(tmp_path, 'ema')


def test_run_without_a_checkpoint(tmp_path):
    (tmp_path / 'checkpoints').mkdir()
    with pytest.raises(UserError, match='there is no checkpoint yet; .* start it again, or give another network'):
        load(tmp_path, 'ema')


def assert_unreadable(workdir):
    with pytest.raises(UserError, match='checkpoints/56: this checkpoint cannot be read') as info:
        load(workdir, 'ema')
    assert '\n' not in str(info.value)


@pytest.mark.parametrize('part', ['', 'config', 'state', 'progress'])
def test_emptied_files_are_reported(own_copy, part):
    """As a full disk leaves them."""
    for path in tiny_run.files_below(own_copy / 'checkpoints' / '56' / part):
        open(path, 'w').close()
    assert_unreadable(own_copy)


@pytest.mark.parametrize('part', ['config', 'state', 'progress'])
def test_missing_parts_are_reported(own_copy, part):
    shutil.rmtree(own_copy / 'checkpoints' / '56' / part)
    assert_unreadable(own_copy)


def test_cut_off_weights_are_reported(own_copy):
    path, (size, _) = max(
        tiny_run.files_below(own_copy / 'checkpoints' / '56' / 'state').items(), key=lambda item: item[1]
    )
    os.truncate(path, size // 2)
    assert_unreadable(own_copy)


def test_parts_of_a_run_and_sets_are_named(tmp_path):
    run = tmp_path / 'run'
    (run / 'checkpoints').mkdir(parents=True)
    (run / 'config.json').write_text(serialization.to_json(CONFIG))
    with pytest.raises(UserError, match=f'checkpoints: this is a part of a run; give {run}$'):
        load(run / 'checkpoints', 'ema')
    (tmp_path / 'prepared.json').write_text('{"format": "stylegan_jax prepared data"}')
    with pytest.raises(UserError, match='not a run directory .*: it is a prepared data set, and no network'):
        load(tmp_path, 'ema')
