"""Labels of seeds: whose turn it is, what they are called, and the average w of each."""

import dataclasses

import numpy as np
import pytest

import tiny
from stylegan_jax.config import ImageConfig
from stylegan_jax.config.label_meaning import LabelMeaning
from stylegan_jax.errors import UserError
from stylegan_jax.sampling.seed_labels import average_w, class_labels, labels_in_turn, same_label

GENERATOR = tiny.generator(tiny.generator_config(image=ImageConfig(8, label_dim=4)))
NAMED = dataclasses.replace(GENERATOR, label_meaning=LabelMeaning(('cat', 'dog', 'owl', 'ant'), (1, 2, 3)))
PROGAN = tiny.generator(tiny.generator_config('A', image=ImageConfig(8, label_dim=4)))


def test_classes_come_in_turn_by_the_seed_alone():
    labels = labels_in_turn(GENERATOR)
    np.testing.assert_array_equal(labels([0, 5, 3, 4]), np.eye(4)[[0, 1, 3, 0]])
    np.testing.assert_array_equal(labels([2**32 - 1]), np.eye(4)[[3]])
    assert labels.listed() == 'class 0, class 1, class 2, class 3' and labels.caption(6) == 'seed 6 (class 2)'


def test_classes_without_images_have_no_turn():
    labels = labels_in_turn(NAMED)
    np.testing.assert_array_equal(labels([0, 1, 2, 3]), np.eye(4)[[1, 2, 3, 1]])
    assert labels.listed() == 'dog, owl, ant' and labels.caption(3) == 'seed 3 (dog)'


def test_labels_that_are_no_classes_are_those_of_the_first_images():
    examples = ((0, 0, 0.5, 1), (1, 1, 0, 0), (0, 2, 0, 0))
    labels = labels_in_turn(dataclasses.replace(GENERATOR, label_meaning=LabelMeaning(None, None, examples)))
    np.testing.assert_array_equal(labels([4, 2]), np.float32(examples)[[1, 2]])
    assert labels.centers([4]) is None


def test_networks_without_labels_have_the_empty_one():
    generator = tiny.generator(tiny.generator_config())
    labels = labels_in_turn(generator)
    assert labels([7, 8]).shape == (2, 0) and labels.centers([7]) is None and labels.caption(7) == 'seed 7'


@pytest.mark.parametrize('label, expected', [(2, [0, 0, 1, 0]), ([0, 1, 0.5, 0], [0, 1, 0.5, 0]), (None, [0] * 4)])
def test_one_label_is_that_of_all_seeds(label, expected):
    labels = same_label(GENERATOR, label)
    np.testing.assert_array_equal(labels([0, 9]), [expected] * 2)
    assert labels.caption(9) == 'seed 9'


def test_a_class_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match='class 4 does not exist'):
        class_labels(GENERATOR, [1, 4])


def test_the_average_w_is_that_of_the_class():
    labels = class_labels(GENERATOR, [2, 0])
    centers = labels.centers([1, 0, 3])
    z = tiny.normal(20_000, GENERATOR.z_dim, seed=5)
    for center, number in zip(centers, (0, 2, 0)):
        w = np.asarray(GENERATOR.map(z, np.full(len(z), number)))
        assert (np.abs(center - w.mean(axis=0)) < 5 * w.std(axis=0) / np.sqrt(4096)).all()
    assert np.abs(centers[0] - centers[1]).max() > 0.1 and np.array_equal(centers[0], centers[2])
    np.testing.assert_array_equal(centers[1], average_w(GENERATOR, np.float32([0, 0, 1, 0])))


def test_progressive_gan_has_no_average():
    assert class_labels(PROGAN, [0, 1]).centers([0]) is None


def test_truncation_goes_to_the_given_center():
    w, centers = tiny.normal(2, 5), tiny.normal(2, 5, seed=1)
    ws = GENERATOR.truncate(w, 0.25, 2, centers)
    expected = centers + 0.25 * (w - centers)
    np.testing.assert_allclose(ws[:, 0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ws[:, 2], w)
    np.testing.assert_allclose(GENERATOR.truncate(w, 0.0, 2, centers[0])[:, 0], np.stack([centers[0]] * 2), rtol=1e-6)
    np.testing.assert_array_equal(GENERATOR.truncate(w, 0.25, 2, GENERATOR.w_avg), GENERATOR.truncate(w, 0.25, 2))
