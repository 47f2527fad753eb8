"""The random draws of a step: their dependence on key, images shown, replica and purpose, and their distributions."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.config import DataConfig, LossConfig, TrainConfig
from stylegan_jax.training import draw_discriminator_step, draw_generator_step

CONFIG = tiny.run_config(resolution=16, replicas=2, data=DataConfig(mirror=True), loss=LossConfig('wgan_gp'))
KEY = jax.random.key(5)
STEPS = {'discriminator': draw_discriminator_step, 'generator': draw_generator_step}


def draw(step='discriminator', *, key=KEY, cur_nimg=320, replicas=2, batch=8, stage=1):
    return compiled(step, replicas, batch, stage)(key, cur_nimg)


@functools.cache
def compiled(step, replicas, batch, stage):
    config = dataclasses.replace(CONFIG, replicas=replicas)
    return jax.jit(functools.partial(STEPS[step], config, batch=batch, stage=stage))


@pytest.mark.parametrize('step', STEPS)
def test_shapes(step):
    draws = draw(step)
    assert draws.z.shape == draws.z_mix.shape == (8, 6)
    assert draws.crossover.shape == (8,)
    assert [noise.shape for noise in draws.noise] == [(8, 4, 4, 1)] * 2 + [(8, 8, 8, 1)] * 2
    if step == 'discriminator':
        assert draws.mirror.shape == (8,) and draws.mirror.dtype == bool
        assert draws.gp_factors.shape == (8, 1, 1, 1)
    else:
        assert draws.mirror is None and draws.gp_factors is None


def test_a_setting_draws_only_what_it_uses():
    config = tiny.run_config('D', train=TrainConfig(style_mixing_prob=0))
    draws = draw_discriminator_step(config, KEY, 0, 4, stage=0)
    assert draws == draws._replace(z_mix=None, crossover=None, noise=(), mirror=None, gp_factors=None)
    config = tiny.run_config('B')
    assert draw_generator_step(config, KEY, 0, 4, stage=0).z_mix is None  # nothing to mix without styles


def test_draws_depend_on_key_images_shown_and_purpose_alone():
    assert tiny.trees_equal(draw(), draw())
    others = [draw(key=jax.random.key(6)), draw(cur_nimg=328), draw('generator')]
    drawn = [draws.z for draws in [draw(), *others]] + [draws.z_mix for draws in [draw(), *others]]
    assert len(np.unique(np.concatenate(drawn), axis=0)) == 8 * 8
    noises = [draws.noise[layer][:, 0, 0, 0] for draws in [draw(), *others] for layer in range(4)]
    assert len(np.unique(np.concatenate(noises))) == 8 * 16


def test_draws_of_a_replica_do_not_depend_on_how_many_there_are():
    two = draw(batch=8)
    one = draw(replicas=1, batch=4)
    four = draw(replicas=4, batch=16)
    assert tiny.trees_equal(jax.tree.map(lambda x: x[:4], two), one)
    assert tiny.trees_equal(jax.tree.map(lambda x: x[:8], four), two)


def test_latents_and_noise_are_normal():
    draws = draw(batch=4000)
    for values in (draws.z, draws.z_mix, draws.noise[3]):
        assert np.mean(values) == pytest.approx(0, abs=0.04) and np.std(values) == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(np.ravel(draws.z), np.ravel(draws.z_mix))[0, 1]) < 0.03


def test_half_of_the_reals_are_mirrored_and_factors_are_uniform():
    draws = draw(batch=4000)
    assert np.mean(draws.mirror) == pytest.approx(0.5, abs=0.04)
    assert 0 <= draws.gp_factors.min() and draws.gp_factors.max() < 1
    assert np.mean(draws.gp_factors) == pytest.approx(0.5, abs=0.02)
    assert np.std(draws.gp_factors) == pytest.approx(12**-0.5, abs=0.02)


@pytest.mark.parametrize('stage', [0, 1, 2])
def test_each_replica_has_one_crossover_within_the_active_layers(stage):
    crossovers = np.array(draw('generator', replicas=200, batch=400, stage=stage).crossover).reshape(200, 2)
    np.testing.assert_array_equal(crossovers[:, 0], crossovers[:, 1])
    assert set(crossovers[:, 0]) == set(range(1, 2 * stage + 3))


def test_double_precision(float64):
    draws = draw_discriminator_step(CONFIG, KEY, 0, 4, stage=0, dtype=jnp.float64)
    arrays = (draws.z, draws.z_mix, *draws.noise, draws.gp_factors)
    assert {array.dtype for array in arrays} == {jnp.dtype('float64')}
