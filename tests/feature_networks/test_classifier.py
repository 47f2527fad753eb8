"""Classifiers: what they compute, what they are loaded from, and the one that ships."""

import dataclasses
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax import UserError, load
from stylegan_jax.config import ImageConfig
from stylegan_jax.config.network import ClassifierConfig
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.feature_networks import classifier as classifier_lib
from stylegan_jax.feature_networks.classifier import Classifier, init_params
from stylegan_jax.metrics.label_accuracy import accuracy_by_label
from stylegan_jax.networks import file as network_file
from stylegan_jax.networks.discriminator import Discriminator

NAMES = ('hat', 'beard', 'glasses')
CONFIG = ClassifierConfig(tiny.discriminator_config(image=ImageConfig(16, label_dim=3), mbstd_group_size=1), NAMES)


def make(config=CONFIG, name='some', seed=1):
    return Classifier.from_params(config, tiny.filled(init_params(jax.random.key(0), config), seed), name=name)


def pixels(*shape):
    """Noise, of another brightness for each image and channel."""
    random = np.random.default_rng(0)
    brightness = random.random((shape[0], *(1 for _ in shape[2:]), shape[-1]))
    return (random.integers(0, 256, shape) * brightness).astype(np.uint8)


@pytest.fixture
def classifier():
    return make()


@pytest.fixture
def path(tmp_path, classifier):
    classifier.save(tmp_path / 'some.npz')
    return tmp_path / 'some.npz'


def as_discriminator(classifier):
    """The discriminator that scores full-size images as the classifier does; below that it has weights of its own."""
    D = tiny.discriminator(classifier.config.network)
    top = f'{D.resolution}x{D.resolution}'
    params = {stage: block | classifier.params[stage] for stage, block in D.params.items()}
    assert 'from_rgb' in params['4x4'] and 'from_rgb' not in classifier.params['4x4']
    assert params[top].keys() == classifier.params[top].keys()
    return Discriminator(D.config, params)


# What it computes.


def test_what_it_is(classifier):
    assert (classifier.name, classifier.label_names, classifier.resolution) == ('some', NAMES, 16)
    assert re.fullmatch('[0-9a-f]{16}', classifier.digest)


def test_logits_are_the_scores_of_the_discriminator(classifier):
    images = pixels(4, 16, 16, 3)
    D = as_discriminator(classifier)
    expected = [D(images / 127.5 - 1, np.full(4, k)) for k in range(3)]
    assert np.std(expected, axis=1).min() > 0.01
    np.testing.assert_allclose(classifier.logits(images), np.stack(expected, axis=1), rtol=1e-5, atol=1e-5)


def test_logits_come_from_features(classifier):
    """A dense layer with equalized learning rate lies between them, and the features are rectified."""
    images = pixels(4, 16, 16, 3)
    features, logits = classifier.features(images), classifier.logits(images)
    dense = classifier.params['4x4']['dense1']
    assert features.shape == (4, 8) and features.dtype == logits.dtype == np.float32
    np.testing.assert_allclose(logits, features @ dense['weight'] / np.sqrt(8) + dense['bias'], rtol=1e-5, atol=1e-5)
    layer = classifier.params['4x4']['dense0']
    negated = dataclasses.replace(
        classifier,
        params=classifier.params
        | {'4x4': classifier.params['4x4'] | {'dense0': {name: -array for name, array in layer.items()}}},
    )
    a, b = np.asarray(features), np.asarray(negated.features(images))
    np.testing.assert_allclose(np.where(a > 0, -0.2 * a, -5 * a), b, rtol=1e-4, atol=1e-5)  # slope 0.2 below 0


@pytest.mark.parametrize('factor', [2, 8])
def test_larger_images_are_reduced_by_exact_means(classifier, factor):
    images = pixels(4, 16 * factor, 16 * factor, 3)
    means = images.reshape(4, 16, factor, 16, factor, 3).mean(axis=(2, 4))
    D = as_discriminator(classifier)
    np.testing.assert_allclose(
        classifier.logits(images)[:, 1], D(means / 127.5 - 1, np.ones(4, int)), rtol=1e-4, atol=1e-4
    )
    repeated = np.repeat(np.repeat(pixels(2, 16, 16, 3), factor, axis=1), factor, axis=2)
    np.testing.assert_array_equal(classifier.features(repeated), classifier.features(pixels(2, 16, 16, 3)))


