"""Samples of metrics: functions of the seed and of their number, whatever the batch, the devices and the start."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.config import DataConfig, ImageConfig
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.data.pipeline import random_labels
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation import metric_samples
from stylegan_jax.evaluation.metric_samples import Fakes, Reals, Steps
from stylegan_jax.metrics import path_length
from stylegan_jax.sampling.latents import draw_keys
from stylegan_jax.sampling.seed_labels import class_labels

IMAGE = ImageConfig(8)
CONFIG = tiny.generator_config(image=IMAGE)
DEVICES = tuple(jax.devices())


@pytest.fixture(scope='module')
def dataset():
    return open_dataset(DataConfig(source='toy_faces', count=10), IMAGE)


def first(batches, count):
    """The first images of batches."""
    images = []
    for batch in batches:
        images.extend(np.asarray(batch))
        if len(images) >= count:
            return np.stack(images[:count])
    return np.stack(images)


def fakes(config=CONFIG, network=None, **options):
    return Fakes(
        network or tiny.generator(config),
        'digest',
        **{
            'dataset': None,
            'lod': 0.0,
            'psi': 1.0,
            'seed': 3,
            'batch': 4,
            'devices': DEVICES[:1],
            'precision': 'float32',
        }
        | options,
    )


def reals(dataset, **options):
    return Reals(dataset, **{'mirror': False, 'seed': 0, 'batch': 4} | options)


# Real images.


def test_real_images_are_those_of_the_data_set_in_order(dataset):
    images = dataset.images(np.arange(10), 1)
    batches = list(reals(dataset).batches(0))
    assert [len(batch) for batch in batches] == [4, 4, 4]
    np.testing.assert_array_equal(np.concatenate(batches)[:10], images)
    np.testing.assert_array_equal(np.concatenate(batches)[10:], images[[9, 9]])
    np.testing.assert_array_equal(first(reals(dataset).batches(3), 7), images[3:])


def test_mirrored_images_are_half_of_them_whatever_the_batch(dataset):
    images = dataset.images(np.arange(10), 1)
    mirrored = first(reals(dataset, mirror=True).batches(0), 10)
    is_mirrored = [np.array_equal(a, b[:, ::-1]) and not np.array_equal(a, b) for a, b in zip(mirrored, images)]
    assert 1 < sum(is_mirrored) < 9
    for real, image, flag in zip(mirrored, images, is_mirrored):
        np.testing.assert_array_equal(real, image[:, ::-1] if flag else image)
    np.testing.assert_array_equal(first(reals(dataset, mirror=True, batch=3).batches(0), 10), mirrored)
    assert not np.array_equal(first(reals(dataset, mirror=True, seed=1).batches(0), 10), mirrored)


# Generated images.


def test_images_depend_on_their_number_alone():
    images = first(fakes().batches(0), 9).astype(int)
    for other in (fakes(batch=3), fakes(batch=16, devices=DEVICES)):
        np.testing.assert_allclose(first(other.batches(0), 9), images, atol=1)
    np.testing.assert_allclose(first(fakes().batches(5), 4), images[5:], atol=1)
    assert np.abs(first(fakes(seed=4).batches(0), 9) - images).max() > 5
    assert np.abs(images[0] - images[1]).max() > 5


def test_images_are_those_of_the_generator_with_fresh_noise():
    some = fakes()
    numbers, z, label = next(some.latents(0))
    assert numbers.tolist() == [0, 1, 2, 3] and label.shape == (4, 0)
    key = jax.random.fold_in(jax.random.key(3), 1)
    generator = tiny.generator(CONFIG)
    for number in range(2):
        image = generator(z[number : number + 1], psi=1, noise=jax.random.fold_in(key, number))[0]
        expected = np.clip(np.floor(np.asarray(image) * 127.5 + 128), 0, 255)
        np.testing.assert_allclose(next(some.batches(0))[number], expected, atol=1)


def test_truncation_is_said_and_done():
    truncated = fakes(psi=0.2)
    assert truncated.identity['psi'] == 0.2
    assert np.abs(first(truncated.batches(0), 4).astype(int) - first(fakes().batches(0), 4)).max() > 5


def test_lower_levels_of_detail_are_enlarged_by_repeating_pixels():
    images = first(fakes(lod=1.0).batches(0), 4)
    assert images.shape == (4, 8, 8, 3)
    np.testing.assert_array_equal(images, images[:, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2))


def test_labels_are_drawn_from_the_data_set():
    image = ImageConfig(8, label_dim=16)
    config = tiny.generator_config(image=image)
    faces = open_dataset(DataConfig(source='toy_faces', count=10), image)
    some = fakes(config, dataset=faces)
    labels = [label for _, _, label in itertools.islice(some.latents(0), 3)]
    rows = {row.tobytes() for row in faces.labels}
    assert all(row.tobytes() in rows for row in np.concatenate(labels).astype(np.float32))
    np.testing.assert_array_equal(next(some.latents(4))[2], labels[1])
    assert next(some.batches(0)).shape == (4, 8, 8, 3)
    with pytest.raises(UserError, match='this network has labels of 16 values, .*name the one'):
        fakes(config)


@pytest.mark.parametrize('letter', 'ABCD')
def test_networks_without_styles_or_noise(letter):
    config = tiny.generator_config(letter, image=IMAGE)
    assert next(fakes(config).batches(0)).shape == (4, 8, 8, 3)


def test_images_that_are_not_finite_are_refused():
    network = tiny.generator(CONFIG)
    broken = jax.tree.map(lambda x: x * jnp.nan, network)
    with pytest.raises(UserError, match=r'not finite \(sample 0 is the first\); its weights are damaged'):
        next(fakes(network=broken).batches(0))


# Steps along paths.


class PixelDistance:
    """Squared distance of pixels, in the place of LPIPS."""

    name, digest = 'pixels', 'none'

    def distance(self, a, b):
        return jnp.mean((a - b) ** 2, axis=(1, 2, 3))


jax.tree_util.register_pytree_node(PixelDistance, lambda _: ((), None), lambda *_: PixelDistance())


def steps(config=CONFIG, **options):
    return Steps(
        tiny.generator(config),
        'digest',
        PixelDistance(),
        **{'space': 'w', 'ends': False, 'crop': False, 'lod': 0.0, 'seed': 3, 'batch': 4, 'devices': DEVICES[:1]}
        | options,
    )


def distances(some, count=9, start=0):
    return first((out['distances'] for out in some.distances(start)), count)[:, 0]


@pytest.mark.parametrize('space', ['z', 'w'])
def test_distances_depend_on_their_number_alone(space):
    expected = distances(steps(space=space))
    # A step is a ten-thousandth, so rounding is a thousandth of it, and of a large one's more than of a small one's.
    close = functools.partial(np.testing.assert_allclose, rtol=0.02, atol=expected.max() / 200)
    close(distances(steps(space=space, batch=8, devices=DEVICES)), expected)
    close(distances(steps(space=space), 4, start=5), expected[5:])
    assert len(set(expected.tolist())) == 9


def test_spaces_and_places_differ():
    kinds = [distances(steps(space=space, ends=ends)) for space in 'zw' for ends in (False, True)]
    for one, other in itertools.combinations(kinds, 2):
        assert np.abs(one / other - 1).max() > 0.05


def test_distances_are_those_of_the_definition():
    """The generator's own methods; ends of paths, where t is 0."""
    generator = tiny.generator(CONFIG)
    keys = [jax.random.fold_in(jax.random.key(3), 2)] * 2
    z = [jax.random.normal(jax.random.fold_in(keys[i], i), (1, 6)) for i in range(2)]
    w = [generator.map(one) for one in z]
    with jax.default_matmul_precision('highest'):
        ws = [jnp.repeat((w[0] + (w[1] - w[0]) * t)[:, None], CONFIG.num_ws, axis=1) for t in (0, path_length.EPSILON)]
        noise = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 4), 0)
        a, b = (generator.synthesize(one, noise=noise) * 127.5 for one in ws)
    expected = float(jnp.mean((a - b) ** 2)) / path_length.EPSILON**2
    assert distances(steps(ends=True), 1)[0] == pytest.approx(expected, rel=0.02)


