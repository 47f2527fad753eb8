"""LPIPS against the lpips package, with real and rule-made linear layers."""

import jax
import numpy as np
import pytest

import feature_reference
import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks import vgg
from stylegan_jax.feature_networks.lpips import LPIPS, shipped_linear_arrays

REFERENCE = metric_reference.arrays('lpips')
FACTS = metric_reference.numbers('lpips')
PAIRS = REFERENCE['pair_seed_size_kind'].tolist()
NAMES = [f'lin{i}.model.1.weight' for i in range(5)]


def pair(seed, size, kind):
    """Two images, uint8 for kinds 0 to 2 and floats in -1..1 for kinds 3 and 4."""
    a = feature_reference.rule_image(seed, size, size)
    rng = np.random.RandomState(seed + 7)
    near = np.uint8(np.clip(a + rng.randint(-8, 9, size=a.shape), 0, 255))
    scaled = np.float32(a) / np.float32(127.5) - 1
    nearer, nearest = (scaled + np.float32(step) * np.float32(rng.randn(*a.shape)) for step in (1e-3, 1e-4))
    other = feature_reference.rule_image(seed + 500, size, size)
    return [(a, other), (a, near), (a, np.roll(a, 1, axis=1)), (scaled, nearer), (scaled, nearest)][kind]


@pytest.fixture(scope='module')
def trunk():
    shapes = {name: shape for name, shape in vgg.array_shapes().items() if name.startswith('features.')}
    return feature_reference.rule_arrays(shapes, gain=1.7)


@pytest.fixture(scope='module')
def rule_linear():
    return {name: feature_reference.rule_linear(name, width) for name, width in zip(NAMES, vgg.WIDTHS)}


def test_images_and_linear_layers_follow_their_rules(rule_linear):
    for i, (seed, size, _) in enumerate(PAIRS[::5]):
        made = [*pair(seed, size, 0), pair(seed, size, 1)[1]]
        assert [feature_reference.crc(image) for image in made] == REFERENCE['image_crc32'][i].tolist()
    np.testing.assert_allclose(rule_linear[NAMES[0]].ravel()[:3], FACTS['rule_linear_first3'], rtol=1e-6)


@pytest.mark.parametrize(
    'size, linear',
    [(64, 'real'), (64, 'rule'), (128, 'real'), (128, 'rule'), pytest.param(256, 'real', marks=pytest.mark.full)],
)
def test_distances(trunk, rule_linear, size, linear):
    """Relative 1e-5, and 5e-5 where images differ by 1e-4; differences of float32 activations miss that tenfold."""
    network = LPIPS.from_arrays(trunk, where='rule', linear=rule_linear if linear == 'rule' else None)
    rows = [i for i, row in enumerate(PAIRS) if row[1] == size]
    pairs = [pair(*PAIRS[i]) for i in rows]
    distances = jax.jit(LPIPS.distance)(network, *map(np.stack, zip(*pairs[:3])))
    # Floats of 0..255 would be rounded more coarsely than the others differ; and an image is no way from itself.
    scaled = [*pairs[3:], pairs[3][:1] * 2]
    *layers, nothing = np.asarray(jax.jit(LPIPS.layer_distances)(network, *map(np.stack, zip(*scaled))))
    expected = REFERENCE[f'per_layer_{linear}_lin'][rows]
    error = np.abs([*distances, *np.sum(layers, axis=1)] / REFERENCE[f'dist_{linear}_lin'][rows] - 1)
    assert (error < [1e-5] * 4 + [5e-5]).all(), error
    np.testing.assert_allclose(layers, expected[3:], rtol=1e-4)
    np.testing.assert_array_equal(nothing, np.zeros(5))


def test_shipped_linear_layers_are_positive():
    linear = shipped_linear_arrays()
    assert [linear[name].shape for name in NAMES] == [(width,) for width in vgg.WIDTHS]
    assert all((array >= 0).all() for array in linear.values())


def test_names_and_digests_say_which_weights(trunk, rule_linear):
    networks = [
        LPIPS.from_arrays(trunk, where='rule'),
        LPIPS.from_arrays(trunk, where='rule', linear=rule_linear),
        LPIPS.from_arrays(vgg.random_arrays(3, trunk_only=True), where='rule', name=vgg.random_name(3)),
    ]
    assert [network.name for network in networks] == ['lpips-vgg-0.1', 'lpips-vgg-0.1', 'lpips-vgg16-random-3']
    assert len({network.digest for network in networks}) == 3


def test_wrong_linear_layers_are_named(trunk, rule_linear):
    with pytest.raises(UserError, match='lacks lin4.model.1.weight'):
        LPIPS.from_arrays(trunk, where='rule', linear={name: rule_linear[name] for name in NAMES[:4]})
    with pytest.raises(UserError, match=r'lin0.model.1.weight has shape \(65,\)'):
        LPIPS.from_arrays(trunk, where='rule', linear=rule_linear | {NAMES[0]: np.zeros(65, np.float32)})
