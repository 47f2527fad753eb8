"""Pictures that move: the same as the generator itself draws, on any devices, from any sample on."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

import stylegan_jax as sgj
import tiny
from stylegan_jax.config import ImageConfig
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation.motion_samples import Motions
from stylegan_jax.metrics import sticking
from stylegan_jax.sampling.engine import noise_of_keys
from stylegan_jax.sampling.latents import draw_keys, draw_normal

CONFIG = tiny.generator_config(resolution=8)
BATCH = 2


def motions(kind, config=CONFIG, batch=BATCH, devices=jax.devices()[:1], generator=None, **options):
    options = {'lod': 0.0, 'seed': 3} | options
    return Motions(generator or tiny.generator(config), 'digest', kind=kind, batch=batch, devices=devices, **options)


def outputs(kind, start=0, count=BATCH, **options):
    """The first rows [count, D] from a sample on."""
    batches = motions(kind, **options).outputs(start)
    rows = itertools.chain.from_iterable(np.asarray(next(iter(some.values()))) for some in batches)
    return np.stack(list(itertools.islice(rows, count)))


def drawn(generator):
    """(ws of both ends [N, L, W], noise inputs) of the first samples, from the random numbers of the seed 3."""
    ends, noise = (jax.random.fold_in(jax.random.key(3), purpose) for purpose in (6, 7))
    numbers = np.arange(BATCH)
    ws = [
        generator.truncate(generator.map(draw_normal(ends, 2 * numbers + end, generator.z_dim)), psi=1)
        for end in (0, 1)
    ]
    return ws, noise_of_keys(generator.config, draw_keys(noise, numbers), generator.config.image.num_stages - 1)


def test_shifted_inputs_are_the_constant_and_all_noise():
    generator = tiny.generator(CONFIG)
    (ws, _), noise = drawn(generator)

    def image(down, across):
        params = jax.tree.map(np.asarray, generator.params)
        constant = params['synthesis']['4x4']['const']['const']
        params['synthesis']['4x4']['const']['const'] = np.roll(constant, (down, across), (1, 2))
        inputs = [np.roll(layer, np.array([down, across]) * (layer.shape[1] // 4), (1, 2)) for layer in noise]
        return np.asarray(dataclasses.replace(generator, params=params).synthesize(ws, noise=inputs))

    still = image(0, 0)
    differences = [
        image(1, 0)[:, 2:] - still[:, :-2],
        image(-1, 0)[:, :-2] - still[:, 2:],
        image(0, 1)[:, :, 2:] - still[:, :, :-2],
        image(0, -1)[:, :, :-2] - still[:, :, 2:],
    ]
    expected = np.mean([np.mean(some**2, axis=(1, 2, 3)) for some in differences], axis=0)
    assert expected.min() > 1e-3
    np.testing.assert_allclose(outputs('shifts')[:, 0], expected, rtol=1e-4)


@pytest.mark.full
def test_walks_are_lines_in_w_with_noise_that_stays(monkeypatch):
    """Moments are replaced by the pictures' own numbers, since those of motion have tests of their own."""
    monkeypatch.setattr(sticking, 'moments', lambda before, after: (before * after).mean(axis=(2, 3)))
    generator = tiny.generator(CONFIG)
    (starts, stops), noise = drawn(generator)
    first, *others = (
        np.asarray(generator.synthesize(starts + (stops - starts) * lag, noise=list(noise)))
        for lag in (0, *sticking.LAGS)
    )
    expected = np.mean([(first * other).mean(axis=(2, 3)) for other in others], axis=0)
    np.testing.assert_allclose(outputs('walks'), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.full
def test_a_generator_without_w_walks_in_z(monkeypatch):
    monkeypatch.setattr(sticking, 'moments', lambda before, after: (before * after).mean(axis=(2, 3)))
    assert np.isfinite(outputs('walks', config=tiny.generator_config('A', resolution=8))).all()


def test_without_a_constant_nothing_can_be_shifted():
    for letter in 'AB':
        with pytest.raises(UserError, match='eqt: the input of this generator is a matrix product of the latent'):
            motions('shifts', config=tiny.generator_config(letter, resolution=8))
    motions('walks', config=tiny.generator_config('B', resolution=8))


def test_a_constant_of_one_pixel_is_gone_when_it_is_shifted():
    config = tiny.generator_config(image=ImageConfig(8, base_shape=(1, 2)))
    with pytest.raises(UserError, match=r'eqt: the constant .* a side of one pixel \(image.base_shape=\(1, 2\)\)'):
        motions('shifts', config=config)
    motions('walks', config=config)


@pytest.mark.full
@pytest.mark.parametrize('kind', ['walks', 'shifts'])
def test_samples_do_not_depend_on_batches_and_devices(kind):
    trained = sgj.load('toyfaces')  # pictures of a small random network are too small for motion
    one = outputs(kind, count=8, generator=trained)
    eight = outputs(kind, start=2, count=6, batch=8, devices=jax.devices(), generator=trained)
    np.testing.assert_allclose(eight, one[2:], rtol=1e-2, atol=1e-3)  # rounding decides whether a few pixels count
    assert one.max() > 0.01
    assert not np.allclose(outputs(kind, count=8, seed=4, generator=trained), one, rtol=0.1)
