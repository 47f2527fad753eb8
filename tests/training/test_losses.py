"""The losses against their formulas, and their penalties against full-size pixels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.config import LossConfig
from stylegan_jax.networks import ops
from stylegan_jax.training import discriminator_loss, generator_loss

SHAPE = (4, 4, 4, 3)
WEIGHTS = tiny.normal(*SHAPE[1:], seed=7)
REALS, FAKES = tiny.normal(*SHAPE), tiny.normal(*SHAPE, seed=1)
FACTORS = jnp.array([0.0, 0.3, 0.8, 1.0]).reshape(4, 1, 1, 1)


def discriminate(images):
    """A discriminator: not linear, and samples see one another as they do in the minibatch statistics."""
    features = jnp.sin(images * WEIGHTS + 0.5)
    return jnp.sum(features, axis=(1, 2, 3)) * (1 + jnp.var(features))


def full_size_gradients(images, shrink):
    """Gradients at literally repeated pixels, as the official code takes them."""

    def discriminate_full_size(pixels):
        for _ in range(int(np.log2(shrink))):
            pixels = ops.downscale(pixels)
        return jnp.sum(discriminate(pixels))

    return jax.grad(discriminate_full_size)(jnp.repeat(jnp.repeat(images, shrink, axis=1), shrink, axis=2))


def squared_norms(gradients):
    return np.sum(np.square(gradients), axis=(1, 2, 3))


@pytest.mark.parametrize('shrink', [1, 2, 8])
@pytest.mark.parametrize('name, images', [('r1', REALS), ('r2', FAKES)])
def test_r1_and_r2_are_squared_gradients_of_full_size_pixels(name, images, shrink):
    config = LossConfig(**{'r1_gamma': 0, 'r2_gamma': 0, f'{name}_gamma': 6})
    loss, metrics = jax.jit(lambda a, b: discriminator_loss(config, discriminate, a, b, shrink=shrink))(REALS, FAKES)
    expected = squared_norms(full_size_gradients(images, shrink))
    np.testing.assert_allclose(metrics[f'{name}_penalty'], expected, rtol=1e-4)
    plain, _ = discriminator_loss(LossConfig(r1_gamma=0), discriminate, REALS, FAKES, shrink=shrink)
    np.testing.assert_allclose(loss, plain + 3 * expected, rtol=1e-4)


def test_r1_falls_with_the_square_of_shrink():
    full, small = (
        discriminator_loss(LossConfig(), discriminate, REALS, FAKES, shrink=shrink)[1]['r1_penalty']
        for shrink in (1, 128)
    )
    np.testing.assert_allclose(full, small * 128**2, rtol=1e-5)


def test_logistic_losses():
    config = LossConfig(r1_gamma=0)
    real_logits, fake_logits = (np.asarray(discriminate(images), np.float64) for images in (REALS, FAKES))
    loss, metrics = discriminator_loss(config, discriminate, REALS, FAKES, shrink=2)
    expected = np.log1p(np.exp(fake_logits)) + np.log1p(np.exp(-real_logits))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(generator_loss(config, fake_logits), np.log1p(np.exp(-fake_logits)), rtol=1e-5)
    assert set(metrics) == {'real_logits', 'fake_logits'}
    np.testing.assert_allclose(metrics['real_logits'], real_logits, rtol=1e-5)
    np.testing.assert_allclose(metrics['fake_logits'], fake_logits, rtol=1e-5)


def test_the_generators_logistic_loss_does_not_saturate():
    gradient = jax.grad(lambda logit: generator_loss(LossConfig(), logit))
    assert gradient(-100.0) == -1 and gradient(100.0) == 0


@pytest.mark.parametrize('shrink', [1, 2, 8])
@pytest.mark.parametrize('target', [1.0, 750.0])
def test_wgan_gp_penalises_norms_of_full_size_gradients(shrink, target):
    config = LossConfig('wgan_gp', wgan_lambda=7, wgan_target=target, wgan_epsilon=0.01)
    loss_fn = functools.partial(discriminator_loss, config, discriminate, shrink=shrink, gp_factors=FACTORS)
    loss, metrics = jax.jit(loss_fn)(REALS, FAKES)
    norms = np.sqrt(squared_norms(full_size_gradients(REALS * (1 - FACTORS) + FAKES * FACTORS, shrink)))
    real_logits, fake_logits = discriminate(REALS), discriminate(FAKES)
    np.testing.assert_allclose(metrics['mixed_norms'], norms, rtol=1e-4)
    penalty, drift = 7 / target**2 * (norms - target) ** 2, 0.01 * real_logits**2
    np.testing.assert_allclose(loss, fake_logits - real_logits + penalty + drift, rtol=1e-3)
    np.testing.assert_array_equal(generator_loss(config, fake_logits), -fake_logits)


def test_penalties_have_gradients(float64):
    """The derivative of a penalty, which training follows, against differences."""
    images = jnp.asarray(REALS, float)

    def penalty(scale):
        config = LossConfig(r1_gamma=2)
        return jnp.sum(discriminator_loss(config, lambda x: discriminate(x * scale), images, images, shrink=2)[0])

    difference = (penalty(1 + 1e-5) - penalty(1 - 1e-5)) / 2e-5
    assert jax.grad(penalty)(1.0) == pytest.approx(float(difference), rel=1e-6)