def test_images_of_other_shapes_than_squares():
    config = ClassifierConfig(dataclasses.replace(CONFIG.network, image=ImageConfig(16, (3, 4), 1, 3)), NAMES)
    images = pixels(2, 24, 32, 1)
    assert make(config).logits(images).shape == (2, 3)
    with pytest.raises(UserError, match='takes uint8'):
        make(config).logits(pixels(2, 32, 32, 1))


@pytest.mark.parametrize(
    'images',
    [
        pixels(2, 8, 8, 3),
        pixels(2, 48, 48, 3),
        pixels(2, 16, 32, 3),
        pixels(2, 16, 16, 1),
        pixels(16, 16, 3),
        pixels(2, 16, 16, 3) / 255,
        pixels(2, 16, 16, 3).astype(np.int32),
    ],
    ids=lambda images: f'{images.dtype} {images.shape}',
)
def test_other_images_are_refused(classifier, images):
    with pytest.raises(UserError, match=r'takes uint8 \[N, 16, 16, 3\]') as info:
        classifier.features(images)
    assert str(list(images.shape)) in str(info.value)


def test_an_image_is_judged_for_itself(classifier):
    images = pixels(7, 16, 16, 3)
    together = classifier.features(images)
    apart = np.concatenate([classifier.features(images[:1]), classifier.features(images[1:])])
    np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-5)


def test_groups_of_minibatch_statistics_stand_together():
    """Old classifiers may have them: logits then depend on three neighbours, and not on the batch."""
    classifier = make(ClassifierConfig(dataclasses.replace(CONFIG.network, mbstd_group_size=4), NAMES))
    images = pixels(12, 16, 16, 3)
    together = classifier.logits(images)
    np.testing.assert_allclose(together[4:8], classifier.logits(images[4:8]), rtol=1e-5, atol=1e-5)
    assert not np.allclose(together[1:5], classifier.logits(images[1:5]), atol=1e-3)
    with pytest.raises(UserError, match='6 images.*multiple'):
        classifier.logits(images[:6])


def test_is_a_pytree(classifier):
    images = pixels(3, 32, 32, 3)
    logits, features = jax.jit(lambda c, x: (c.logits(x), c.features(x)))(classifier, images)
    np.testing.assert_allclose(logits, classifier.logits(images), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(features, classifier.features(images), rtol=1e-5, atol=1e-5)
    again = jax.tree.map(lambda x: x + 0, classifier)
    assert isinstance(again, Classifier) and (again.config, again.digest) == (CONFIG, classifier.digest)


def test_products_are_exact(classifier):
    """Graphics chips would round the factors of float32 products by themselves."""
    text = jax.jit(lambda x: classifier.logits(x)).lower(pixels(2, 16, 16, 3)).as_text()
    operations = re.findall(r'stablehlo\.(?:dot_general|convolution).*', text)
    assert len(operations) > 5
    assert all('HIGHEST' in operation and 'DEFAULT' not in operation for operation in operations)


# Files.


def test_loading_gives_back_what_was_saved(path, classifier):
    again = Classifier.load(path)
    assert again.config == classifier.config and hash(again.config) == hash(classifier.config)
    assert (again.name, again.digest) == ('some', classifier.digest)
    assert tiny.trees_equal(again, classifier)
    np.testing.assert_array_equal(again.logits(pixels(2, 16, 16, 3)), classifier.logits(pixels(2, 16, 16, 3)))


def test_the_file_is_the_same_every_time(path, classifier, tmp_path):
    classifier.save(tmp_path / 'other.npz')
    assert (tmp_path / 'other.npz').read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    'content, says',
    [
        (None, "No such file.*or 'toy_faces'"),
        (b'', 'a file that is empty'),
        (b'\x80\x02', 'not a complete pickle'),
        (b'PK\x03\x04 and so on', 'damaged'),
    ],
)
def test_other_files_are_refused(tmp_path, content, says):
    path = tmp_path / 'other.npz'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=says) as info:
        Classifier.load(path)
    assert str(info.value).startswith(f'{path}: ') and '\n' not in str(info.value)


def test_other_networks_are_refused(tmp_path):
    tiny.discriminator(tiny.discriminator_config()).save(tmp_path / 'D.npz')
    with pytest.raises(UserError, match='holds a discriminator, and a classifier was asked for'):
        Classifier.load(tmp_path / 'D.npz')


