"""Path length regularization: against differences in double precision, and as a part of training."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectory

import tiny
from stylegan_jax import training
from stylegan_jax.config import Config, LossConfig, ParallelConfig
from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import synthesize_images
from stylegan_jax.training.gradients import generator_gradients
from stylegan_jax.training.path_length import path_length_penalty, path_lengths

LOSS = LossConfig(path_length=2.0, path_length_interval=4, path_length_decay=0.1)


@functools.cache
def network(letter):
    """A generator with all of its arrays in double precision."""
    G = tiny.generator(tiny.generator_config(letter, 8, fmap_max=4))
    return jax.tree.map(lambda x: np.asarray(x, np.float64), G)


@pytest.mark.parametrize(
    'letter, stage, alpha',
    [('F', 1, 0.3), *[pytest.param(*x, marks=pytest.mark.full) for x in (('F', 0, 1.0), ('D', 1, 1.0))]],
)
def test_lengths_are_those_of_the_jacobian(float64, letter, stage, alpha):
    """The Jacobian is made of differences of images, a column for each number of w in each layer."""
    G = network(letter)
    side, noise = 4 << stage, tuple(map(jnp.asarray, G.noise[: 2 * (stage + 1)]))
    ws, directions = tiny.normal(2, G.num_ws, G.w_dim), tiny.normal(2, side, side, 3, seed=1)
    synthesize = jax.jit(lambda ws: synthesize_images(G.config, G.params, ws, noise, stage=stage, alpha=alpha))
    find = jax.jit(lambda ws, scale: path_lengths(synthesize, ws, directions, scale))
    lengths = find(ws, 1.0)
    columns = np.zeros(ws.shape)
    for place in np.ndindex(ws.shape[1:]):
        step = jnp.zeros(ws.shape).at[:, *place].set(1e-5)
        difference = (synthesize(ws + step) - synthesize(ws - step)) / 2e-5
        columns[:, *place] = np.sum(difference * directions, axis=(1, 2, 3)) / side  # y is normal / sqrt(H W)
    expected = np.sqrt(np.mean(np.sum(np.square(columns), axis=2), axis=1))
    np.testing.assert_allclose(lengths, expected, rtol=1e-6)
    np.testing.assert_allclose(find(ws, 2.0**16), lengths, rtol=1e-12)


def test_the_penalty_is_about_the_running_mean_of_each_replica():
    lengths, means = np.array([1.0, 3.0, 5.0, 9.0]), np.array([0.0, 6.0])
    penalties, after = path_length_penalty(LOSS, jnp.asarray(lengths), jnp.asarray(means))
    np.testing.assert_allclose(after, [0.2, 6.1], rtol=1e-6)
    np.testing.assert_allclose(penalties, np.square(lengths - [0.2, 0.2, 6.1, 6.1]), rtol=1e-6)


@functools.cache
def case(stage=1, **loss):
    """(config, state, draws) of two replicas in a fade, in double precision."""
    config = tiny.run_config(
        replicas=2,
        precision='float64',
        loss=dataclasses.replace(LOSS, **loss),
        generator={'fmap_max': 4},
        discriminator={'fmap_max': 4},
    )
    G, D = tiny.generator(config.generator), tiny.discriminator(config.discriminator)
    state = training.create_state(config, generator=G, discriminator=D, lod=0.4)
    state = state.replace(path_length_means=jnp.array([0.3, 0.8]), cur_nimg=jnp.int32(8))
    return config, state, training.draw_generator_step(config, state.key, 0, 8, stage=stage, dtype=jnp.float64)


@functools.cache
def gradients_at(step):
    """What a step finds, by its number among all; one in four takes the penalty."""
    _, state, draws = case()
    return _compiled()(state.replace(cur_nimg=jnp.int32(8 * step)), jnp.zeros((8, 0)), draws)


@functools.cache
def _compiled():
    return jax.jit(functools.partial(generator_gradients, case()[0], stage=1))


def test_the_gradient_is_that_of_differences(float64):
    """Of all of the generator's weights, along random directions: second derivatives of every kernel take part."""
    config, state, _ = case()
    penalty = jax.jit(functools.partial(_penalty, config))
    leaves, tree = jax.tree.flatten(state.g_params)
    found = jax.tree.leaves(jax.tree.map(jnp.subtract, gradients_at(4).g_params, gradients_at(5).g_params))
    for seed in range(3):
        step = [tiny.normal(*leaf.shape, seed=seed + 10 * place) for place, leaf in enumerate(leaves)]
        ahead, back = (penalty(tree.unflatten([a + sign * 1e-6 * b for a, b in zip(leaves, step)])) for sign in (1, -1))
        expected = 4 * 2.0 * (ahead - back) / 2e-6  # the interval, and the weight
        assert sum(map(jnp.vdot, found, step)) == pytest.approx(float(expected), rel=1e-5), seed
    without = {
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree.unflatten(found))
        if not np.any(leaf)
    }
    # Biases of colours move all images alike: a Jacobian has none.
    assert without == {f"['synthesis']['{side}x{side}']['to_rgb']['bias']" for side in (4, 8)}


