"""The discriminator as users hold it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax import Discriminator, ImageConfig, UserError
from stylegan_jax.networks.discriminator import discriminate

CONFIG = tiny.discriminator_config()
LABELLED = tiny.discriminator_config(image=ImageConfig(16, label_dim=3))


@pytest.fixture
def D():
    return tiny.discriminator(CONFIG)


@pytest.fixture
def images():
    return tiny.normal(4, 16, 16, 3)


def test_attributes():
    D = Discriminator(tiny.discriminator_config(image=ImageConfig(16, (3, 4), 1, 3)), {})
    assert (D.label_dim, D.resolution, D.shape) == (3, 16, (12, 16, 1))


def score(D, images, **options):
    run = functools.partial(discriminate, CONFIG, **options)
    return jax.jit(run)(D.params, images, jnp.zeros((len(images), 0)))


@pytest.mark.parametrize('lod, side', [(0, 16), (0.4, 16), (1, 8), (1.6, 8), (2, 4)])
def test_images_come_at_the_size_of_their_lod(D, lod, side):
    logits = D(tiny.normal(4, side, side, 3), lod=lod)
    assert logits.shape == (4,) and np.std(logits) > 0


def test_a_fade_starts_from_the_stage_below(D, images):
    """At weight 0 of the newest stage, images are judged as their 2x2 means are."""
    logits = score(D, images, stage=2, alpha=0.0)
    means = images.reshape(4, 8, 2, 8, 2, 3).mean((2, 4))
    np.testing.assert_allclose(logits, D(means, lod=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('shape', [(4, 8, 8, 3), (4, 16, 16, 1), (16, 16, 3), (4, 3, 16, 16)])
def test_images_of_another_shape_are_refused(unchecked_shapes, D, shape):
    with pytest.raises(ValueError, match=r'at lod 0.0 give \[N, 16, 16, 3\]'):
        D(np.zeros(shape))


def test_a_lod_that_does_not_exist_is_refused(D, images):
    with pytest.raises(UserError, match='lod=2.5'):
        D(images, lod=2.5)


def test_a_label_picks_the_score_of_its_class(images):
    D = tiny.discriminator(LABELLED)
    scores = np.stack([D(images, np.full(4, label)) for label in range(3)], axis=1)
    assert np.std(scores, axis=1).min() > 0
    np.testing.assert_array_equal(D(images, [2, 0, 1, 1]), scores[np.arange(4), [2, 0, 1, 1]])
    np.testing.assert_array_equal(D(images, np.eye(3)[[2, 0, 1, 1]]), D(images, [2, 0, 1, 1]))
    np.testing.assert_allclose(D(images, np.full((4, 3), 0.5)), scores.sum(axis=1) / 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(D(images), np.zeros(4))


@pytest.mark.parametrize('label', [[0, 1, 2], [0, 1, 2, 3], np.zeros((4, 2))])
def test_wrong_labels_are_refused(unchecked_shapes, images, label):
    with pytest.raises(ValueError, match='label|class 3'):
        tiny.discriminator(LABELLED)(images, label)


def test_progan_ignores_labels(images):
    D = tiny.discriminator(tiny.discriminator_config('A', image=ImageConfig(16, label_dim=3)))
    np.testing.assert_array_equal(D(images, [0, 1, 2, 0]), D(images))


def test_minibatch_statistics_stay_within_replicas(D):
    images = tiny.normal(8, 4, 4, 3)
    together = score(D, images, stage=0, alpha=1.0, replicas=2)
    apart = np.concatenate([D(half, lod=2) for half in np.split(np.array(images), 2)])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-5)
    assert not np.allclose(D(images, lod=2), apart, rtol=1e-3)


def test_is_a_pytree(D, images):
    np.testing.assert_allclose(jax.jit(lambda D, x: D(x))(D, images), D(images), rtol=1e-5, atol=1e-5)
    gradients = jax.jit(jax.grad(lambda D, x: jnp.sum(D(x, lod=2))))(D, images[:, :4, :4])
    assert isinstance(gradients, Discriminator) and gradients.config == CONFIG
    assert np.any(gradients.params['4x4']['dense1']['weight'])