@pytest.mark.parametrize('which', ['ema', 'G', 'D'])
def test_a_classifier_is_not_a_network_to_draw_or_train_with(path, which):
    with pytest.raises(UserError, match=f"holds a classifier, and '{which}' was asked for"):
        load(path, which)


@pytest.mark.parametrize(
    'change, says',
    [
        (lambda arrays: arrays.pop('params/8x8/conv0/bias'), 'lacks 1 of its arrays, first params/8x8/conv0/bias'),
        (lambda arrays: arrays.update(more=np.zeros(3)), 'has 1 arrays that its settings do not explain, first more'),
        (
            lambda arrays: arrays.update({'params/8x8/conv0/bias': np.zeros(3)}),
            r'params/8x8/conv0/bias has shape \(3,\)',
        ),
    ],
)
def test_other_arrays_are_refused(path, change, says):
    _, config, arrays = network_file.read(path)
    change(arrays)
    network_file.write(path, kind='classifier', config=config, arrays=arrays)
    with pytest.raises(UserError, match=f'some.npz: .*{says}'):
        Classifier.load(path)


def test_names_must_be_as_many_as_scores():
    with pytest.raises(UserError, match='label_names.*3'):
        dataclasses.replace(CONFIG, label_names=('hat',))


# The one that ships.

SHIPPED = pathlib.Path(classifier_lib.__file__).parent / 'toy-faces-classifier'
FRESH = range(20000, 20500)  # data sets of toy faces begin with face 0; this one was made from 10000, and 1000


@pytest.fixture(scope='module')
def shipped():
    return Classifier.load('toy_faces')


@pytest.fixture(scope='module')
def provenance():
    return json.loads(SHIPPED.with_suffix('.json').read_text())


@pytest.fixture(scope='module')
def fresh_faces():
    return np.stack([toy_faces.draw(index, 32) for index in FRESH])


def test_shipped_weights_are_those_that_the_record_is_about(shipped, provenance):
    assert (shipped.name, shipped.digest) == (provenance['name'], provenance['digest'])
    assert shipped.label_names == toy_faces.ATTRIBUTES and shipped.resolution == 32
    assert json.loads(json.dumps(dataclasses.asdict(shipped.config))) == provenance['config']
    assert provenance['data']['data'] == 'toy_faces' and provenance['data']['images_learned_from'] <= 10000
    assert SHIPPED.with_suffix('.npz').stat().st_size < 2 << 20


def test_shipped_classifier_knows_faces_that_it_never_saw(shipped, provenance, fresh_faces):
    """As well as the faces that were held out, but for the chance of both (three deviations of the difference)."""
    labels = np.stack([toy_faces.attributes(index) for index in FRESH])
    seen = accuracy_by_label(shipped.logits(fresh_faces), labels, names=shipped.label_names, one_hot=False)
    held_out = provenance['data']['images_held_out']
    for entry in seen:
        expected = provenance['held_out_accuracy'][entry.name]['accuracy']
        margin = 3 * np.sqrt(max(expected * (1 - expected), 0.005) * (1 / len(FRESH) + 1 / held_out))
        assert entry.accuracy > expected - margin, (entry, expected)
    assert np.mean([entry.balanced for entry in seen]) > 0.9


def test_shipped_features_span_a_space(shipped, fresh_faces):
    """A Frechet distance needs features that are finite and that vary, in 64 to 128 dimensions."""
    features = np.asarray(shipped.features(fresh_faces))
    assert features.shape[1] in range(64, 129) and np.isfinite(features).all()
    assert features.std(axis=0).min() > 0
    values = np.linalg.eigvalsh(np.cov(features.T))
    assert np.sum(values > 1e-3 * values[-1]) > 16  # more than the attributes


def test_shipped_features_do_not_depend_on_the_batch(shipped, fresh_faces):
    together = shipped.features(fresh_faces[:100])
    apart = np.concatenate([shipped.features(fresh_faces[start : start + 25]) for start in range(0, 100, 25)])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-4)


def test_shipped_features_of_larger_faces_are_those_of_smaller_ones(shipped):
    faces = np.stack([toy_faces.draw(index, 128) for index in FRESH[:8]])
    means = jnp.rint(faces.reshape(8, 32, 4, 32, 4, 3).mean(axis=(2, 4))).astype(np.uint8)
    difference = np.abs(np.asarray(shipped.features(faces)) - np.asarray(shipped.features(means)))
    assert difference.mean() < 0.05 * np.abs(shipped.features(faces)).mean()
