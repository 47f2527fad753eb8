"""The command that makes pictures: its flags, the networks it takes, and what it says to wrong ones."""

import dataclasses
import os
import pickle
import shutil

import jax
import numpy as np
import PIL.Image
import pytest

import reference_case
import tiny
import tiny_run
from stylegan_jax import generate, load
from stylegan_jax.cli.parsing import parse_seeds
from stylegan_jax.config import ImageConfig
from stylegan_jax.config.label_meaning import LabelMeaning
from stylegan_jax.errors import UserError
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.seed_labels import average_w
from stylegan_jax.storage import networks_of_runs
from stylegan_jax.storage.checkpoint import Checkpoints

CONFIG = tiny.generator_config(image=ImageConfig(8, label_dim=3))


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    """Path of a saved network with three classes."""
    return tiny.saved(tiny.generator(CONFIG), tmp_path_factory)


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory):
    """A run that has reached 4x4 of 8x8."""
    config = tiny_run.run_config()
    workdir = str(tmp_path_factory.mktemp('run'))
    generator = tiny.generator(config.generator)
    save_checkpoint(workdir, generator=generator, ema=tiny.filled(generator, seed=2), lod=1.0)
    return workdir


def save_checkpoint(workdir, nimg=32, **networks_and_lod):
    config = tiny_run.run_config()
    checkpoints = Checkpoints(workdir, keep=1)
    checkpoints.save(nimg, tiny.state(config, **networks_and_lod), config, {})
    checkpoints.wait()
    checkpoints.close()


def given_as_flags(given):
    return [f'--{name}={value}' for name, value in given.items() if value is not None]


@pytest.fixture
def pictures(run_command, tmp_path):
    """Returns a function that runs the command and reads {file name: pixels}."""
    count = iter(range(100))

    def run(network, **given):
        outdir = tmp_path / f'out{next(count)}' / 'deep'
        code, out, err = run_command(generate, *given_as_flags({'network': network, 'outdir': outdir} | given))
        assert code is None, err
        print(out, end='')
        return {name: np.asarray(PIL.Image.open(outdir / name)).astype(int) for name in sorted(os.listdir(outdir))}

    return run


@pytest.fixture
def error(run_command, tmp_path):
    """Returns a function that runs the command and gives the one line on stderr that it ends with."""

    def run(**given):
        code, out, err = run_command(generate, *given_as_flags({'outdir': tmp_path / 'out', 'seeds': '0'} | given))
        assert (code, out) == (2, '') and err.count('\n') == 1 and err.startswith('error: '), (code, out, err)
        return err

    return run


def differ(a, b):
    return np.abs(a['seed0005.png'] - b['seed0005.png']).max() > 1


# Seeds.


@pytest.mark.parametrize(
    'text, expected',
    [('7', [7]), ('0-3', [0, 1, 2, 3]), ('3,7,20-22', [3, 7, 20, 21, 22]), (' 1, 5-5 ', [1, 5]), ('2,2', [2, 2])],
)
def test_seeds_are_numbers_and_ranges(text, expected):
    assert parse_seeds(text) == expected


@pytest.mark.parametrize('text', ['', '-1', '1-', '-', '1-2-3', 'a', '1.5', '1;2', '1,', '5-3', '4294967296'])
def test_other_texts_are_no_seeds(text):
    with pytest.raises(UserError, match=f'^seeds={text}: '):
        parse_seeds(text)


def test_seeds_mean_the_latents_of_the_official_scripts():
    expected = np.concatenate([np.random.RandomState(seed).randn(1, 6) for seed in (3, 8)])
    np.testing.assert_array_equal(generate.latents([3, 8], 6), expected.astype(np.float32))


# Pictures.


def test_a_picture_a_seed_and_a_grid(network, pictures, capsys):
    made = pictures(network, seeds='0-17')  # more than go at a time, and not a multiple
    assert list(made) == ['grid.png', *(f'seed{seed:04d}.png' for seed in range(18))]
    rows = [
        np.concatenate([made.get(f'seed{seed:04d}.png', np.zeros([8, 8, 3])) for seed in range(row, row + 5)], axis=1)
        for row in range(0, 20, 5)
    ]
    np.testing.assert_array_equal(made['grid.png'], np.concatenate(rows))
    assert len({image.tobytes() for image in made.values()}) == 19
    assert capsys.readouterr().out.startswith('18 pictures of 8x8 and grid.png are in ')