def test_progressive_gan_has_no_w():
    config = tiny.generator_config('A', image=IMAGE)
    assert np.all(distances(steps(config, space='z'), 4) > 0)
    with pytest.raises(UserError, match='ppl_w: a Progressive GAN generator has no intermediate latents'):
        steps(config, space='w')


# Classes.

CLASSES = tiny.generator_config(image=ImageConfig(8, label_dim=3))


def expected_distance(label):
    """The distance of the first path, from the generator's own methods; both ends have the label."""
    generator = tiny.generator(CLASSES)
    key = jax.random.fold_in(jax.random.key(3), 2)
    z = [jax.random.normal(jax.random.fold_in(key, end), (1, 6)) for end in range(2)]
    w = [generator.map(one, np.float32([label])) for one in z]
    with jax.default_matmul_precision('highest'):
        ws = [jnp.repeat((w[0] + (w[1] - w[0]) * t)[:, None], CLASSES.num_ws, axis=1) for t in (0, path_length.EPSILON)]
        noise = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 4), 0)
        a, b = (generator.synthesize(one, noise=noise) * 127.5 for one in ws)
    return float(jnp.mean((a - b) ** 2)) / path_length.EPSILON**2


def test_paths_have_classes_in_turn_or_the_one_that_is_asked_for():
    generator = tiny.generator(CLASSES)
    in_turn = steps(CLASSES, ends=True)
    assert distances(in_turn, 1)[0] == pytest.approx(expected_distance([1, 0, 0]), rel=0.02)
    one = steps(CLASSES, ends=True, labels=class_labels(generator, [2]))
    assert distances(one, 1)[0] == pytest.approx(expected_distance([0, 0, 1]), rel=0.02)
    assert one.identity['labels'] != in_turn.identity['labels'] and 'class 2' in one.identity['labels']
    assert 'labels' not in steps().identity


