"""The probe that is trained along, and what it does to w."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax import training
from stylegan_jax.config import DataConfig, ImageConfig, LossConfig
from stylegan_jax.errors import UserError
from stylegan_jax.training.separation import create_probe, separation_loss, train_probe

IMAGE = ImageConfig(8, label_dim=3)


def test_the_loss_is_a_hinge_about_directions_from_the_average():
    random = np.random.default_rng(0)
    w, w_avg, weight, bias = (random.standard_normal(shape) for shape in ((4, 5), (5,), (5, 3), (3,)))
    label = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0]])
    unit = (w - w_avg) / np.linalg.norm(w - w_avg, axis=1, keepdims=True)
    hinge = np.mean(np.maximum(0, 1 - np.where(label, 1, -1) * (unit @ weight + bias)))
    expected = hinge + 0.005 * np.mean(np.sum(weight**2, axis=0))
    params = {'weight': jnp.float32(weight), 'bias': jnp.float32(bias)}
    found = separation_loss(params, jnp.float32(w), jnp.float32(w_avg), jnp.float32(label))
    assert found == pytest.approx(expected, rel=1e-5)
    larger = separation_loss(params, jnp.float32(w_avg + 3 * (w - w_avg)), jnp.float32(w_avg), jnp.float32(label))
    assert larger == pytest.approx(expected, rel=1e-5)


def test_a_probe_learns_labels_that_are_separable():
    config = tiny.run_config(image=IMAGE, loss=LossConfig(separation=0.1))
    w = tiny.normal(200, 5)
    label = jnp.float32(w @ tiny.normal(5, 3, seed=1) > 0)
    loss = functools.partial(separation_loss, w=w, w_avg=jnp.zeros(5), label=label)

    @jax.jit
    def learn(probe):
        return train_probe(config, probe, jax.grad(loss)(probe.params), 0.003, True)

    probe = create_probe(config, jnp.float32)
    assert loss(probe.params) == 1
    for _ in range(300):
        probe = learn(probe)
    right = (w / jnp.linalg.norm(w, axis=1, keepdims=True)) @ probe.params['weight'] + probe.params['bias'] > 0
    assert np.mean(right == label) > 0.95 and loss(probe.params) < 0.5
    kept = train_probe(config, probe, jax.tree.map(jnp.ones_like, probe.params), 0.1, jnp.array(False))
    assert tiny.trees_equal(kept, probe)


@pytest.mark.full
def test_training_brings_labels_apart():
    """With a large weight, the loss falls faster than with a weight that hardly moves the generator."""

    def last(weight):
        config = tiny.run_config(image=IMAGE, loss=LossConfig(separation=weight, r1_gamma=0))
        state = tiny.state(config, lod=1)
        label = jnp.eye(3)[jnp.arange(8) % 3]
        step = jax.jit(functools.partial(training.generator_step, config, stage=0, lr=0.003))
        draw = jax.jit(functools.partial(training.draw_generator_step, config, batch=8, stage=0))
        for number in range(100):
            state, metrics = step(state, label, draw(state.key, number))
        assert np.any(state.probe.params['weight'])
        return float(metrics['separation_loss'])

    assert last(100.0) < 0.8 * last(1e-6)


def test_it_takes_labels():
    with pytest.raises(UserError, match=r'loss.separation=0.1: it takes labels'):
        tiny.run_config(loss=LossConfig(separation=0.1))


def test_it_takes_labels_that_are_found():
    config = tiny.run_config(loss=LossConfig(separation=0.1), data=DataConfig(find_labels=True))
    with pytest.raises(UserError) as caught:
        tiny.state(config)
    error = caught.value
    assert (error.field, error.value, error.remedy) == ('loss.separation', 0.1, 'give 0')
    assert error.problem == 'the images have no labels (image.label_dim=0)'