def test_a_seed_is_the_same_picture_whatever_the_others(network, pictures):
    many, few, one = (pictures(network, seeds=seeds, noise='random') for seeds in ('0-16', '16,5', '5'))
    assert not differ(few, one) and not differ(many, one)
    np.testing.assert_allclose(many['seed0016.png'], few['seed0016.png'], atol=1)


def test_pictures_are_those_of_the_library(network, pictures):
    generator = load(network)
    images = generator(generate.latents([5], 6), [2], psi=0.5, noise='none')
    made = pictures(network, seeds='5', psi=0.5, noise='none', truncate_to='network', **{'class': 2})
    np.testing.assert_array_equal(made['seed0005.png'], grid.to_uint8(images)[0])


def test_random_noise_is_that_of_the_seed(network, pictures):
    expected = grid.to_uint8(load(network)(generate.latents([5], 6), noise=jax.random.key(5)))[0]
    made = pictures(network, seeds='3,5', noise='random', **{'class': 'none'})
    np.testing.assert_allclose(made['seed0005.png'], expected, atol=1)


@pytest.mark.parametrize(
    'given',
    [{'psi': 0.1}, {'noise': 'none'}, {'noise': 'random'}, {'class': 1}, {'lod': 0.5}, {'truncate_to': 'network'}],
    ids=str,
)
def test_flags_change_pictures(network, pictures, given):
    assert differ(pictures(network, seeds='5'), pictures(network, seeds='5', **given))


def test_repeated_seeds_are_made_and_saved_once_but_shown_as_asked(network, pictures):
    made = pictures(network, seeds=','.join(['5', '6'] * 20))
    assert list(made) == ['grid.png', 'seed0005.png', 'seed0006.png']
    np.testing.assert_array_equal(made['grid.png'][:8, :16], np.hstack([made['seed0005.png'], made['seed0006.png']]))
    assert made['grid.png'].shape == (6 * 8, 7 * 8, 3)


@pytest.mark.parametrize('precision', ['auto', 'tf32', 'float32'])
def test_precisions_are_the_same_on_processors(network, pictures, precision):
    assert not differ(pictures(network, seeds='5'), pictures(network, seeds='5', precision=precision))


def test_default_psi_is_that_of_the_network(network, pictures):
    assert not differ(pictures(network, seeds='5'), pictures(network, seeds='5', psi=CONFIG.truncation_psi))


def test_level_of_detail_halves_pictures(network, pictures):
    assert pictures(network, seeds='5', lod=1.0)['seed0005.png'].shape == (4, 4, 3)


def test_run_in_progress_shows_what_it_has_reached(run_dir, pictures):
    assert pictures(run_dir, seeds='5')['seed0005.png'].shape == (4, 4, 3)
    assert pictures(run_dir, seeds='5', lod=0.0)['seed0005.png'].shape == (8, 8, 3)


def test_network_and_level_of_detail_are_of_one_checkpoint(run_dir, pictures, tmp_path, monkeypatch):
    """Also where training saves the next stage right after the network was read."""
    expected = pictures(run_dir, seeds='5')
    workdir = str(shutil.copytree(run_dir, tmp_path / 'growing'))
    restore = networks_of_runs.restore

    def restore_and_go_on(*args):
        found = restore(*args)
        save_checkpoint(workdir, nimg=64, lod=0.0)
        return found

    monkeypatch.setattr(networks_of_runs, 'restore', restore_and_go_on)
    made = pictures(workdir, seeds='5')
    assert made['seed0005.png'].shape == (4, 4, 3)
    np.testing.assert_array_equal(made['seed0005.png'], expected['seed0005.png'])
    assert restore(workdir).nimg == 64


def test_run_has_two_generators(run_dir, pictures):
    averaged, raw = (pictures(run_dir, seeds='5', which=which) for which in ('ema', 'G'))
    assert differ(averaged, raw) and not differ(averaged, pictures(run_dir, seeds='5'))


