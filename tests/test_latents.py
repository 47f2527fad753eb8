"""The command that looks into W and steers: its files, its figures, and what it says to wrong flags."""

import numpy as np
import PIL.Image
import pytest

import reference_case
import tiny
from stylegan_jax import generate, latents
from stylegan_jax.config import ImageConfig
from stylegan_jax.editing import directions as latent_space
from stylegan_jax.editing import latent_file
from stylegan_jax.feature_networks.classifier import Classifier
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.latents import draw_latents
from stylegan_jax.sampling.seed_labels import average_w

GENERATOR = tiny.generator(tiny.generator_config(resolution=8))


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    return tiny.saved(GENERATOR, tmp_path_factory)


@pytest.fixture(scope='module')
def directions(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('directions') / 'directions.npz')
    moments = latent_space.statistics(GENERATOR, 100)
    latent_file.save_directions(path, latent_space.principal_directions(moments, 3))
    return path


@pytest.fixture
def run(run_command):
    """Returns a function that runs the command with flags, which has to end well, and gives what it prints."""

    def run(*flags, **given):
        code, out, err = run_command(latents, *flags, *(f'--{name}={value}' for name, value in given.items()))
        assert code is None, err
        return out

    return run


@pytest.fixture
def error(run_command, tmp_path):
    """Returns a function that runs the command and gives the one line that it ends with; nothing is written."""

    def run(*flags, **given):
        code, out, err = run_command(latents, *flags, *(f'--{name}={value}' for name, value in given.items()))
        assert (code, out) == (2, '') and err.count('\n') == 1 and err.startswith('error: '), (code, out, err)
        assert not list(tmp_path.iterdir())
        return err

    return run


def test_statistics(run, network, tmp_path):
    out = run(network=network, what='statistics', samples=50, seed=3, out='deep/s.npz')
    found = latent_file.load_statistics(tmp_path / 'deep' / 's.npz')
    np.testing.assert_array_equal(found.mean, latent_space.statistics(GENERATOR, 50, seed=3).mean)
    assert out.startswith('50 samples of W (5 dimensions): mean of length ')


def test_principal(run, network, tmp_path):
    out = run(network=network, what='principal', samples=50, count=2, out='p.npz')
    expected = latent_space.principal_directions(latent_space.statistics(GENERATOR, 50), 2)
    np.testing.assert_allclose(latent_file.load_directions(tmp_path / 'p.npz').normals, expected.normals)
    assert '2 directions: pc0, pc1' in out


def test_attributes_by_the_classifier_that_ships(run, tmp_path):
    generator = tiny.generator(tiny.generator_config(resolution=32))
    generator.save('big.npz')
    out = run(network='big.npz', what='attributes', samples=64, out='a.npz')
    found = latent_file.load_directions(tmp_path / 'a.npz')
    names = Classifier.load('toy_faces').label_names
    assert set(found.names) <= set(names) and f'{len(found.names)} directions' in out
    for name in names:
        assert f'{name}: ' in out and (name in found.names) == (
            f'{name}: ' + out.split(f'{name}: ')[1].split('\n')[0]
        ).endswith('have it')
    z = draw_latents(0, 0, 64, generator.z_dim)
    images = grid.to_uint8(generator(z, psi=1))
    share = np.mean(Classifier.load('toy_faces').logits(images)[:, 0] >= 0)
    assert f'{names[0]}: {share:.1%} of the samples' in out


def test_figure_has_a_row_for_each_seed_and_a_column_for_each_strength(run, network, directions, tmp_path):
    out = run(
        '--apply',
        network=network,
        directions=directions,
        direction='pc1',
        strengths='-2,0,1.5',
        layers='1-2',
        seeds='3,5',
        psi=0.8,
        outdir='out',
    )
    step = latent_file.load_directions(directions).step('pc1')
    ws = GENERATOR.truncate(GENERATOR.map(generate.latents([3, 5], 6)), 0.8)
    expected = [latent_space.move(ws, step, strength, [1, 2]) for strength in (-2, 0, 1.5)]
    picture = np.asarray(PIL.Image.open(tmp_path / 'out' / 'pc1.png'))[::12, ::12]  # a pixel of each
    assert picture.shape == (16, 24, 3)
    for row in range(2):
        for column in range(3):
            image = grid.to_uint8(GENERATOR.synthesize(expected[column][row : row + 1]))[0]
            np.testing.assert_array_equal(picture[8 * row : 8 * row + 8, 8 * column : 8 * column + 8], image)
    saved = latent_file.Latents.load(tmp_path / 'out' / 'pc1.npz')
    assert saved.names[4] == 'seed 5, pc1 +0' and saved.ws.shape == (6, 4, 5)
    np.testing.assert_allclose(saved.ws[3], expected[0][1])
    assert 'rows are seed 3, seed 5; columns are -2, +0, +1.5 standard deviations' in out


