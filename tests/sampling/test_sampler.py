"""Images by the batch: the same as the library's, whatever the batch, the position in it and the devices."""

import concurrent.futures
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.config import ImageConfig
from stylegan_jax.errors import UserError
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.engine import to_uint8_on_device
from stylegan_jax.sampling.sampler import Sampler

STYLED = tiny.generator_config()
LABELLED = tiny.generator_config(image=ImageConfig(16, label_dim=3))
PROGAN = tiny.generator_config('A', image=ImageConfig(16, label_dim=3))
Z = np.asarray(tiny.normal(7, 6))
LABEL = np.eye(3)[[0, 1, 2, 2, 1, 0, 1]]
KEYS = jax.vmap(jax.random.key)(np.arange(7))


@pytest.fixture(scope='module')
def compilations():
    """Durations of all that is compiled from now on."""
    durations = []

    def note(event, duration, **kwargs):
        if event == '/jax/core/compile/backend_compile_duration':
            durations.append(duration)

    jax.monitoring.register_event_duration_secs_listener(note)
    return durations


def streamed(sampler, *arguments):
    """The images of all latents, in batches that are not full."""
    size = max(1, sampler.batch - 1)
    return np.concatenate(
        list(
            sampler.stream([x[start : start + size] for x in arguments] for start in range(0, len(arguments[0]), size))
        )
    )


def assert_same_pictures(a, b):
    """At most one level apart, and that in few places: graphs of other shapes round otherwise."""
    assert a.dtype == b.dtype == np.uint8
    differences = np.abs(a.astype(int) - b)
    assert differences.max() <= 1 and np.mean(differences) < 1e-3


# Conversion.


def test_conversion_is_that_of_the_host_to_the_bit():
    edges = ((np.arange(-2, 259) - 128) / 127.5).astype(np.float32)
    values = [
        edges,
        np.random.default_rng(0).uniform(-1.2, 1.2, 1_000_000).astype(np.float32),
        np.float32([np.inf, -np.inf, 1e30, -1e30, 1e-30, -1e-30, -1e-9, 0]),
    ]
    for towards in (np.inf, -np.inf):
        near = edges
        for _ in range(3):
            near = np.nextafter(near, np.float32(towards))
            values.append(near)
    values = np.concatenate(values)
    np.testing.assert_array_equal(jax.jit(to_uint8_on_device)(values), grid.to_uint8(values))


# The images are those of the library.


@pytest.mark.parametrize(
    'config, options',
    [
        (STYLED, {}),
        (STYLED, {'psi': 0.3}),
        (STYLED, {'psi': 1.0}),
        (STYLED, {'psi': 0.0, 'cutoff': 6}),
        (STYLED, {'noise': 'none'}),
        (STYLED, {'lod': 1.0}),
        (STYLED, {'lod': 0.25}),
        (STYLED, {'lod': 2.0}),
        (tiny.generator_config('B'), {}),
        (tiny.generator_config('C'), {}),
        (tiny.generator_config('D'), {'psi': 0.5}),
        (tiny.generator_config('A'), {}),
        (tiny.generator_config('A'), {'lod': 0.5}),
        (tiny.generator_config(image=ImageConfig(16, base_shape=(3, 4), channels=1)), {}),
    ],
    ids=lambda given: str(given) if isinstance(given, dict) else given.architecture,
)
def test_images_are_those_of_the_generator(config, options):
    generator = tiny.generator(config)
    assert_same_pictures(
        streamed(Sampler(generator, batch=3, devices=jax.devices()[:1], **options), Z),
        grid.to_uint8(generator(Z, **options)),
    )


@pytest.mark.parametrize('config', [LABELLED, PROGAN], ids=['styled', 'progan'])
def test_labels(config):
    generator = tiny.generator(config)
    sampler = Sampler(generator, batch=7)
    images = streamed(sampler, Z, LABEL)
    assert_same_pictures(images, grid.to_uint8(generator(Z, LABEL)))
    assert_same_pictures(streamed(sampler, Z), grid.to_uint8(generator(Z)))
    assert np.any(images != streamed(sampler, Z))