@pytest.mark.parametrize('case', ['a32', 'f32-labels'])
def test_official_pickle(pictures, case):
    generator = load(reference_case.pickle_path(case))
    images = generator(
        generate.latents([0], generator.z_dim),
        [0] if generator.label_dim else None,
        psi=1.0 if generator.label_dim else None,
    )
    made = pictures(reference_case.pickle_path(case), seeds='0', psi=1 if generator.label_dim else None)
    np.testing.assert_array_equal(made['seed0000.png'], grid.to_uint8(images)[0])


# Classes.


@pytest.fixture(scope='module')
def named(tmp_path_factory):
    """Path of a saved network with three classes that have names, the first of them without images."""
    meaning = LabelMeaning(('cat', 'dog', 'owl'), (1, 2))
    return tiny.saved(dataclasses.replace(tiny.generator(CONFIG), label_meaning=meaning), tmp_path_factory)


def expected_picture(seed, label, psi=None):
    """The image of a seed with a label, truncated towards the average w of the label."""
    generator, label = tiny.generator(CONFIG), np.float32(label)
    w = generator.map(generate.latents([seed], 6), label[None])
    ws = generator.truncate(w, psi, center=average_w(generator, label))
    return grid.to_uint8(generator.synthesize(ws))[0]


def assert_same(picture, expected):
    np.testing.assert_allclose(picture, expected.astype(int), atol=1)


def test_each_seed_has_a_class_in_turn(network, pictures, capsys):
    made = pictures(network, seeds='4-7')
    for seed in range(4, 8):
        assert_same(made[f'seed{seed:04d}.png'], expected_picture(seed, np.eye(3)[seed % 3]))
    out = capsys.readouterr().out
    assert 'a class for each seed in turn (seed n: number n modulo 3): class 0, class 1, class 2; the network' in out
    assert differ(made, pictures(network, seeds='5', **{'class': 'none'}))


def test_classes_without_images_are_not_drawn_and_names_are_said(named, pictures, capsys):
    made = pictures(named, seeds='5,6')
    assert_same(made['seed0005.png'], expected_picture(5, [0, 0, 1]))
    assert_same(made['seed0006.png'], expected_picture(6, [0, 1, 0]))
    assert '(seed n: number n modulo 2): dog, owl; --class' in capsys.readouterr().out


@pytest.mark.parametrize('given', ['owl', '2', 'OWL', 'number:2', 'name:owl'])
def test_a_class_by_its_name_or_number(named, pictures, given):
    assert_same(pictures(named, seeds='5', **{'class': given})['seed0005.png'], expected_picture(5, [0, 0, 1]))


def test_several_classes_have_a_row_each(named, pictures, capsys):
    made = pictures(named, seeds='3-5', psi=0.4, **{'class': 'owl,1'})
    names = [[f'seed000{seed}-class{number}.png' for seed in (3, 4, 5)] for number in (2, 1)]
    assert set(made) == {'grid.png', *names[0], *names[1]}
    for row, number in zip(names, (2, 1)):
        for seed, name in zip((3, 4, 5), row):
            assert_same(made[name], expected_picture(seed, np.eye(3)[number], 0.4))
    rows = [np.hstack([made[name] for name in row]) for row in names]
    np.testing.assert_array_equal(made['grid.png'], np.vstack(rows))
    assert 'grid.png has a row for each class: owl, dog' in capsys.readouterr().out


def test_all_classes_are_those_that_have_images(named, pictures):
    made = pictures(named, seeds='7', **{'class': 'all'})
    assert list(made) == ['grid.png', 'seed0007-class1.png', 'seed0007-class2.png']


def test_the_grid_shows_all_classes_of_as_many_seeds_as_it_has_places_for(network, pictures, capsys):
    made = pictures(network, seeds='0-39', **{'class': 'all'})
    assert len(made) == 121 and made['grid.png'].shape == (3 * 8, 21 * 8, 3)
    np.testing.assert_array_equal(made['grid.png'][8:16, 160:], made['seed0020-class1.png'])
    assert 'grid.png of 3 classes and 21 seeds are in' in capsys.readouterr().out


def test_a_label_by_its_numbers(network, pictures):
    made = pictures(network, seeds='5', label='0,1,0.5')
    assert_same(made['seed0005.png'], expected_picture(5, [0, 1, 0.5]))


