"""VGG16: its activations against torchvision's, the features of its dense layers, and random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import feature_reference
import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks import vgg
from stylegan_jax.feature_networks.resizing import resize
from stylegan_jax.feature_networks.vgg import VGG16

FACTS = metric_reference.numbers('lpips')


def trunk_shapes():
    return {name: shape for name, shape in vgg.array_shapes().items() if name.startswith('features.')}


@pytest.fixture(scope='module')
def trunk():
    return feature_reference.rule_arrays(trunk_shapes(), gain=1.7)


def test_names_and_shapes_are_those_of_torchvision():
    assert {name: list(shape) for name, shape in vgg.array_shapes().items()} == FACTS['vgg16_shapes']


def test_weights_follow_the_rule(trunk):
    assert {name: feature_reference.crc(trunk[name]) for name in FACTS['crc32']} == FACTS['crc32']


def test_taps(trunk):
    """Means over pixels, of the first image."""
    reference = metric_reference.arrays('lpips')
    seed, size, _ = reference['pair_seed_size_kind'][0].tolist()
    image = feature_reference.rule_image(seed, size, size)
    network = VGG16.from_arrays(trunk, where='rule')
    found = jax.jit(VGG16.taps)(network, vgg.normalised(np.float32(image)[None] / 127.5 - 1))
    for i, tap in enumerate(found):
        np.testing.assert_allclose(tap.mean((0, 1, 2)), reference[f'relu_channel_mean_{i}'], rtol=1e-4, atol=1e-5)


def test_dense_layers_take_pixels_in_the_order_of_pytorch(trunk):
    """With weights that pick single numbers: channel c, row y and column x are number (c * 7 + y) * 7 + x."""
    picked = np.random.default_rng(0).integers((512, 7, 7), size=(4096, 3))
    numbers = (picked[:, 0] * 7 + picked[:, 1]) * 7 + picked[:, 2]
    first, second = np.zeros((4096, 25088), np.float32), np.zeros((4096, 4096), np.float32)
    first[np.arange(4096), numbers] = 1
    order = np.random.default_rng(1).permutation(4096)
    second[np.arange(4096), order] = 1
    shift = np.linspace(-1, 1, 4096, dtype=np.float32)
    head = {
        'classifier.0.weight': first,
        'classifier.0.bias': shift,
        'classifier.3.weight': second,
        'classifier.3.bias': -shift,
        'classifier.6.weight': np.zeros((1000, 4096), np.float32),
        'classifier.6.bias': np.zeros(1000, np.float32),
    }
    network = VGG16.from_arrays(trunk | head, where='rule')
    image = feature_reference.rule_image(3, 60, 90)

    @jax.jit
    def both(network, image):
        resized = resize(image, 224, 'legacy')
        return network.features(image), network.taps(vgg.normalised(resized / 127.5 - 1))[-1]

    found, last = both(network, image[None])

    pooled = np.asarray(last).reshape(7, 2, 7, 2, 512).max((1, 3))
    inner = np.maximum(pooled[picked[:, 1], picked[:, 2], picked[:, 0]] + shift, 0)
    np.testing.assert_allclose(found[0], np.maximum(inner[order] - shift, 0), rtol=1e-5, atol=1e-5)


def test_colours_are_those_of_torchvision():
    """ImageNet's mean and spread, for images in 0..1."""
    x = np.random.default_rng(0).uniform(size=(1, 4, 4, 3))
    expected = (x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(vgg.normalised(np.float32(2 * x - 1)), expected, rtol=1e-5, atol=1e-6)


def test_a_trunk_has_no_features(trunk):
    network = VGG16.from_arrays(trunk, where='rule')
    with pytest.raises(UserError, match='vgg16 has no dense layers'):
        network.features(np.zeros((1, 8, 8, 3), np.uint8))


def test_half_a_head_is_refused(trunk):
    with pytest.raises(UserError, match='file.pth: lacks classifier.0.weight, classifier.3.bias'):
        VGG16.from_arrays(trunk | {'classifier.0.bias': np.zeros(4096, np.float32)}, where='file.pth')


def test_random_weights_say_so_and_keep_activations_alive():
    arrays = vgg.random_arrays(3, trunk_only=True)
    assert arrays.keys() == trunk_shapes().keys()
    network = VGG16.from_arrays(arrays, where='random', name=vgg.random_name(3))
    assert network.name == 'vgg16-random-3'
    assert network.digest != VGG16.from_arrays(vgg.random_arrays(4, trunk_only=True), where='random').digest
    image = feature_reference.rule_image(1, 32, 32)
    taps = jax.jit(VGG16.taps)(network, vgg.normalised(np.float32(image)[None] / 127.5 - 1))
    for tap in taps:
        assert 0.1 < jnp.sqrt(jnp.mean(tap**2)) < 10