def _penalty(config, g_params):
    """Written anew: lengths of two images of each of two replicas, and the mean that moves by a tenth."""
    _, state, draws = case()
    path, G = draws.path, tiny.generator(config.generator)
    w, w_mix = (dataclasses.replace(G, params=g_params).map(z) for z in (path.z, path.z_mix))
    layer = jnp.arange(4)[None, :, None]
    ws = jnp.where(layer < path.crossover[:, None, None], w[:, None], w_mix[:, None])

    def dot(ws):
        images = synthesize_images(config.generator, g_params, ws, path.noise, stage=1, alpha=state.alpha)
        return jnp.sum(images * path.directions) / 8

    lengths = jnp.sqrt(jnp.sum(jnp.square(jax.grad(dot)(ws)), axis=(1, 2)) / 4).reshape(2, 2)
    means = 0.9 * jnp.array([0.3, 0.8]) + 0.1 * jnp.mean(lengths, axis=1)
    return jnp.mean((lengths - means[:, None]) ** 2)


def test_one_step_of_an_interval_takes_the_penalty(float64):
    config, state, _ = case()
    due, not_due = gradients_at(4), gradients_at(5)
    np.testing.assert_array_equal(not_due.path_length_means, [0.3, 0.8])
    assert not_due.metrics['path_length'] == not_due.metrics['path_length_penalty'] == 0
    assert due.metrics['path_length_penalty'] == pytest.approx(4 * float(_penalty(config, state.g_params)))
    # Both means move by a tenth towards the lengths, of which the metric is the mean, times the interval.
    moved = np.mean(due.path_length_means) - 0.9 * 0.55
    assert moved == pytest.approx(0.1 * float(due.metrics['path_length']) / 4)


@pytest.mark.full
def test_half_precision_agrees_with_float32():
    """At 32 pixels, where layers above 16 are in half precision."""

    def gradients(precision):
        config = tiny.run_config(resolution=32, precision=precision, loss=LOSS, generator={'fmap_max': 16})
        G, D = tiny.generator(config.generator), tiny.discriminator(config.discriminator)
        state = training.create_state(config, generator=G, discriminator=D)
        draws = training.draw_generator_step(config, state.key, 0, 8, stage=3)
        return jax.jit(functools.partial(generator_gradients, config, stage=3))(state, jnp.zeros((8, 0)), draws)

    half, full = gradients('bfloat16'), gradients('float32')
    assert full.metrics['path_length'] > 0
    assert half.metrics['path_length'] == pytest.approx(float(full.metrics['path_length']), rel=0.02)
    a, b = (np.concatenate([x.ravel() for x in jax.tree.leaves(each.g_params)]) for each in (half, full))
    assert np.vdot(a, b) > 0.99 * np.linalg.norm(a) * np.linalg.norm(b)


@pytest.mark.full
@pytest.mark.parametrize(
    'mode, devices, accumulate',
    [('jit', 2, 2), ('jit', 8, 1), ('pmap', 4, 1), ('jit', 1, 8)],
)
def test_any_number_of_devices_does_the_same(float64, mode, devices, accumulate):
    def states(parallel):
        loss = LossConfig(path_length=2.0, path_length_interval=2)
        return trajectory.trajectory(trajectory.run_config(loss=loss, parallel=parallel), 6)

    expected = states(ParallelConfig(devices=1))
    found = states(ParallelConfig(mode=mode, devices=devices, accumulate=accumulate))
    assert found.keys() == expected.keys() and len(set(expected['.path_length_means'])) == trajectory.REPLICAS
    for name, array in expected.items():
        # Adam makes much of gradients that are nearly zero; 2e-9 was seen.
        assert np.linalg.norm(np.float64(found[name]) - array) <= 1e-8 * np.linalg.norm(np.float64(array)), name


def test_float16_is_refused():
    with pytest.raises(UserError, match='overflow in float16'):
        tiny.run_config(precision='float16', loss=LOSS)


def test_draws_are_of_fewer_images_and_do_not_move_the_others(float64):
    config, state, draws = case()
    assert draws.path.z.shape == (4, 6) and draws.path.directions.shape == (4, 8, 8, 3)
    off = dataclasses.replace(config, loss=LossConfig())
    plain = training.draw_generator_step(off, state.key, 0, 8, stage=1, dtype=jnp.float64)
    assert plain.path is None and tiny.trees_equal(plain, draws._replace(path=None))
    second = training.draw_generator_step(
        config, state.key, 0, 4, stage=1, replicas=jnp.array([1]), dtype=jnp.float64
    ).path
    assert tiny.trees_equal(second, jax.tree.map(lambda x: x[2:], draws.path))


@pytest.mark.full
def test_a_skipped_step_keeps_the_means(float64):
    config, state, draws = case()
    draws = draws._replace(path=draws.path._replace(directions=draws.path.directions * jnp.nan))
    state = state.replace(cur_nimg=jnp.int32(32))  # a step that takes the penalty
    after, metrics = training.generator_step(config, state, jnp.zeros((8, 0)), draws, stage=1, lr=0.001)
    assert metrics['g_skipped'] == 1 and tiny.trees_equal(after.path_length_means, state.path_length_means)


def test_states_of_other_options_are_fitted(float64):
    config, state, _ = case()
    off = dataclasses.replace(config, loss=LossConfig())
    assert training.with_options(off, state).path_length_means is None
    again = training.with_options(config, training.with_options(off, state))
    np.testing.assert_array_equal(again.path_length_means, [0, 0])
    fewer = training.with_options(dataclasses.replace(config, replicas=1), state)
    np.testing.assert_allclose(fewer.path_length_means, [0.55])


def test_generators_without_styles_are_refused():
    with pytest.raises(UserError, match=r'loss.path_length=2.0: this generator has no styles; give 0'):
        tiny.run_config('B', loss=LossConfig(path_length=2.0))
    assert isinstance(tiny.run_config('C', loss=LossConfig(path_length=2.0)), Config)
