"""The state of a run: its beginning, and what a look at the schedule changes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.config import ScheduleConfig
from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.config.schedule import Setting
from stylegan_jax.training import create_state, enter_setting, network

CONFIG = tiny.run_config(resolution=16)


@pytest.fixture(scope='module')
def state():
    """A state whose Adam has moments."""
    state = create_state(CONFIG, lod=1.5)
    moments = [jax.tree.map(jnp.ones_like, optimizer) for optimizer in (state.g_optimizer, state.d_optimizer)]
    return state.replace(g_optimizer=moments[0], d_optimizer=moments[1], cur_nimg=jnp.int32(96))


def setting(lod):
    stage, alpha = stage_and_alpha(CONFIG.image, lod)
    return Setting(lod, stage, alpha, batch=4, lr=0.001, tick_kimg=1)


def has_moments(state):
    leaves = jax.tree.leaves((state.g_optimizer, state.d_optimizer))
    assert len({bool(np.any(leaf)) for leaf in leaves}) == 1  # all or nothing
    return bool(np.any(leaves[0]))


def test_a_run_starts_from_its_seed():
    first, again = create_state(CONFIG), create_state(CONFIG)
    assert tiny.trees_equal(first.replace(key=0), again.replace(key=0)) and first.key == again.key
    other = create_state(dataclasses.replace(CONFIG, seed=1))
    assert not tiny.trees_equal(first.g_params, other.g_params)
    assert not tiny.trees_equal(first.d_params, other.d_params)
    assert first.key != other.key


def test_beginning(state):
    fresh = create_state(CONFIG, lod=1.25)
    assert (fresh.cur_nimg, fresh.group_nimg, fresh.lod, fresh.alpha) == (0, 0, 1.25, 0.75)
    assert tiny.trees_equal(fresh.g_params, fresh.g_ema) and not has_moments(fresh)
    assert not np.any(fresh.w_avg) and not np.any(fresh.ema_w_avg)


def test_no_two_arrays_share_a_buffer():
    """The compiled steps give the buffers away, each once."""
    leaves = jax.tree.leaves(create_state(CONFIG).replace(key=None))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


def test_given_networks_are_kept_and_copied():
    G, D = tiny.generator(CONFIG.generator), tiny.discriminator(CONFIG.discriminator)
    ema = tiny.filled(G)
    state = create_state(CONFIG, generator=G, discriminator=D, ema=ema)
    for which, given in (('G', G), ('D', D), ('ema', dataclasses.replace(ema, noise=G.noise))):
        held = network(CONFIG, state, which)
        assert type(held) is type(given) and held.config == given.config and tiny.trees_equal(held, given)
    jax.tree.map(lambda leaf: leaf.delete(), state.g_params)
    assert np.isfinite(jax.tree.leaves(G.params)[0]).all()


def test_the_averaged_generator_is_what_is_taken_out_by_default(state):
    state = state.replace(g_ema=jax.tree.map(lambda x: x + 1, state.g_ema), ema_w_avg=state.w_avg + 2)
    ema = network(CONFIG, state)
    assert ema.params is state.g_ema and ema.w_avg is state.ema_w_avg


@pytest.mark.parametrize(
    'lod, kept',
    [
        (1.5, True),
        (1.4, True),
        (1.001, True),  # on within a fade
        (1.0, False),
        (0.9, False),
        (0.0, False),
        (2.0, False),
    ],
)  # it ends, or another begins
def test_moments_are_forgotten_only_when_a_fade_begins_or_ends(state, lod, kept):
    assert has_moments(enter_setting(CONFIG, state, setting(lod))) == kept


@pytest.mark.parametrize('before, after, kept', [(2.0, 2.0, True), (2.0, 1.9999, False), (0.0, 0.0, True)])
def test_moments_at_whole_lods(state, before, after, kept):
    state = state.replace(lod=jnp.float32(before))
    assert has_moments(enter_setting(CONFIG, state, setting(after))) == kept


def test_moments_stay_if_the_schedule_says_so(state):
    config = dataclasses.replace(CONFIG, schedule=ScheduleConfig(batch=4, reset_optimizer=False))
    assert has_moments(enter_setting(config, state, setting(1.0)))


def test_a_setting_moves_growth_and_nothing_else(state):
    entered = enter_setting(CONFIG, state, setting(1.25))
    assert (entered.lod, entered.alpha, entered.group_nimg, entered.cur_nimg) == (1.25, 0.75, 96, 96)
    unmoved = {'lod': 0, 'alpha': 0, 'group_nimg': 0, 'key': 0}
    assert tiny.trees_equal(entered.replace(**unmoved), state.replace(**unmoved))
    assert entered.group_nimg.unsafe_buffer_pointer() != entered.cur_nimg.unsafe_buffer_pointer()