def test_random_noise_is_that_of_the_key_of_an_image():
    generator = tiny.generator(STYLED)
    one_by_one = [grid.to_uint8(generator(z[None], noise=key)) for z, key in zip(Z, KEYS)]
    images = streamed(Sampler(generator, noise='random', batch=4), Z, np.zeros((7, 0)), KEYS)
    assert_same_pictures(images, np.concatenate(one_by_one))
    assert np.any(images != streamed(Sampler(generator, batch=4), Z))


@pytest.mark.parametrize('devices', [1, 2, 8])
@pytest.mark.parametrize('batch', [1, 5, 16])
def test_an_image_depends_on_no_batch_no_position_and_no_devices(devices, batch):
    sampler = Sampler(tiny.generator(LABELLED), noise='random', batch=batch, devices=jax.devices()[:devices])
    assert sampler.batch >= batch and sampler.batch % devices == 0
    backwards = slice(None, None, -1)
    expected = streamed(
        Sampler(tiny.generator(LABELLED), noise='random', batch=7, devices=jax.devices()[:1]), Z, LABEL, KEYS
    )
    assert_same_pictures(streamed(sampler, Z[backwards], LABEL[backwards], KEYS[backwards])[backwards], expected)


def test_devices_exchange_nothing():
    text = Sampler(tiny.generator(STYLED), batch=16, noise='random').lower().compile().as_text()
    assert 'num_partitions=8' in text
    assert not [word for word in ('all-reduce', 'all-gather', 'all-to-all', 'collective-permute') if word in text]


def test_double_precision(float64):
    generator = jax.tree.map(lambda x: x.astype(float), tiny.generator(STYLED))
    assert generator.w_avg.dtype == np.float64
    assert_same_pictures(streamed(Sampler(generator, batch=4), Z), grid.to_uint8(generator(Z)))


def test_bfloat16_makes_about_the_same_pictures():
    generator = tiny.generator(tiny.generator_config(resolution=32))  # up to 16x16 all is float32
    rounded, exact = (
        streamed(Sampler(generator, batch=4, precision=precision), Z).astype(int)
        for precision in ('bfloat16', 'float32')
    )
    assert 0 < np.mean(np.abs(rounded - exact)) < 2


def test_automatic_precision_is_exact_on_processors():
    assert Sampler(tiny.generator(STYLED), precision='auto').precision == 'float32'


# What is compiled, and when.


def test_only_another_graph_is_compiled(compilations):
    config = dataclasses.replace(STYLED, w_dim=9)  # of this test alone
    generator, other = tiny.generator(config), tiny.filled(tiny.generator(config), seed=5)
    first = streamed(Sampler(generator, batch=8), Z)
    count = len(compilations)
    for same in ({}, {'psi': 0.2}, {'cutoff': 2}):
        assert np.any(streamed(Sampler(other, batch=8, **same), Z) != first)
    streamed(Sampler(generator, batch=8, precision='auto'), Z)
    assert len(compilations) == count
    for number, another in enumerate([{'noise': 'none'}, {'batch': 16}, {'precision': 'tf32'}], start=1):
        streamed(Sampler(generator, **{'batch': 8} | another), Z)
        assert len(compilations) == count + number


def test_the_weight_of_a_fade_and_another_psi_make_other_images_with_the_same_graph(compilations):
    generator = tiny.generator(STYLED)
    images = [streamed(Sampler(generator, batch=8, lod=0.5), Z)]
    count = len(compilations)
    images += [streamed(Sampler(generator, batch=8, lod=0.25), Z), streamed(Sampler(generator, batch=8, psi=0.1), Z)]
    assert len({image.tobytes() for image in images}) == 3 and len(compilations) == count


def test_a_graph_is_compiled_without_weights_by_one_of_many_threads(compilations):
    config = dataclasses.replace(STYLED, w_dim=10)
    generator = tiny.generator(config)
    abstract = jax.eval_shape(lambda: generator)
    expected, count = grid.to_uint8(generator(Z)), len(compilations)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: Sampler(abstract, batch=8).compile(), range(4)))
    assert len(compilations) == count + 1
    assert_same_pictures(streamed(Sampler(generator, batch=8), Z), expected)
    assert len(compilations) == count + 1


