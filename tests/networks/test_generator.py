"""The generator as users hold it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reference_case
import tiny
from stylegan_jax import Generator, GeneratorConfig, ImageConfig, UserError, mix
from stylegan_jax.networks import ops

STYLED = tiny.generator_config()
LABELLED = tiny.generator_config(image=ImageConfig(16, label_dim=3))
PROGAN = tiny.generator_config('A', image=ImageConfig(16, label_dim=3))


@pytest.fixture
def G():
    return tiny.generator(STYLED)


@pytest.fixture
def z():
    return tiny.normal(3, STYLED.z_dim)


def test_attributes():
    image = ImageConfig(16, base_shape=(3, 4), channels=1, label_dim=3)
    G = Generator(tiny.generator_config(image=image), {}, jnp.zeros(5), ())
    assert (G.z_dim, G.w_dim, G.num_ws, G.label_dim, G.resolution, G.shape) == (6, 5, 6, 3, 16, (12, 16, 1))


def test_w_dim_without_mapping_layers_is_that_of_z():
    G = tiny.generator(tiny.generator_config(mapping_layers=0, image=ImageConfig(8, label_dim=3)))
    assert G.w_dim == 2 * G.z_dim
    assert G.map(tiny.normal(2, G.z_dim), [0, 1]).shape == (2, G.w_dim)


def test_a_network_without_styles_has_one_w():
    G = tiny.generator(tiny.generator_config('B'))
    assert G.num_ws == 1
    assert G(tiny.normal(2, G.z_dim)).shape == (2, *G.shape)


# Mapping and truncation.


def test_calling_is_mapping_truncating_and_synthesizing(G, z):
    images = G.synthesize(G.truncate(G.map(z), psi=0.6, cutoff=3), noise='none', lod=0.3)
    np.testing.assert_array_equal(G(z, psi=0.6, cutoff=3, noise='none', lod=0.3), images)
    assert images.shape == (3, 16, 16, 3)


def test_truncation_pulls_the_first_layers_towards_the_average(G, z):
    w = G.map(z)
    ws = G.truncate(w, psi=0.25, cutoff=2)
    assert ws.shape == (3, 6, 5)
    np.testing.assert_allclose(ws[:, 1], G.w_avg + 0.25 * (w - G.w_avg), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ws[:, 2], w)


@pytest.mark.parametrize('psi, cutoff', [(1, None), (1.0, 6), (0.3, 0)])
def test_truncation_by_nothing_only_broadcasts(G, z, psi, cutoff):
    w = G.map(z)
    np.testing.assert_array_equal(G.truncate(w, psi=psi, cutoff=cutoff), np.repeat(w[:, None], 6, axis=1))


def test_psi_0_gives_the_average(G, z):
    ws = G.truncate(G.map(z), psi=0, cutoff=6)
    np.testing.assert_allclose(ws, np.broadcast_to(G.w_avg, (3, 6, 5)), rtol=1e-6)


def test_truncation_defaults_are_the_networks_own():
    config = dataclasses.replace(STYLED, truncation_psi=0.7, truncation_cutoff=8, image=ImageConfig(64))
    G = Generator(config, {}, tiny.normal(5), ())
    w = tiny.normal(2, 5, seed=1)
    ws = G.truncate(w)
    np.testing.assert_array_equal(ws, G.truncate(w, psi=0.7, cutoff=8))
    assert ws.shape == (2, 10, 5)
    np.testing.assert_array_equal(ws[:, 8], w)
    assert not np.allclose(ws[:, 7], w)
    assert (GeneratorConfig().truncation_psi, GeneratorConfig().truncation_cutoff) == (0.7, 8)


def test_configuration_b_is_not_truncated_by_default():
    G = tiny.generator(tiny.generator_config('B'))
    w = G.map(tiny.normal(2, G.z_dim))
    np.testing.assert_array_equal(G.truncate(w), w[:, None])
    np.testing.assert_allclose(G.truncate(w, psi=0, cutoff=1)[:, 0], np.stack([G.w_avg] * 2), atol=1e-6)


def test_truncation_of_layers_of_their_own(G):
    ws = tiny.normal(2, 6, 5)
    np.testing.assert_allclose(G.truncate(ws, psi=0.5, cutoff=6), (ws + G.w_avg) / 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    'method, shape',
    [
        ('map', (3, 7)),
        ('map', (6,)),
        ('map', (1, 3, 6)),
        ('truncate', (3, 6)),
        ('truncate', (3, 5, 5)),
        ('truncate', (5,)),
        ('synthesize', (3, 5)),
        ('synthesize', (3, 5, 5)),
        ('synthesize', (3, 6, 6)),
    ],
)
def test_wrong_shapes_are_refused(unchecked_shapes, G, method, shape):
    with pytest.raises(ValueError, match=r'has shape .*; give \[N'):
        getattr(G, method)(np.zeros(shape))


def test_mapping_normalises_latents(G, z):
    np.testing.assert_allclose(G.map(z), G.map(100 * z), rtol=1e-4, atol=1e-5)


# Labels.


def test_forms_of_labels():
    G = tiny.generator(LABELLED)
    z, one_hot = tiny.normal(3, 6), np.eye(3)[[2, 0, 1]]
    w = G.map(z, one_hot)
    for label in ([2, 0, 1], np.array([2, 0, 1]), jnp.array([2, 0, 1], jnp.uint8), one_hot.astype(int)):
        np.testing.assert_array_equal(G.map(z, label), w)
    np.testing.assert_array_equal(G.map(z), G.map(z, np.zeros((3, 3))))
    assert not np.allclose(G.map(z), w)
    np.testing.assert_array_equal(G(z, [2, 0, 1]), G(z, one_hot))
    np.testing.assert_array_equal(jax.jit(lambda label: G.map(z, label))(jnp.array([2, 0, 1])), w)


@pytest.mark.parametrize(
    'label, message',
    [
        ([0, 1], 'shape'),
        ([[0, 1]] * 3, 'shape'),
        ([0.0, 1.0, 2.0], 'float32'),
        (1, 'shape'),
        ([0, 1, 3], 'class 3'),
        ([0, -1, 2], 'class -1'),
    ],
)
def test_wrong_labels_are_refused(unchecked_shapes, label, message):
    with pytest.raises(ValueError, match=message):
        tiny.generator(LABELLED).map(tiny.normal(3, 6), label)


def test_a_label_for_a_network_without_is_refused(G, z):
    with pytest.raises(ValueError, match='without labels'):
        G(z, [0, 1, 2])
    np.testing.assert_array_equal(G.map(z, np.zeros((3, 0))), G.map(z))


# Noise.


@pytest.fixture
def ws(G, z):
    return G.truncate(G.map(z))


def test_constant_noise_is_the_stored_one(G, ws):
    images = G.synthesize(ws)
    np.testing.assert_array_equal(images, G.synthesize(ws, noise='const'))
    np.testing.assert_array_equal(images, G.synthesize(ws, noise=list(G.noise)))


def test_no_noise_is_zero_noise(G, ws):
    images = G.synthesize(ws, noise='none')
    assert reference_case.relative_error(images, G.synthesize(ws, noise=[0 * a for a in G.noise])) < 2e-6
    assert not np.allclose(images, G.synthesize(ws), atol=1e-2)


def test_a_key_draws_fresh_noise_for_each_image(G, ws):
    ws = jnp.repeat(ws[:1], 3, axis=0)
    images = G.synthesize(ws, noise=jax.random.key(0))
    np.testing.assert_array_equal(images, G.synthesize(ws, noise=jax.random.key(0)))
    assert not np.allclose(images, G.synthesize(ws, noise=jax.random.key(1)), atol=1e-2)
    assert not np.allclose(images[0], images[1], atol=1e-2)


def test_noise_arrays_of_a_batch_and_of_one(G, ws):
    of_one = [np.array(a) for a in G.noise]
    of_batch = [np.repeat(a, 3, axis=0) for a in of_one]
    np.testing.assert_allclose(G.synthesize(ws, noise=of_batch), G.synthesize(ws, noise=of_one), atol=1e-5)
    of_batch[4][1] += 1
    changed = np.abs(G.synthesize(ws, noise=of_batch) - G.synthesize(ws)).max(axis=(1, 2, 3)) > 1e-3
    assert changed.tolist() == [False, True, False]


def test_noise_of_a_lower_stage_may_be_left_out(G, ws):
    images = G.synthesize(ws, noise=G.noise[:2], lod=2)
    np.testing.assert_array_equal(images, G.synthesize(ws, lod=2))


@pytest.mark.parametrize(
    'noise, message',
    [
        ('random', "'const', 'none'"),
        (None, 'NoneType'),
        (0, 'int'),
        (np.zeros(2, np.uint32), 'typed JAX key'),
        ([], '0 arrays; give one for each of the 6'),
        ([np.zeros((1, 4, 4, 1))] * 6, r'noise\[2\] has shape'),
        ([np.zeros((2, 4, 4, 1))] * 6, r'noise\[0\] has shape .*1 or 3'),
        ([np.zeros((4, 4))] * 6, r'noise\[0\]'),
    ],
    ids=['another word', 'None', 'number', 'old key', 'empty', 'small', 'two of three', 'without axes'],
)
def test_wrong_noise_is_refused(unchecked_shapes, G, ws, noise, message):
    with pytest.raises(ValueError, match=message):
        G.synthesize(ws, noise=noise)


def test_noise_for_a_network_without_is_refused():
    G = tiny.generator(tiny.generator_config('D'))
    ws = jnp.zeros((1, 6, 5))
    np.testing.assert_array_equal(G.synthesize(ws, noise='none'), G.synthesize(ws, noise='const'))
    for noise in (jax.random.key(0), [np.zeros((1, 4, 4, 1))] * 6):
        with pytest.raises(ValueError, match='no noise inputs'):
            G.synthesize(ws, noise=noise)


# Level of detail.


@pytest.mark.parametrize('lod, side', [(0, 16), (0.5, 16), (1, 8), (1.6, 8), (2, 4)])
def test_whole_lods_halve_the_size(G, z, lod, side):
    assert G(z, lod=lod).shape == (3, side, side, 3)


def test_the_fraction_of_a_lod_is_the_weight_of_the_lower_stage(G, z):
    lower, newest = G(z, lod=2), G(z, lod=1)
    np.testing.assert_allclose(G(z, lod=1.6), 0.6 * ops.upscale(lower) + 0.4 * newest, atol=1e-5)


@pytest.mark.parametrize('lod', [-0.1, 2.1, 3])
def test_a_lod_that_does_not_exist_is_refused(G, z, lod):
    with pytest.raises(UserError, match=f'lod={lod}'):
        G(z, lod=lod)


# Mixing.


def test_mix_takes_layers_from_the_second(G):
    a, b = tiny.normal(2, 6, 5), tiny.normal(2, 6, 5, seed=1)
    mixed = mix(a, b, layers=range(2, 4))
    np.testing.assert_array_equal(mixed, np.concatenate([a[:, :2], b[:, 2:4], a[:, 4:]], axis=1))
    np.testing.assert_array_equal(mix(a, b[:1], layers=[5])[:, 5], np.repeat(b[:1, 5], 2, axis=0))
    np.testing.assert_array_equal(mix(a, b, layers=[]), a)
    np.testing.assert_array_equal(jax.jit(lambda a, b: mix(a, b, layers=range(2, 4)))(a, b), mixed)


@pytest.mark.parametrize('layers', [[6], [-1], range(4, 8)])
def test_mixing_layers_that_do_not_exist_is_refused(layers):
    with pytest.raises(ValueError, match='does not exist; these ws have layers 0 to 5'):
        mix(tiny.normal(2, 6, 5), tiny.normal(2, 6, 5), layers=layers)


# A pytree.


def test_jit_takes_a_generator_and_gives_the_same_images(G, z):
    images = jax.jit(lambda G, z: G(z, noise=jax.random.key(3), lod=0.5))(G, z)
    np.testing.assert_allclose(images, G(z, noise=jax.random.key(3), lod=0.5), atol=1e-5)


def test_psi_may_be_traced(G, z):
    images = jax.jit(lambda psi: G(z, psi=psi, lod=2))(0.4)
    np.testing.assert_allclose(images, G(z, psi=0.4, lod=2), atol=1e-5)


def test_grad_gives_a_generator_of_gradients(G, z):
    def energy(G):
        return jnp.sum(G(z, lod=2, psi=0.5) ** 2)

    gradients = jax.jit(jax.grad(energy))(G)
    assert isinstance(gradients, Generator) and gradients.config == G.config
    assert jax.tree.structure(gradients) == jax.tree.structure(G)
    step = 1e-3 * gradients.w_avg / jnp.linalg.norm(gradients.w_avg)
    up, down = (energy(dataclasses.replace(G, w_avg=G.w_avg + sign * step)) for sign in (1, -1))
    assert (up - down) / 2e-3 == pytest.approx(float(jnp.linalg.norm(gradients.w_avg)), rel=0.02)


def test_vmap_goes_over_latents_and_over_generators(G, z):
    one_by_one = jax.vmap(lambda z: G(z[None], lod=2)[0])(z)
    np.testing.assert_allclose(one_by_one, G(z, lod=2), atol=1e-5)
    other = tiny.filled(G, seed=2)
    both = jax.vmap(lambda G: G(z, lod=2))(jax.tree.map(lambda *leaves: jnp.stack(leaves), G, other))
    np.testing.assert_allclose(both, jnp.stack([G(z, lod=2), other(z, lod=2)]), atol=1e-5)


def test_init_depends_on_the_key_alone():
    first, again, other = (Generator.init(jax.random.key(seed), STYLED) for seed in (0, 0, 1))
    assert tiny.trees_equal(first, again) and not tiny.trees_equal(first, other)


# Progressive GAN.


def test_progan_is_called_with_latents_labels_and_lod():
    G, z = tiny.generator(PROGAN), tiny.normal(3, 6)
    assert G(z, [0, 1, 2]).shape == (3, 16, 16, 3) and G(z, lod=1.5).shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(G(z, [0, 1, 2]), G(z, np.eye(3)))
    assert not np.allclose(G(z, [0, 1, 2]), G(z, [1, 1, 2]), atol=1e-3)


@pytest.mark.parametrize(
    'misuse, name',
    [
        (lambda G, z: G.map(z), 'map'),
        (lambda G, z: G.truncate(z, psi=0.5), 'truncate'),
        (lambda G, z: G(z, psi=0.5), 'psi'),
        (lambda G, z: G(z, cutoff=2), 'cutoff'),
        (lambda G, z: G(z, noise='none'), 'noise'),
        (lambda G, z: G(z, noise=jax.random.key(0)), 'noise'),
        (lambda G, z: G(z, noise=[]), 'noise'),
    ],
)
def test_progan_has_no_intermediate_latents_truncation_or_noise(misuse, name):
    with pytest.raises(ValueError, match=f'^{name}: a Progressive GAN'):
        misuse(tiny.generator(PROGAN), tiny.normal(3, 6))