def test_latents_from_a_file_keep_their_noise(run, network, directions, tmp_path):
    ws = np.asarray(GENERATOR.truncate(GENERATOR.map(generate.latents([3], 6))))
    noise = tuple(np.asarray(tiny.normal(*GENERATOR.config.noise_shape(layer))) for layer in range(4))
    latent_file.Latents(ws, ('me',), noise).save('me.npz')
    run(
        '--apply',
        network=network,
        directions=directions,
        direction='pc0,pc2',
        without='all',
        latents='me.npz',
        strengths='0',
        outdir='out',
    )
    expected = grid.to_uint8(GENERATOR.synthesize(ws, noise=list(noise)))[0]
    for name in ('pc0', 'pc2'):
        picture = np.asarray(PIL.Image.open(tmp_path / 'out' / f'{name}.png'))
        np.testing.assert_array_equal(picture[::12, ::12], expected)


@pytest.mark.parametrize(
    'flags, given, expected',
    [
        ([], {'network': None}, '--network is missing'),
        ([], {}, '--out is missing'),
        (['--apply'], {}, '--directions is missing'),
        ([], {'out': 'x.npz', 'classifiers': 'nowhere.npz'}, 'nowhere.npz: No such file'),
        ([], {'out': 'x.npz', 'classifiers': 'toy_faces,toy_faces'}, 'several tell of bald, beard'),
        ([], {'out': 'x.npz', 'samples': 16}, 'this classifier takes uint8 [N, 32, 32, 3]'),
        ([], {'out': 'x.npz', 'what': 'principal', 'count': 6}, 'W has 5 dimensions'),
        (['--apply'], {'direction': 'nose'}, "direction 'nose' does not exist; there are pc0, pc1, pc2"),
        (
            ['--apply'],
            {'direction': 'pc0', 'layers': '3-4'},
            '--layers=3-4: give numbers and rising ranges from 0 to 3',
        ),
        (['--apply'], {'direction': 'pc0', 'strengths': '1,much'}, '--strengths=1,much: give numbers'),
        (['--apply'], {'direction': 'pc0', 'latents': 'nowhere.npz'}, 'nowhere.npz: No such file'),
        (['--apply'], {'direction': 'pc0', 'without': 'nose'}, "direction 'nose' does not exist"),
        (['--apply'], {'direction': 'pc0', 'seeds': '5-3'}, '--seeds=5-3'),
        (['--apply'], {'direction': 'pc0', 'psi': 'nan'}, '--psi=nan: give a number'),
    ],
    ids=str,
)
def test_mistakes(error, network, directions, flags, given, expected):
    if flags and given:
        given = {'directions': directions, 'outdir': 'out'} | given
    given = {name: value for name, value in ({'network': network} | given).items() if value is not None}
    assert expected in error(*flags, **given)


def test_directions_of_another_network(error, directions):
    assert 'and ' in error(
        '--apply',
        network=reference_case.pickle_path('f32-labels'),
        directions=directions,
        direction='pc0',
        outdir='out',
    )


@pytest.mark.parametrize('what', ['statistics', 'attributes'])
def test_progressive_gan_has_no_w(error, what):
    message = error(network=reference_case.pickle_path('a32'), what=what, out='x.npz')
    assert 'no intermediate latents' in message


def test_class_for_a_network_with_labels(run, tmp_path_factory, tmp_path):
    network = str(tmp_path_factory.mktemp('labels') / 'n.npz')
    generator = tiny.generator(tiny.generator_config(image=ImageConfig(8, label_dim=3)))
    generator.save(network)
    run(network=network, what='statistics', samples=20, out='s.npz', **{'class': 2})
    expected = latent_space.statistics(generator, 20, label=2).mean
    np.testing.assert_allclose(latent_file.load_statistics(tmp_path / 's.npz').mean, expected)


LABELLED = tiny.generator(tiny.generator_config(image=ImageConfig(8, label_dim=3)))


@pytest.mark.parametrize('given, classes', [(None, [0, 1, 2]), ('2,0', [2, 0])])
def test_samples_have_classes_in_turn(run, given, classes, tmp_path_factory, tmp_path):
    network, flags = tiny.saved(LABELLED, tmp_path_factory), {'class': given} if given else {}
    out = run(network=network, what='statistics', samples=20, out='s.npz', **flags)
    numbers = [classes[number % len(classes)] for number in range(20)]
    expected = LABELLED.map(draw_latents(0, 0, 20, 6), numbers).mean(axis=0)
    found = latent_file.load_statistics(tmp_path / 's.npz')
    np.testing.assert_allclose(found.mean, expected, rtol=1e-5, atol=1e-6)
    assert f'number n modulo {len(classes)}): class {classes[0]}, ' in out


def test_seeds_that_are_moved_have_classes_in_turn(run, tmp_path_factory, tmp_path):
    network = tiny.saved(LABELLED, tmp_path_factory)
    run(network=network, what='principal', samples=20, count=1, out='d.npz')
    out = run('--apply', network=network, directions='d.npz', direction='pc0', seeds='4,5', strengths='0', outdir='o')
    assert 'rows are seed 4 (class 1), seed 5 (class 2); columns' in out
    centers = np.stack([average_w(LABELLED, np.eye(3, dtype=np.float32)[number]) for number in (1, 2)])
    w = LABELLED.map(generate.latents([4, 5], 6), [1, 2])
    moved = latent_file.Latents.load(tmp_path / 'o' / 'pc0.npz')
    np.testing.assert_allclose(moved.ws, LABELLED.truncate(w, center=centers), rtol=1e-5, atol=1e-6)
