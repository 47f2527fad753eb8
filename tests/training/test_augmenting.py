"""Augmentation in the training steps: any number of devices, interruptions, other modes, R1."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectory

import tiny
import tiny_run
from stylegan_jax import training
from stylegan_jax.augmentation.pipeline import augment
from stylegan_jax.config import AugmentConfig, LossConfig, ParallelConfig
from stylegan_jax.errors import UserError
from stylegan_jax.run.loop import train
from stylegan_jax.storage.stored_checkpoint import stored_fields
from stylegan_jax.training import with_options
from stylegan_jax.training.augmenting import adapted, signs
from stylegan_jax.training.losses import discriminator_loss

# These discriminators overfit nothing, so p rises only with a target below their mean sign. Another test has the same
# settings, and so the same programs (`run.test_watch`).
ADA = AugmentConfig(mode='ada', target=-0.9, interval=3, speed_kimg=0.2)
WITH_PATH_LENGTH = LossConfig(path_length=2.0, path_length_interval=2)


@functools.cache
def on_devices(loss, parallel):
    return trajectory.trajectory(trajectory.run_config(augment=ADA, loss=loss, parallel=parallel), 6)


def test_a_critic_whose_zero_means_nothing_adapts_nothing():
    with pytest.raises(UserError, match=r"augment.mode='?ada'?: the signs of the logits"):
        tiny.run_config(augment=ADA, loss=LossConfig(name='wgan_gp'))
    tiny.run_config(augment=AugmentConfig(mode='fixed'), loss=LossConfig(name='wgan_gp'))


@pytest.mark.parametrize(
    'loss, mode, devices, accumulate',
    [
        (LossConfig(), 'jit', 8, 1),
        pytest.param(LossConfig(), 'pmap', 2, 2, marks=pytest.mark.full),
        pytest.param(WITH_PATH_LENGTH, 'jit', 8, 1, marks=pytest.mark.full),
        pytest.param(WITH_PATH_LENGTH, 'jit', 4, 2, marks=pytest.mark.full),
    ],
)
def test_trajectories_agree(float64, loss, mode, devices, accumulate):
    expected = on_devices(loss, ParallelConfig(devices=1))
    found = on_devices(loss, ParallelConfig(mode=mode, devices=devices, accumulate=accumulate))
    assert found.keys() == expected.keys() and expected['.augmentation.p'] > 0.1
    # Of path lengths Adam makes much of gradients that are nearly zero (`test_path_length_penalty`).
    tolerance = 1e-8 if loss.path_length else 1e-9
    for name in expected:
        error = np.linalg.norm(np.float64(found[name]) - expected[name])
        assert error <= tolerance * max(np.linalg.norm(np.float64(expected[name])), 1e-9), name


@pytest.mark.full
def test_a_run_goes_on_to_the_bit(tmp_path):
    """From a checkpoint in the middle of an interval of the controller."""
    config = tiny_run.run_config(augment=ADA)
    whole, halved = str(tmp_path / 'whole'), str(tmp_path / 'halved')
    assert train(config, whole) == 0
    first = dataclasses.replace(config, train=dataclasses.replace(config.train, total_kimg=0.064))
    assert train(first, halved) == 0
    middle, _ = tiny_run.saved_state(halved, first)
    assert middle.augmentation.steps == 1
    assert train(config, halved) == 0
    (expected, _), (found, _) = (tiny_run.saved_state(folder, config) for folder in (whole, halved))
    assert tiny.trees_equal(found, expected) and expected.augmentation.p > middle.augmentation.p > 0


def test_a_run_may_go_on_with_another_mode():
    """What the controller carries is dropped, and begins anew when it is asked for again."""
    config, off = tiny.run_config(augment=ADA), tiny.run_config()
    state = training.create_state(config)
    state = state.replace(augmentation=state.augmentation.replace(p=jnp.float32(0.3)))
    assert with_options(config, state) is state
    without = with_options(off, state)
    assert without.augmentation is None and with_options(off, without) is without
    assert with_options(config, without).augmentation.p == 0
    assert 'augmentation' not in stored_fields(without) and 'augmentation' in stored_fields(state)


@pytest.mark.parametrize('mode', ['none', 'fixed', 'diffaugment'])
def test_only_the_controller_has_a_state(mode):
    state = jax.eval_shape(lambda: training.create_state(tiny.run_config(augment=AugmentConfig(mode=mode))))
    assert state.augmentation is None


def test_draws_of_other_purposes_stay_as_they_are():
    config = tiny.run_config()
    key = jax.random.key(5)
    plain = training.draw_discriminator_step(config, key, 8, 4, stage=1)
    config = dataclasses.replace(config, augment=ADA)
    with_keys = training.draw_discriminator_step(config, key, 8, 4, stage=1)
    assert plain.augment is None and tiny.trees_equal(plain, with_keys._replace(augment=None))
    # Path lengths, whose images no discriminator sees, have no keys and the same draws.
    lengths, both = (
        training.draw_generator_step(dataclasses.replace(each, loss=WITH_PATH_LENGTH), key, 8, 4, stage=1)
        for each in (tiny.run_config(), config)
    )
    assert both.augment is not None and tiny.trees_equal(lengths, both._replace(augment=None))
    keys = jax.random.key_data(with_keys.augment)
    others = jax.random.key_data(training.draw_generator_step(config, key, 8, 4, stage=1).augment)
    assert len(np.unique(np.concatenate([keys, others]), axis=0)) == 8


@pytest.mark.parametrize(
    'name, mode',
    [
        ('logistic', 'diffaugment'),
        ('wgan_gp', 'diffaugment'),
        pytest.param('logistic', 'fixed', marks=pytest.mark.full),
        pytest.param('wgan_gp', 'fixed', marks=pytest.mark.full),
    ],
)
def test_losses_see_augmented_images(float64, mode, name):
    """The penalty R1 is about the images before; that of WGAN-GP between augmented images."""
    keys = jax.random.split(jax.random.key(0), 4)
    reals, fakes = (jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (4, 4, 4, 3))) for seed in (1, 2))
    weight = jnp.asarray(np.random.default_rng(3).standard_normal((4, 4, 3)))

    def discriminate(images):
        return jnp.sum(jnp.tanh(images * weight), (1, 2, 3))

    def augmented(images, kind):
        own = jax.vmap(lambda key: jax.random.fold_in(key, {'real': 0, 'fake': 1}[kind]))(keys)
        return augment(images, own, 0.9, mode=mode)

    config, factors = LossConfig(name=name), jnp.full((4, 1, 1, 1), 0.3)
    loss, metrics = discriminator_loss(
        config, discriminate, reals, fakes, shrink=2, gp_factors=factors, augment=augmented
    )
    seen_reals, seen_fakes = augmented(reals, 'real'), augmented(fakes, 'fake')
    np.testing.assert_allclose(metrics['real_logits'], discriminate(seen_reals))
    np.testing.assert_allclose(metrics['fake_logits'], discriminate(seen_fakes))
    if name == 'logistic':
        gradients = jax.grad(lambda x: jnp.sum(discriminate(augmented(x, 'real'))))(reals)
        squares = jnp.sum(jnp.square(gradients), (1, 2, 3)) / 4
        np.testing.assert_allclose(metrics['r1_penalty'], squares)
    else:
        plain = discriminator_loss(config, discriminate, seen_reals, seen_fakes, shrink=2, gp_factors=factors)
        np.testing.assert_allclose(loss, plain[0])


def test_a_step_without_finite_logits_does_not_reach_the_controller():
    config = tiny.run_config(augment=ADA)
    state = training.create_state(config, lod=1)
    found = {name: jnp.mean(x) for name, x in signs(config, jnp.array([np.nan, np.nan, -np.inf, 1])).items()}
    after, metrics = adapted(config, state, found, 4)
    assert metrics['augment_p'] == 0 and after.augmentation.signs == 0 and after.augmentation.steps == 1
