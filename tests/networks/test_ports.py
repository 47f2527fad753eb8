"""Networks of rosinality's code beside the paper's: what differs, in training and in half precision too.

Their images are held against that code's own in `tests/storage/test_rosinality.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax import training
from stylegan_jax.config import DiscriminatorConfig, GeneratorConfig, ImageConfig, TrainConfig
from stylegan_jax.config.network import PORTS
from stylegan_jax.errors import UserError
from stylegan_jax.networks import ports
from stylegan_jax.networks.generator import synthesize_images


def test_every_architecture_has_its_row():
    assert ports.BY_ARCHITECTURE.keys() == set(PORTS)


def images(architecture, *, dtype=None, **fields):
    config = tiny.generator_config(image=ImageConfig(32), architecture=architecture, **fields)
    G = tiny.generator(config)
    ws = tiny.normal(2, config.num_ws, config.mapped_dim)
    return synthesize_images(config, G.params, ws, G.noise, stage=3, alpha=1.0, dtype=dtype)


@pytest.mark.full
@pytest.mark.parametrize('architecture', PORTS)
def test_half_precision(architecture):
    exact = images(architecture)
    rounded = images(architecture, dtype='bfloat16')
    assert np.abs(rounded - exact).max() < 0.1 * np.abs(exact).max() and np.any(rounded != exact)


@pytest.mark.full
def test_they_train():
    """Both steps, with R1, in a fade; every weight of G moves."""
    parts = {'architecture': 'rosinality'}
    config = tiny.run_config(generator=parts, discriminator=parts, train=TrainConfig(beta1=tiny.HARDLY_ANY))
    state = tiny.state(config, lod=0.5)
    reals = np.random.default_rng(3).integers(0, 256, (4, 8, 8, 3), np.uint8)
    label = jnp.zeros((4, 0))
    draws = training.draw_discriminator_step(config, state.key, 0, 4, stage=1)
    after, metrics = jax.jit(
        lambda state: training.discriminator_step(config, state, reals, label, draws, stage=1, lr=0.01)
    )(state)
    assert metrics['d_skipped'] == 0 and not tiny.trees_equal(after.d_params, state.d_params)
    draws = training.draw_generator_step(config, state.key, 0, 4, stage=1)
    after, metrics = jax.jit(lambda state: training.generator_step(config, state, label, draws, stage=1, lr=0.01))(
        state
    )
    assert metrics['g_skipped'] == 0
    moved = jax.tree.map(lambda before, after: bool(jnp.any(before != after)), state.g_params, after.g_params)
    assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize('fields', [{'use_pixel_norm': True}, {'use_styles': False}, {'use_instance_norm': False}])
def test_layers_that_their_code_does_not_have_are_refused(fields):
    with pytest.raises(UserError, match="architecture='rosinality': its layers have styles"):
        GeneratorConfig(architecture='rosinality', **fields)


def test_their_discriminator_doubles_features_in_the_first_convolution():
    config = DiscriminatorConfig(ImageConfig(32), architecture='rosinality', fmap_base=64, fmap_max=32)
    block = tiny.discriminator(config).params['32x32']
    assert block['conv0']['weight'].shape == (3, 3, 4, 8) and block['conv1_down']['weight'].shape == (3, 3, 8, 8)
