"""FreezeD: blocks of the discriminator that stay as they were."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax import training
from stylegan_jax.config import TrainConfig
from stylegan_jax.errors import UserError
from stylegan_jax.storage.transfer import transferred
from stylegan_jax.training.freezing import frozen_blocks
from stylegan_jax.training.gradients import discriminator_gradients

CONFIG = tiny.run_config(resolution=16, init_from='somewhere', train=TrainConfig(freeze_d=2, beta1=0.5))


def step(config):
    D = tiny.discriminator(config.discriminator)
    state = training.create_state(config, generator=tiny.generator(config.generator), discriminator=D)
    draws = training.draw_discriminator_step(config, state.key, 0, 4, stage=2)
    reals = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    take = jax.jit(functools.partial(training.discriminator_step, config, stage=2, lr=0.001))
    gradients, *_ = jax.eval_shape(
        functools.partial(discriminator_gradients, config, stage=2), state, reals, jnp.zeros((4, 0)), draws
    )
    return state, *take(state, reals, jnp.zeros((4, 0)), draws), gradients


def test_the_blocks_of_the_largest_images_stay_and_the_others_move_as_without():
    before, after, _, gradients = step(CONFIG)
    _, free, _, _ = step(dataclasses.replace(CONFIG, train=TrainConfig(beta1=0.5)))
    assert frozen_blocks(CONFIG) == {'16x16', '8x8'} and gradients.keys() == {'4x4'}
    for name in ('16x16', '8x8'):
        assert tiny.trees_equal(after.d_params[name], before.d_params[name])
        assert not tiny.trees_equal(free.d_params[name], before.d_params[name])
        assert not any(map(np.any, jax.tree.leaves((after.d_optimizer.mu[name], after.d_optimizer.nu[name]))))
    assert after.d_optimizer.count == 1
    tiny.assert_trees_close(after.d_params['4x4'], free.d_params['4x4'], rtol=1e-5, atol=1e-6)
    assert not tiny.trees_equal(after.d_params['4x4'], before.d_params['4x4'])


def test_nothing_stays_without_weights_to_keep():
    assert not frozen_blocks(dataclasses.replace(CONFIG, init_from=''))


def test_a_file_of_larger_images_is_said_to_fit_less_well(tmp_path):
    path = str(tmp_path / 'd.npz')
    tiny.discriminator(tiny.discriminator_config(resolution=32)).save(path)
    for freeze_d, count in ((2, 1), (0, 0)):
        config = dataclasses.replace(CONFIG, init_from=path, train=TrainConfig(freeze_d=freeze_d))
        assert str(transferred(path, config)[-1]).count('from_rgb of this size was last trained before') == count


def test_a_block_of_another_shape_cannot_stay(tmp_path):
    path = str(tmp_path / 'd.npz')
    config = dataclasses.replace(CONFIG.discriminator, image=dataclasses.replace(CONFIG.image, channels=1))
    tiny.discriminator(config).save(path)
    with pytest.raises(UserError, match=r'16x16/from_rgb/weight is \(.*1, .*\) in .*, and \(.*3, .*\) in this run'):
        transferred(path, dataclasses.replace(CONFIG, init_from=path, train=TrainConfig(freeze_d=1)))


def test_the_last_block_is_always_trained():
    with pytest.raises(UserError, match=r'train.freeze_d=3: give 0 to 2'):
        dataclasses.replace(CONFIG, train=TrainConfig(freeze_d=3))


def test_blocks_that_the_file_does_not_have_cannot_stay(tmp_path):
    path = str(tmp_path / 'd.npz')
    tiny.discriminator(tiny.discriminator_config(resolution=8)).save(path)
    with pytest.raises(UserError, match=r'train.freeze_d=1: .*16x16/'):
        transferred(path, dataclasses.replace(CONFIG, init_from=path, train=TrainConfig(freeze_d=1)))
    generator = str(tmp_path / 'g.npz')
    tiny.generator(tiny.generator_config(resolution=16)).save(generator)
    with pytest.raises(UserError, match=r'train.freeze_d=1: .* has no discriminator'):
        transferred(generator, dataclasses.replace(CONFIG, init_from=generator, train=TrainConfig(freeze_d=1)))