def test_paths_have_labels_of_the_data_set_where_there_is_one():
    image = ImageConfig(8, label_dim=16)
    config, faces = tiny.generator_config(image=image), open_dataset(DataConfig(source='toy_faces', count=10), image)
    some = steps(config, dataset=faces)
    assert some.identity['labels'] == faces.signature
    np.testing.assert_array_equal(some._labels(np.arange(4, 8)), random_labels(faces, 3, 4, 4))


def test_images_of_one_class_need_no_data_set():
    some = fakes(CLASSES, labels=class_labels(tiny.generator(CLASSES), [2]))
    np.testing.assert_array_equal(next(some.latents(5))[2], np.eye(3)[[2] * 4])
    assert next(some.batches(0)).shape == (4, 8, 8, 3)


def test_truncation_of_one_class_goes_to_its_own_average_as_everywhere():
    generator = tiny.generator(CLASSES)
    labels = class_labels(generator, [2])
    own = fakes(CLASSES, generator, labels=labels, psi=0.0)
    images = next(own.batches(0))
    sampler = own._sampler
    drawn = sampler(
        np.zeros((4, generator.z_dim), np.float32),
        np.eye(3, dtype=np.float32)[[2] * 4],
        draw_keys(own._key(metric_samples._NOISE), np.arange(4)),
        labels.centers(range(4)),
    )
    np.testing.assert_array_equal(images, drawn)
    of_all = fakes(CLASSES, generator, labels=class_labels(generator, [2], own_average=False), psi=0.0)
    assert (np.asarray(next(of_all.batches(0))) != images).any()
    assert own.identity != of_all.identity
    full = [fakes(CLASSES, generator, labels=class_labels(generator, [2], each)).identity for each in (True, False)]
    assert full[0] == full[1]
