"""Files of latents and directions: what comes back, and what is said of others."""

import numpy as np
import pytest

from stylegan_jax.editing import latent_file
from stylegan_jax.editing.directions import Directions
from stylegan_jax.editing.latent_file import Latents
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.moments import Moments

WS = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
NOISE = (np.ones((2, 4, 4, 1), np.float32), np.zeros((1, 8, 8, 1), np.float32))
MOMENTS = Moments.of(np.random.default_rng(1).standard_normal((9, 4)))


@pytest.mark.parametrize('noise', ['const', 'none', NOISE], ids=['const', 'none', 'arrays'])
def test_latents_come_back(tmp_path, noise):
    Latents(WS, ('a', 'seed 5'), noise, 1.0).save(tmp_path / 'latents.npz')
    found = Latents.load(tmp_path / 'latents.npz')
    np.testing.assert_array_equal(found.ws, WS)
    assert found.names == ('a', 'seed 5') and found.lod == 1.0
    if isinstance(noise, str):
        assert found.noise == noise == found.noise_of(1)
    else:
        for a, b in zip(found.noise, noise, strict=True):
            np.testing.assert_array_equal(a, b)
        assert [x.shape for x in found.noise_of(1)] == [(1, 4, 4, 1), (1, 8, 8, 1)]


def test_directions_come_back(tmp_path):
    directions = Directions(('a', 'b'), np.eye(4)[:2], MOMENTS)
    latent_file.save_directions(tmp_path / 'd.npz', directions, about={'seed': 3})
    found = latent_file.load_directions(tmp_path / 'd.npz')
    assert found.names == ('a', 'b')
    np.testing.assert_array_equal(found.step('b', ['a']), directions.step('b', ['a']))


def test_statistics_come_back(tmp_path):
    latent_file.save_statistics(tmp_path / 's.npz', MOMENTS)
    np.testing.assert_array_equal(latent_file.load_statistics(tmp_path / 's.npz').scatter, MOMENTS.scatter)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / 'file.npz'

    def message():
        with pytest.raises(UserError) as caught:
            Latents.load(path)
        assert str(path) in str(caught.value) and '\n' not in str(caught.value)
        return str(caught.value)

    assert 'No such file' in message()
    path.write_bytes(b'no archive')
    assert 'damaged file of latents' in message()
    np.savez(path, ws=WS)
    assert 'holds no latents of stylegan_jax' in message()
    np.savez(path, header=np.array({'format': 'x'}, object))  # a pickle, which is not opened
    assert 'allow_pickle' in message()
    latent_file.save_statistics(path, MOMENTS)
    assert 'holds statistics, and latents were asked for' in message()
    Latents(WS, ('a', 'b')).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    assert 'damaged file of latents' in message()


@pytest.mark.parametrize(
    'given',
    [
        {'ws': WS[0], 'names': ('a', 'b', 'c')},
        {'ws': WS, 'names': ('a',)},
        {'ws': WS * np.nan, 'names': ('a', 'b')},
        {'ws': WS, 'names': ('a', 'b'), 'noise': 'loud'},
        {'ws': WS, 'names': ('a', 'b'), 'noise': (np.zeros((3, 4, 4, 1)),)},
    ],
    ids=['shape', 'names', 'not finite', 'noise', 'noise of others'],
)
def test_latents_that_do_not_fit_together(given):
    with pytest.raises(UserError, match='latents: '):
        Latents(**given)
