"""The Inception network against the official TensorFlow flow, clean-fid and pytorch-fid, with weights by the rule."""

import functools

import jax
import numpy as np
import pytest

import feature_reference
import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks import inception
from stylegan_jax.feature_networks.inception import Inception

REFERENCE = metric_reference.arrays('inception')
FACTS = metric_reference.numbers('inception')
IMAGES = [feature_reference.rule_image(*row) for row in REFERENCE['image_seed_h_w'].tolist()]
TOLERANCE = 5e-4  # what the references' own float32 runs stay far below


@pytest.fixture(scope='module')
def weights():
    return feature_reference.rule_arrays(inception.array_shapes(), gain=1.1)


@pytest.fixture(scope='module')
def network(weights):
    return Inception.from_arrays(weights, where='rule')


@pytest.fixture(scope='module')
def activations(network):
    """Computes all stages for the five images, each resized by itself; one graph serves all."""
    compiled = jax.jit(Inception.activations)

    @functools.cache
    def compute(way):
        inputs = np.concatenate([inception.inputs(image[None], way) for image in IMAGES])
        return compiled(network, inputs)

    return compute


def test_names_and_shapes_are_those_of_the_files():
    assert {name: list(shape) for name, shape in inception.array_shapes().items()} == FACTS['shapes']


def test_weights_follow_the_rule(weights):
    assert {name: feature_reference.crc(weights[name]) for name in FACTS['crc32']} == FACTS['crc32']


@pytest.mark.parametrize('way, flow', [('legacy', 'tf1'), ('clean', 'clean'), ('half_pixel', 'pytorch')])
def test_features_and_logits(network, activations, way, flow):
    stages = activations(way)
    features = stages['AvgPool']
    assert features.shape == (5, 2048) and features.dtype == np.float32
    np.testing.assert_allclose(features, REFERENCE[f'{flow}_pool3'], rtol=0, atol=TOLERANCE)
    if flow == 'pytorch':
        return
    logits = REFERENCE[f'{flow}_logits']
    np.testing.assert_allclose(network.logits(features), logits, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(network.logits(features, biased=False), logits - network.fc_bias, rtol=0, atol=TOLERANCE)


def test_every_stage(activations):
    """Means over pixels, of the first image."""
    stages = activations('legacy')
    expected = {name.removeprefix('stage0_'): array for name, array in REFERENCE.items() if name.startswith('stage0_')}
    assert stages.keys() == expected.keys()
    for name, array in expected.items():
        found = np.asarray(stages[name][0])
        np.testing.assert_allclose(
            found.mean((0, 1)) if found.ndim == 3 else found, array, rtol=0, atol=TOLERANCE, err_msg=name
        )


def test_bfloat16_from_images_on(weights):
    """Two of these images differ by 0.3; random filters without mean make more of rounding than trained ones."""
    network = Inception.from_arrays(weights, where='rule', dtype='bfloat16')
    features = jax.jit(Inception.features, static_argnames='way')(network, IMAGES[0][None], way='legacy')
    expected = REFERENCE['tf1_pool3'][:1]
    assert features.shape == (1, 2048) and features.dtype == np.float32
    error = np.linalg.norm(features - expected) / np.linalg.norm(expected)
    assert 1e-4 < error < 0.06


def test_grey_images_count_as_colours():
    grey = IMAGES[0][None, :, :, :1]
    np.testing.assert_array_equal(inception.inputs(grey, 'legacy'), inception.inputs(grey.repeat(3, -1), 'legacy'))


def test_features_are_those_of_the_resized_image(network):
    """That they take the way that is asked for, seen in the graphs."""
    images = jax.ShapeDtypeStruct((4, 70, 50, 3), np.uint8)
    for way in ('legacy', 'clean', 'half_pixel'):
        graph = jax.make_jaxpr(lambda network, images: network.features(images, way))(network, images)
        same = jax.make_jaxpr(lambda network, images: network.activations(inception.inputs(images, way))['AvgPool'])
        assert str(graph) == str(same(network, images))


def test_counters_of_batches_are_ignored(weights, network):
    with_counters = weights | {'Conv2d_1a_3x3.bn.num_batches_tracked': np.int64(3)}
    assert Inception.from_arrays(with_counters, where='rule').digest == network.digest
    assert network.name == 'inception-2015' and len(network.digest) == 16


def test_other_weights_have_another_digest(weights, network):
    changed = weights | {'fc.bias': weights['fc.bias'] + 1}
    assert Inception.from_arrays(changed, where='rule').digest != network.digest


def test_wrong_files_are_named(weights):
    arrays = dict(weights)
    del arrays['Mixed_6c.branch7x7_2.conv.weight']
    with pytest.raises(UserError, match='file.pth: lacks Mixed_6c.branch7x7_2.conv.weight;'):
        Inception.from_arrays(arrays, where='file.pth')
    with pytest.raises(UserError, match='file.pth: has unknown arrays: AuxLogits.fc.weight;'):
        Inception.from_arrays(weights | {'AuxLogits.fc.weight': np.zeros(3)}, where='file.pth')
    with pytest.raises(UserError, match=r'fc.bias has shape \(1000,\) where the network has \(1008,\)'):
        Inception.from_arrays(weights | {'fc.bias': np.zeros(1000)}, where='file.pth')
