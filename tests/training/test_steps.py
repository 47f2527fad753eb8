"""The training steps: what they move, what they leave, and how replicas and stages come in."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax import training
from stylegan_jax.config import DataConfig, ImageConfig, LossConfig, TrainConfig
from stylegan_jax.data.batch import Batch
from stylegan_jax.networks.generator import map_latents
from stylegan_jax.training.optimizer import adam_init
from stylegan_jax.training.steps import _apply_gradients

LR = 0.01
LABEL = jnp.zeros((4, 0))


@functools.cache
def compiled_step(name, replicas=1):
    """(config, compiled step) of an 8x8 run with mixing, noise and an average of 40 images."""
    config = tiny.run_config('F', replicas=replicas, train=TrainConfig(ema_kimg=0.04, beta1=tiny.HARDLY_ANY))
    step = {'d': training.discriminator_step, 'g': training.generator_step}[name]
    return config, jax.jit(functools.partial(step, config, stage=1, lr=LR))


@functools.cache
def start():
    """A state in a fade to 8x8, with an averaged generator of its own."""
    config, _ = compiled_step('d')
    G = tiny.generator(config.generator)
    state = tiny.state(
        config, generator=G, discriminator=tiny.discriminator(config.discriminator), ema=tiny.filled(G), lod=0.25
    )
    return state.replace(cur_nimg=jnp.int32(40))


def images(batch=4):
    return np.random.default_rng(3).integers(0, 256, (batch, 8, 8, 3), np.uint8)


@functools.cache
def draws_of(name, replicas=1, batch=4):
    config, _ = compiled_step(name, replicas)
    draw = {'d': training.draw_discriminator_step, 'g': training.draw_generator_step}[name]
    return jax.jit(lambda key: draw(config, key, 0, batch, stage=1))(start().key)


def d_step(state=None, reals=None, draws=None):
    reals = images() if reals is None else reals
    return compiled_step('d')[1](state or start(), reals, LABEL, draws or draws_of('d'))


def g_step(state=None, draws=None):
    return compiled_step('g')[1](state or start(), LABEL, draws or draws_of('g'))


# What moves.


def test_each_step_trains_its_own_network():
    after_d, metrics = d_step()
    assert tiny.trees_equal(after_d.g_params, start().g_params)
    assert not tiny.trees_equal(after_d.d_params, start().d_params)
    assert (after_d.d_optimizer.count, after_d.g_optimizer.count) == (1, 0)
    assert after_d.cur_nimg == 44 and metrics['d_skipped'] == 0 and metrics['d_gradient_norm'] > 0
    after_g, metrics = g_step(after_d)
    assert tiny.trees_equal(after_g.d_params, after_d.d_params)
    assert not tiny.trees_equal(after_g.g_params, after_d.g_params)
    assert (after_g.d_optimizer.count, after_g.g_optimizer.count) == (1, 1)
    assert after_g.cur_nimg == 44 and metrics['g_skipped'] == 0
    unmoved = ('noise', 'group_nimg', 'lod', 'alpha', 'g_ema', 'ema_w_avg')
    assert all(tiny.trees_equal(getattr(after_g, name), getattr(after_d, name)) for name in unmoved)
    assert after_g.key == start().key


def test_metrics_are_finite_scalars():
    metrics = d_step()[1] | g_step()[1]
    assert set(metrics) >= {'d_loss', 'g_loss', 'real_logits', 'fake_logits', 'r1_penalty'}
    assert all(np.shape(value) == () and np.isfinite(value) for value in metrics.values())


def test_the_average_takes_the_generator_before_its_step():
    state, _ = d_step()
    beta = 0.5 ** (4 / 40)
    expected = jax.tree.map(lambda p, e: (1 - beta) * p + beta * e, start().g_params, start().g_ema)
    tiny.assert_trees_close(state.g_ema, expected, rtol=1e-5, atol=1e-5)
    assert tiny.trees_equal(state.ema_w_avg, start().w_avg)
    assert tiny.trees_equal(g_step(state)[0].g_ema, state.g_ema)


@pytest.mark.parametrize('name, step', [('d', d_step), ('g', g_step)])
def test_the_average_w_follows_the_first_latents_in_both_steps(name, step):
    config, draws = compiled_step(name)[0], draws_of(name)
    w_mean = jnp.mean(map_latents(config.generator, start().g_params, draws.z, LABEL), axis=0)
    state, _ = step(draws=draws)
    np.testing.assert_allclose(state.w_avg, 0.995 * start().w_avg + 0.005 * w_mean, rtol=1e-5, atol=1e-6)
    other, _ = step(draws=draws._replace(z_mix=draws.z_mix + 1))
    np.testing.assert_allclose(other.w_avg, state.w_avg, rtol=1e-6)


def test_mixing_takes_the_second_latents_from_the_crossover_on():
    draws = draws_of('g')
    swapped = draws._replace(z=draws.z_mix, z_mix=draws.z)
    everywhere, nowhere = jnp.zeros(4, int), jnp.full(4, 4)
    losses = [
        g_step(draws=d)[1]['g_loss']
        for d in (
            draws._replace(crossover=everywhere),
            swapped._replace(crossover=nowhere),
            draws._replace(crossover=nowhere),
            draws._replace(crossover=jnp.full(4, 2)),
        )
    ]
    assert losses[0] == pytest.approx(float(losses[1]), rel=1e-5)
    assert len({round(float(loss), 4) for loss in losses[1:]}) == 3


# What is not finite.


def test_a_discriminator_gradient_that_is_not_finite_is_skipped():
    state, metrics = d_step(reals=np.full((4, 8, 8, 3), np.nan, np.float32))
    assert metrics['d_skipped'] == 1
    assert tiny.trees_equal((state.d_params, state.d_optimizer), (start().d_params, start().d_optimizer))
    healthy, _ = d_step()
    for name in ('g_ema', 'w_avg', 'cur_nimg'):  # go on as ever
        assert tiny.trees_equal(getattr(state, name), getattr(healthy, name)), name
    after, metrics = g_step(state)
    assert metrics['g_skipped'] == 0 and not tiny.trees_equal(after.g_params, state.g_params)


def test_a_skipped_step_keeps_moments():
    before, _ = d_step()
    after, metrics = d_step(before, reals=np.full((4, 8, 8, 3), np.nan, np.float32))
    assert metrics['d_skipped'] == 1 and np.any(jax.tree.leaves(before.d_optimizer.mu)[0])
    assert tiny.trees_equal((after.d_params, after.d_optimizer), (before.d_params, before.d_optimizer))


def test_a_generator_gradient_that_is_not_finite_is_skipped():
    draws = draws_of('g')
    state, metrics = g_step(draws=draws._replace(noise=(draws.noise[0] * jnp.inf, *draws.noise[1:])))
    assert metrics['g_skipped'] == 1
    assert tiny.trees_equal((state.g_params, state.g_optimizer), (start().g_params, start().g_optimizer))
    np.testing.assert_array_equal(state.w_avg, g_step()[0].w_avg)
    after, metrics = d_step(state)
    assert metrics['d_skipped'] == 0 and not tiny.trees_equal(after.d_params, state.d_params)


def test_a_gradient_whose_norm_is_beyond_float32_is_skipped():
    config, _ = compiled_step('d')
    params, huge = {'weight': jnp.ones(3)}, {'weight': jnp.full(3, 1e20)}
    optimizer = adam_init(params, config.train.beta1)
    after, _, skipped, _, metrics = _apply_gradients(config, huge, optimizer, params, jnp.int32(1), jnp.float32(0), LR)
    np.testing.assert_array_equal(after['weight'], 1)
    assert skipped == 2 and metrics['skipped'] == 1 and np.isposinf(metrics['gradient_norm'])


# Replicas.


def gradients(optimizer):
    """With hardly any momentum the first moment is the gradient."""
    return optimizer.mu


def half(draws, which):
    return jax.tree.map(lambda x: x[4 * which : 4 * which + 4], draws)


def test_two_replicas_are_the_mean_of_two_single_ones():
    label, reals = jnp.zeros((8, 0)), images(8)
    d_draws, g_draws = draws_of('d', 2, 8), draws_of('g', 2, 8)
    d_both, _ = compiled_step('d', 2)[1](start(), reals, label, d_draws)
    g_both, _ = compiled_step('g', 2)[1](start(), label, g_draws)
    d_each = [d_step(reals=reals[4 * r : 4 * r + 4], draws=half(d_draws, r))[0] for r in range(2)]
    g_each = [g_step(draws=half(g_draws, r))[0] for r in range(2)]
    for both, each, name in ((d_both, d_each, 'd_optimizer'), (g_both, g_each, 'g_optimizer')):
        single = [gradients(getattr(state, name)) for state in each]
        mean = jax.tree.map(lambda a, b: (a + b) / 2, *single)
        tiny.assert_trees_close(gradients(getattr(both, name)), mean, rtol=1e-3, atol=1e-4)
        assert not np.allclose(jax.tree.leaves(single[0])[0], jax.tree.leaves(mean)[0], rtol=1e-2)
        np.testing.assert_allclose(both.w_avg, (each[0].w_avg + each[1].w_avg) / 2, rtol=1e-5, atol=1e-6)


# Compiled iterations.


def batch_at(config, stage, seed=0):
    random = np.random.default_rng(seed)
    label = np.eye(4, config.image.label_dim, dtype=np.float32)
    pixels = random.integers(0, 256, (4, *config.image.stage_shape(stage), 3), np.uint8)
    return Batch(pixels, label, label[::-1])


def all_finite(state):
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.replace(key=None)))


@pytest.fixture(scope='module')
def run():
    """A conditional run of one replica with styles, noise, mixing and mirroring: (config, compiled steps)."""
    config = tiny.run_config(
        image=ImageConfig(8, label_dim=3),
        loss=LossConfig(r1_gamma=0),
        data=DataConfig(mirror=True),
        generator={'mapping_layers': 1},
    )
    devices = training.Devices(config)
    iteration = devices.iteration()

    def steps(state, batch, *args, **kwargs):
        return iteration(devices.replicate(state), devices.arrange(batch), *args, **kwargs)

    steps.iteration, steps.replicate = iteration, devices.replicate
    return config, steps


@pytest.mark.full
def test_without_the_fade_a_stage_at_full_weight_trains_the_same(float64):
    config = tiny.run_config(image=ImageConfig(8, label_dim=3), precision='float64')
    state, batch = tiny.state(config, lod=0), batch_at(config, 1)
    assert state.alpha == 1
    with_fade, without = (
        jax.jit(functools.partial(training.train_iteration, config, stage=1, fades=fades))(state, batch, 0.001)
        for fades in (True, False)
    )
    assert np.any(without[0].g_params['synthesis']['4x4']['const']['bias'])
    with_fade, without = ((state.replace(key=None), metrics) for state, metrics in (with_fade, without))
    tiny.assert_trees_close(with_fade, without, rtol=1e-9, atol=1e-12)


def test_stages_are_compiled_once_and_alpha_and_rates_are_traced(run):
    config, steps = run
    state = tiny.state(config, lod=1)
    for lod, stage, lr in ((1, 0, 0.001), (1, 0, 0.002), (0.9, 1, 0.001), (0.5, 1, 0.001), (0, 1, 0.003)):
        state = state.replace(lod=jnp.float32(lod), alpha=jnp.float32(1 - lod % 1))
        state, metrics = steps(state, batch_at(config, stage, seed=int(state.cur_nimg)), lr, stage=stage)
        assert all_finite(state) and np.isfinite(metrics['d_loss']) and np.isfinite(metrics['g_loss'])
    assert state.cur_nimg == 20
    assert steps.iteration.programs == {training.Program(0, 4), training.Program(1, 4)}


def test_iterations_repeat_exactly(run):
    config, steps = run
    first, again, later = (
        steps(tiny.state(config, lod=1).replace(cur_nimg=jnp.int32(nimg)), batch_at(config, 0), 0.001, stage=0)[0]
        for nimg in (0, 0, 4)
    )
    assert tiny.trees_equal(first.replace(key=0), again.replace(key=0))
    assert not tiny.trees_equal(first.g_params, later.g_params)


def test_the_state_that_is_given_is_used_up(run):
    config, steps = run
    state = steps.replicate(tiny.state(config, lod=1))
    steps(state, batch_at(config, 0), 0.001, stage=0)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.g_params, state.d_params, state.g_ema)))


def test_double_precision(float64):
    config = tiny.run_config(resolution=4, precision='float64', loss=LossConfig('wgan_gp'))
    state = tiny.state(config)
    devices = training.Devices(config)
    state, metrics = devices.iteration()(state, devices.arrange(batch_at(config, 0)), LR, stage=0)
    floats = jax.tree.leaves(
        (
            state.g_params,
            state.d_params,
            state.g_ema,
            state.w_avg,
            state.ema_w_avg,
            state.noise,
            state.d_optimizer.nu,
            state.g_optimizer.nu,
            metrics['d_loss'],
        )
    )
    assert {leaf.dtype for leaf in floats} == {jnp.dtype('float64')}
    assert all_finite(state) and metrics['d_skipped'] == metrics['g_skipped'] == 0