# Batches.


def test_calling_gives_images_on_the_devices():
    sampler = Sampler(tiny.generator(STYLED), batch=8)
    full, part = sampler(np.concatenate([Z, Z[:1]])), sampler(Z[:3])
    assert len(full.sharding.device_set) == 8 and full.shape == (8, *sampler.shape) and part.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(full[:3], part)
    np.testing.assert_array_equal(sampler(jnp.asarray(Z)), full[:7])  # latents that are on a device already


def test_the_next_batch_is_begun_before_one_is_fetched():
    begun = []
    sampler = Sampler(tiny.generator(STYLED), batch=8)
    stream = sampler.stream(begun.append(number) or (Z,) for number in range(3))
    for expected in ([0, 1], [0, 1, 2], [0, 1, 2]):
        next(stream)
        assert begun == expected
    assert list(stream) == [] and list(sampler.stream([])) == []


@pytest.mark.parametrize(
    'count, devices, batch',
    [
        (1, 1, 1),
        (16, 1, 16),
        (17, 1, 9),
        (40, 1, 14),
        (100_000, 1, 16),
        (5, 8, 8),
        (129, 8, 72),
        (None, 1, 16),
        (None, 8, 128),
    ],
)
def test_batches_fit_and_are_even(count, devices, batch):
    assert Sampler(tiny.generator(STYLED), count=count, devices=jax.devices()[:devices]).batch == batch


@pytest.mark.parametrize('resolution, lod, batch', [(1024, 0.0, 2), (512, 0.0, 8), (1024, 2.0, 16), (64, 0.0, 16)])
def test_batches_are_smaller_where_images_are_large(resolution, lod, batch):
    config = tiny.generator_config(resolution=resolution)
    abstract = jax.eval_shape(lambda: tiny.Generator.init(jax.random.key(0), config))
    assert Sampler(abstract, lod=lod, devices=jax.devices()[:1]).batch == batch


# What users get wrong.


@pytest.mark.parametrize(
    'config, options, expected',
    [
        (STYLED, {'noise': 'all'}, "noise='all': choose 'const', 'random', 'none'"),
        (STYLED, {'precision': 'float64'}, "precision='float64': choose 'auto'"),
        (STYLED, {'lod': 2.5}, 'lod=2.5: give'),
        (tiny.generator_config('D'), {'noise': 'random'}, 'has no noise inputs'),
        (PROGAN, {'psi': 0.5}, 'psi: a Progressive GAN'),
        (PROGAN, {'cutoff': 1}, 'cutoff: a Progressive GAN'),
        (PROGAN, {'noise': 'none'}, 'noise: a Progressive GAN'),
        (PROGAN, {'noise': 'random'}, 'noise: a Progressive GAN'),
    ],
)
def test_options_that_do_not_fit(config, options, expected):
    with pytest.raises(UserError, match=expected):
        Sampler(tiny.generator(config), **options)


@pytest.mark.parametrize(
    'z, label, keys, expected',
    [
        (Z[:, :5], None, None, r'z has shape \(7, 5\); give \[1 to 8, 6\]'),
        (Z[0], None, None, 'z has shape'),
        (Z[:0], None, None, 'z has shape'),
        (np.zeros((9, 6)), None, None, r'z has shape \(9, 6\)'),
        (Z, [0, 1, 2, 0, 1, 2, 0], None, r'label has shape \(7,\); give vectors \[7, 3\]'),
        (Z, LABEL[:6], None, 'label has shape'),
        (Z, LABEL, KEYS, 'keys: '),
    ],
)
def test_inputs_that_do_not_fit(z, label, keys, expected):
    with pytest.raises(UserError, match=expected):
        Sampler(tiny.generator(LABELLED), batch=8)(z, label, keys)


@pytest.mark.parametrize('keys', [None, KEYS[:6], KEYS[0]], ids=['none', 'few', 'one'])
def test_random_noise_needs_a_key_for_each_image(keys):
    with pytest.raises(UserError, match=r'keys: give \[7\]'):
        Sampler(tiny.generator(LABELLED), batch=8, noise='random')(Z, LABEL, keys)
