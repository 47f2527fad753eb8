"""What the sampler, the painter and metrics share: batches of one size, fetching, noise by key, kept programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax import config
from stylegan_jax.networks.generator import draw_noise
from stylegan_jax.runtime import platforms
from stylegan_jax.sampling import engine
from stylegan_jax.sampling.latents import draw_keys, draw_latents, draw_normal

CONFIG = tiny.generator_config()
DEVICES = tuple(jax.devices())


@pytest.mark.parametrize(
    'start, expected',
    [(0, [0, 1, 2, 3]), (4, [4, 5, 6, 7]), (8, [8, 9, 9, 9])],
)
def test_the_last_batch_repeats_the_last_image(start, expected):
    assert engine.rows_of_batch(start, batch=4, count=10).tolist() == expected


def test_batches_are_fetched_in_order_without_what_fills_them_up():
    begun = []

    def batches():
        for number, count in enumerate([4, 4, 1]):
            begun.append(number)
            yield jnp.full([4, 2], number), count

    fetched = engine.fetched(batches())
    for number, count, ahead in ((0, 4, [0, 1]), (1, 4, [0, 1, 2]), (2, 1, [0, 1, 2])):
        images = next(fetched)
        assert type(images) is np.ndarray and begun == ahead
        np.testing.assert_array_equal(images, np.full([count, 2], number))
    assert list(fetched) == [] and list(engine.fetched([])) == []


@pytest.mark.parametrize('stage', [0, 2])
def test_noise_of_an_image_is_that_of_its_key(stage):
    keys = draw_keys(jax.random.key(7), np.arange(5))
    noise = engine.noise_of_keys(CONFIG, keys, stage)
    assert [layer.shape for layer in noise] == [(5, *CONFIG.noise_shape(n)[1:]) for n in range(2 * (stage + 1))]
    for number, key in enumerate(keys):
        for layer, alone in zip(noise, draw_noise(CONFIG, key, 1, stage)):
            np.testing.assert_array_equal(layer[number], alone[0])


def test_a_network_without_noise_inputs_gets_none():
    assert engine.noise_of_keys(tiny.generator_config('D'), jax.random.split(jax.random.key(0), 3), 1) == ()


def test_latents_of_a_seed_are_one_endless_sequence():
    some, more = draw_latents(5, 0, 6, 4), draw_latents(5, 2, 4, 4)
    np.testing.assert_array_equal(some[2:], more)
    key = jax.random.fold_in(jax.random.key(5), 0x77)
    np.testing.assert_array_equal(some[3], draw_normal(key, np.array([3]), 4)[0])


def scaled(network, batch, *, factor):
    return factor * network * batch


def test_a_program_is_kept_for_each_set_of_static_arguments():
    first = engine.kept_program(scaled, DEVICES, 'float32', factor=2)
    assert engine.kept_program(scaled, DEVICES, 'float32', factor=2) is first
    others = [
        engine.kept_program(scaled, DEVICES, 'float32', factor=3),
        engine.kept_program(scaled, DEVICES[:1], 'float32', factor=2),
        engine.kept_program(scaled, DEVICES, 'tf32', factor=2),
    ]
    assert len({id(program) for program in (first, *others)}) == 4
    for program, factor in zip((first, *others), (2, 3, 2, 2)):
        result = program(program.place(np.float32(5)), np.arange(8.0, dtype=np.float32))
        np.testing.assert_array_equal(result, factor * 5 * np.arange(8))


def test_precisions_are_those_of_runs_but_for_double_precision():
    """The three lists of names, which cannot be one: configs do without JAX, and the order is that of --help."""
    assert {*engine.PRECISIONS, 'float64'} == set(config.PRECISIONS) == {'auto', *platforms._ACTIVATIONS}
    assert len(set(engine.PRECISIONS)) == len(engine.PRECISIONS)
