"""Training classifiers: which images, the loss, that it falls, and that it is the same every time."""

import jax
import numpy as np
import pytest

import tiny
from stylegan_jax import UserError
from stylegan_jax.config import DataConfig, ImageConfig
from stylegan_jax.config.network import ClassifierConfig
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.feature_networks import classifier_training
from stylegan_jax.feature_networks.classifier import Classifier
from stylegan_jax.feature_networks.classifier_training import Options, check_labels, classification_loss, split, train

IMAGE = ImageConfig(8, label_dim=len(toy_faces.ATTRIBUTES))
CONFIG = ClassifierConfig(tiny.discriminator_config(image=IMAGE, mbstd_group_size=1), toy_faces.ATTRIBUTES)
OPTIONS = Options(kimg=0.96, batch=32, lr=0.03)


@pytest.fixture(scope='module')
def faces():
    return open_dataset(DataConfig('toy_faces', count=64), IMAGE)


@pytest.fixture(scope='module')
def trained(faces):
    return train(faces, np.arange(64), CONFIG, OPTIONS, title=None)


def test_the_loss_falls(trained):
    _, losses = trained
    assert len(losses) == 30 and np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_the_seed_decides_everything(faces, trained):
    assert tiny.trees_equal(train(faces, np.arange(64), CONFIG, OPTIONS, title=None), trained)
    other = train(faces, np.arange(64), CONFIG, Options(kimg=0.96, batch=32, lr=0.03, seed=1), title=None)
    assert not tiny.trees_equal(other, trained)


def test_only_the_images_given_are_learned_from(faces, trained):
    blind = open_dataset(DataConfig('toy_faces', count=64), IMAGE)
    blind.prepare()
    blind._images._faces.pixels[32:], blind.labels[32:] = 0, np.nan
    losses = train(blind, np.arange(32), CONFIG, OPTIONS, title=None)[1]
    assert np.isfinite(losses).all() and not np.array_equal(losses, trained[1])


def test_mirrored_images_are_learned_from_where_asked_for(faces, trained):
    options = Options(kimg=0.96, batch=32, lr=0.03, mirror=True)
    assert not tiny.trees_equal(train(faces, np.arange(64), CONFIG, options, title=None), trained)
    pair = open_dataset(DataConfig('toy_faces', count=64), IMAGE)
    pair.prepare()
    pixels = pair._images._faces.pixels
    pixels[:] = pixels // 2 + pixels[:, :, ::-1] // 2  # symmetric
    assert tiny.trees_equal(
        *(train(pair, np.arange(64), CONFIG, Options(0.096, 32, mirror=mirror), title=None) for mirror in (False, True))
    )


def test_a_loss_that_is_not_finite_ends_the_training(faces):
    with pytest.raises(UserError, match='the loss is .* give a lower lr'):
        train(faces, np.arange(64), CONFIG, Options(kimg=0.32, batch=32, lr=1e30), title=None)


@pytest.mark.parametrize('options', [{'kimg': 0}, {'kimg': np.inf}, {'lr': -1}, {'lr': np.nan}, {'batch': 0}])
def test_options_are_checked(options):
    with pytest.raises(UserError, match=f'{next(iter(options))}='):
        Options(**options)


@pytest.mark.parametrize('kimg, steps', [(0.064, 2), (0.065, 3), (100, 3125)])
def test_every_image_asked_for_is_shown(kimg, steps):
    assert Options(kimg=kimg, batch=32).steps == steps


def test_logits_of_any_number_of_images(faces, trained):
    classifier = Classifier.from_params(CONFIG, trained[0], name='x')
    rows = np.array([5, 3, 60, 61, 7])
    expected = classifier.logits(faces.images(rows, 1))
    np.testing.assert_allclose(
        classifier_training.logits_of(faces, rows, classifier, batch=2), expected, rtol=1e-5, atol=1e-5
    )


# The loss.


@pytest.mark.parametrize('one_hot', [False, True])
def test_loss_is_minus_the_log_of_the_likelihood(one_hot):
    logits = np.array([[0.5, -1.0, 2.0], [3.0, 0.1, -0.2]])
    labels = np.array([[0, 1, 0], [1, 0, 0]] if one_hot else [[1, 1, 0], [0, 0, 0]], np.float32)
    if one_hot:
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected = -np.log(probabilities[[0, 1], [1, 0]]).mean()
    else:
        probabilities = 1 / (1 + np.exp(-logits))
        expected = -np.log(np.where(labels > 0, probabilities, 1 - probabilities)).mean()
    assert classification_loss(logits, labels, one_hot=one_hot) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('one_hot', [False, True])
def test_loss_of_large_logits_is_finite(one_hot):
    logits, labels = np.array([[-300.0, 300.0]]), np.array([[1.0, 0.0]])
    loss, gradient = jax.value_and_grad(classification_loss)(logits, labels, one_hot=one_hot)
    assert loss == pytest.approx(600 if one_hot else 300) and np.isfinite(gradient).all()


# Which images, and which labels.


def test_split_by_chance():
    learn, held = split(50, 5, seed=3, in_order=False)
    assert sorted([*learn, *held]) == list(range(50)) and len(held) == 5
    assert set(held) != set(split(50, 5, seed=4, in_order=False)[1]) != set(range(45, 50))
    np.testing.assert_array_equal(held, split(50, 5, seed=3, in_order=False)[1])


def test_split_in_order():
    learn, held = split(50, 5, seed=3, in_order=True)
    np.testing.assert_array_equal(learn, np.arange(45))
    np.testing.assert_array_equal(held, np.arange(45, 50))


def kind_of(labels, names=('a', 'b', 'c')):
    labels = np.asarray(labels, np.float32)
    return check_labels(labels, names, split(len(labels), len(labels) // 10, seed=0, in_order=True), 'here')


def test_classes_and_attributes_are_told_apart():
    classes = np.eye(3)[np.arange(60) % 3]
    assert kind_of(classes) is True
    classes[0] = 1, 1, 0
    assert kind_of(classes) is False
    assert kind_of((np.arange(60) % 2)[:, None], names=('a',)) is False


@pytest.mark.parametrize(
    'change, says',
    [
        (lambda labels: labels[:, :0], 'the images have no labels; prepare them'),
        (lambda labels: np.where(np.arange(3) == 1, np.nan, labels), 'not finite'),
        (lambda labels: labels * 0.5, 'a label is 0.5'),
        (lambda labels: labels[:25], "of 23 images to learn from, 8 have 'a' and 15 do not; at least 10 of each"),
        (lambda labels: labels * [1, 1, 0], "54 images to learn from, 0 have 'c' and 54 do not"),
        (lambda labels: np.maximum(labels, [0, 1, 0]), "54 images to learn from, 54 have 'b' and 0 do not"),
        (lambda labels: labels * (np.arange(60) < 54)[:, None], "6 images to be tested on, 0 have 'a' and 6 do not"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(change, says):
    with pytest.raises(UserError, match=says) as info:
        kind_of(change(np.eye(3)[np.arange(60) % 3]))
    assert str(info.value).startswith('here: ')