def test_labels_that_are_no_classes_are_those_of_the_training(pictures, capsys, tmp_path_factory):
    meaning = LabelMeaning(None, None, ((0.5, 0, 1), (1, 1, 0)))
    generator = dataclasses.replace(tiny.generator(CONFIG), label_meaning=meaning)
    made = pictures(tiny.saved(generator, tmp_path_factory), seeds='5')
    expected = generator(generate.latents([5], 6), np.float32([[1, 1, 0]]))
    assert_same(made['seed0005.png'], grid.to_uint8(expected)[0])
    assert '--label=0.5,0,1 gives another' in capsys.readouterr().out


def test_a_class_without_images_is_drawn_with_a_warning(named, run_command):
    code, _, err = run_command(generate, f'--network={named}', '--outdir=out', '--seeds=0', '--class=cat')
    assert code is None and 'warning: class 0 had no images in the training' in err


# What users get wrong.


@pytest.mark.parametrize(
    'given, expected',
    [
        ({'class': 3}, ['class 3 does not exist', '0 to 2']),
        ({'class': -1}, ['class -1 does not exist']),
        ({'class': 'dog'}, ['class dog does not exist', 'names are not known']),
        ({'label': '0,1'}, ['--label=0,1: give 3 numbers']),
        ({'label': '0,1,0', 'class': 1}, ['--label=0,1,0', 'give one of both']),
        ({'lod': 2.5}, ['lod=2.5', 'from 0 (8 pixels) to 1 (4 pixels)']),
        ({'lod': -1.0}, ['lod=-1.0']),
        ({'seeds': '5-3'}, ['--seeds=5-3']),
        ({'outdir': None}, ['--outdir is missing']),
        ({'network': None}, ['--network is missing']),
        ({'network': 'nowhere.pkl'}, ['nowhere.pkl: No such file']),
    ],
)
def test_wrong_flag(network, error, given, expected):
    message = error(**{'network': network} | given)
    assert all(text in message for text in expected), message


def test_class_for_a_network_without(run_dir, error):
    assert 'network without labels' in error(network=run_dir, **{'class': 1})
    assert '--label=1: this is a network without labels' in error(network=run_dir, label='1')
    assert '--truncate_to=class: this is a network without labels' in error(network=run_dir, truncate_to='class')


@pytest.mark.parametrize('given', [{'psi': 0.5}, {'noise': 'none'}, {'noise': 'random'}], ids=str)
def test_progressive_gan_has_no_truncation_and_no_noise(error, given):
    message = error(network=reference_case.pickle_path('a32'), **given)
    assert next(iter(given)) in message and 'Progressive GAN' in message


def test_random_noise_for_a_network_without(error):
    assert 'has no noise inputs' in error(network=reference_case.pickle_path('c32'), noise='random')


def test_truncated_pickle(error, tmp_path):
    path = tmp_path / 'half.pkl'
    with open(reference_case.pickle_path('a32'), 'rb') as file:
        path.write_bytes(file.read(100_000))
    assert f'{path}: ' in error(network=str(path))


def test_truncated_network_file(network, error, tmp_path):
    path = tmp_path / 'half.npz'
    with open(network, 'rb') as file:
        path.write_bytes(file.read()[:2000])
    assert f'{path}: ' in error(network=str(path))


def test_pickle_that_asks_for_a_program_runs_nothing(error, tmp_path):
    class Touch:
        def __reduce__(self):
            return os.system, (f'touch {tmp_path}/executed',)

    path = tmp_path / 'bad.pkl'
    path.write_bytes(pickle.dumps(Touch()))
    assert 'refused' in error(network=str(path))
    assert not (tmp_path / 'executed').exists()


def test_folder_that_is_no_run(error, tmp_path):
    assert 'not a run directory' in error(network=str(tmp_path))


def test_outdir_that_is_a_file(network, error, tmp_path):
    (tmp_path / 'file').write_text('')
    outdir = str(tmp_path / 'file')
    assert f'--outdir={outdir}: cannot be written' in error(network=network, outdir=outdir)


def test_picture_that_cannot_be_written(network, error, tmp_path):
    (tmp_path / 'seed0020.png').mkdir()  # a thread finds it
    message = error(network=network, outdir=str(tmp_path), seeds='0-40')
    assert f'--outdir={tmp_path}: cannot be written (Is a directory)' in message
    assert not [name for name in os.listdir(tmp_path) if name.endswith('.part')]
