"""The command that makes figures: its flags, and what it says to wrong ones."""

import os

import numpy as np
import PIL.Image
import pytest

import reference_case
import tiny
from stylegan_jax.config import ImageConfig
from stylegan_jax.figures import __main__ as command
from stylegan_jax.figures import settings, style_mixing, truncation
from stylegan_jax.figures.look import Look
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.latents import latents
from stylegan_jax.sampling.painter import Painter
from stylegan_jax.sampling.seed_labels import average_w, labels_in_turn

CONFIG = tiny.generator_config(image=ImageConfig(16, label_dim=2))
FEW = ['--samples=5']


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('network') / 'network.npz')
    tiny.generator(CONFIG).save(path)
    return path


@pytest.fixture
def figures(run_command, tmp_path):
    """Returns a function that runs the command and reads ({name: pixels}, stdout)."""
    count = iter(range(100))

    def run(network, *arguments):
        outdir = tmp_path / f'out{next(count)}' / 'deep'
        code, out, err = run_command(command, f'--network={network}', f'--outdir={outdir}', *FEW, *arguments)
        assert code is None, err
        return {name: np.asarray(PIL.Image.open(outdir / name)) for name in sorted(os.listdir(outdir))}, out

    return run


@pytest.fixture
def error(run_command, network, tmp_path):
    """Returns a function that runs the command and gives the one line on stderr that it ends with."""

    def run(*arguments):
        code, out, err = run_command(command, f'--network={network}', f'--outdir={tmp_path}/out', *arguments)
        assert (code, out) == (2, '') and err.count('\n') == 1 and err.startswith('error: '), (code, out, err)
        return err

    return run


@pytest.mark.smoke
def test_all_figures_are_made(network, figures):
    made, out = figures(network)
    assert list(made) == [
        'noise-components.png',
        'noise-detail.png',
        'style-mixing.png',
        'style-table.png',
        'truncation.png',
        'uncurated.png',
    ]
    assert len({picture.tobytes() for picture in made.values()}) == 6
    for name, picture in made.items():
        assert f'{name}: {picture.shape[1]}x{picture.shape[0]}' in out


def test_flags_choose_what_is_drawn(network, figures):
    made, _ = figures(
        network,
        '--figure=style_mixing,truncation',
        '--nocaptions',
        '--gutter=5',
        '--scale=2',
        '--sources=1-3',
        '--destinations=4,5',
        '--ranges=fine,0-2',
        '--psis=1,-0.5',
        '--class=1',
        '--truncate_to=network',
        '--truncation_seeds=7',
        '--psi=0.5',
    )
    artist = Painter(tiny.generator(CONFIG), label=1)
    chosen = settings.Settings(
        sources=(1, 2, 3), destinations=(4, 5), ranges=('fine', '0-2'), psis=(1.0, -0.5), truncation_seeds=(7,)
    )
    look = Look(captions=False, gutter=5, scale=2)
    expected = {
        'style-mixing.png': style_mixing.draw(artist, chosen, look, 0.5),
        'truncation.png': truncation.draw(artist, chosen, look),
    }
    assert made.keys() == expected.keys()
    for name, figure in expected.items():
        np.testing.assert_array_equal(made[name], figure.picture)
    assert made['truncation.png'].shape == (32, 2 * 32 + 5, 3)


def test_level_of_detail(network, figures):
    made, _ = figures(network, '--figure=truncation', '--lod=1', '--scale=1', '--gutter=0', '--nocaptions')
    assert made['truncation.png'].shape == (2 * 8, 6 * 8, 3)


@pytest.mark.parametrize(
    'case, there',
    [
        ('a32', ['uncurated.png']),
        ('b32', ['uncurated.png']),
        ('c32', ['style-mixing.png', 'style-table.png', 'truncation.png', 'uncurated.png']),
    ],
)
def test_networks_without_noise_or_styles_say_what_they_do_not_have(figures, case, there):
    made, out = figures(reference_case.pickle_path(case), '--rows=1', '--lods=0')
    assert list(made) == there
    said = [line for line in out.splitlines() if line.startswith('no ')]
    assert (
        len(said) + len(there) == 6 and 'no noise-detail: it has no noise inputs (configurations E and F have)' in said
    )


@pytest.mark.parametrize(
    'case, figure, why',
    [
        ('a32', 'style-mixing', 'no styles'),
        ('a32', 'truncation', 'no W to truncate'),
        ('b32', 'style-table', 'no styles'),
        ('c32', 'noise-detail', 'no noise inputs'),
        ('c32', 'uncurated,noise_components', 'no noise inputs'),
    ],
)
def test_asking_for_a_figure_that_does_not_exist(error, case, figure, why):
    message = error(f'--network={reference_case.pickle_path(case)}', f'--figure={figure}')
    assert figure.split(',')[-1].replace('_', '-') in message and why in message


@pytest.mark.parametrize(
    'arguments, expected',
    [
        (['--figure=mixing'], ["no figure 'mixing'", 'all or uncurated, style-mixing']),
        (['--network='], ['--network is missing']),
        (['--outdir='], ['--outdir is missing']),
        (['--network=nowhere.pkl'], ['nowhere.pkl: No such file']),
        (['--psi=nan'], ['--psi=nan']),
        (['--psis=1,x'], ['--psis=1,x: give numbers', '1,0.7,0.5']),
        (['--psis=inf'], ['--psis=inf']),
        (['--lods=0,-1'], ['--lods=0,-1']),
        (['--crop=1,2,3'], ['--crop=1,2,3']),
        (['--crop=0,0,17,16', '--figure=uncurated'], ['--crop=0,0,17,16', '16x16']),
        (['--sources=5-3'], ['--sources=5-3']),
        (['--destinations=1', '--figure=style-mixing'], ['--ranges: 6 were given for 1']),
        (['--class=2'], ['class 2 does not exist']),
        (['--lod=9'], ['lod=9']),
        (['--paper=cars'], ['--paper=cars', '512x512', '16x16']),
        (['--scale=0'], ['scale']),
    ],
)
def test_wrong_flag(error, arguments, expected):
    message = error(*arguments)
    assert all(text in message for text in expected), message


def test_psi_for_progressive_gan(error):
    assert '--psi=0.5: ' in error(f'--network={reference_case.pickle_path("a32")}', '--psi=0.5')


def test_outdir_that_is_a_file(error, tmp_path):
    (tmp_path / 'file').write_text('')
    assert 'cannot be written' in error(f'--outdir={tmp_path}/file', '--figure=truncation')


@pytest.mark.parametrize('given', ['0,2', None])
def test_seeds_have_classes_in_turn(figures, given, tmp_path_factory):
    generator = tiny.generator(tiny.generator_config(image=ImageConfig(8, label_dim=3)))
    network, flags = tiny.saved(generator, tmp_path_factory), [f'--class={given}'] if given else []
    made, out = figures(
        network, '--figure=truncation,uncurated', '--nocaptions', '--gutter=0', '--scale=1', '--psis=1,0',
        '--truncation_seeds=3,5', '--rows=2', '--lods=0', *flags
    )  # fmt: skip
    classes = [0, 2] if given else [0, 1, 2]
    of_seed = [classes[seed % len(classes)] for seed in (3, 5)]
    w = generator.map(latents([3, 5], 6), of_seed)
    centers = np.stack([average_w(generator, np.eye(3, dtype=np.float32)[number]) for number in of_seed])
    both = [np.asarray(generator.truncate(some, 1)) for some in (w, centers)]
    rows = [np.hstack([grid.to_uint8(generator.synthesize(ws[row : row + 1]))[0] for ws in both]) for row in (0, 1)]
    np.testing.assert_allclose(made['truncation.png'].astype(int), np.vstack(rows), atol=1)
    assert made['uncurated.png'].shape == (16, 8, 3)
    assert f'a class for each seed in turn (seed n: number n modulo {len(classes)}): class 0, ' in out


def test_captions_name_the_class():
    generator = tiny.generator(tiny.generator_config(image=ImageConfig(8, label_dim=3)))
    assert Painter(generator, label=labels_in_turn(generator)).labels.caption(5) == 'seed 5 (class 2)'
    assert Painter(generator, label=1).labels.caption(5) == 'seed 5'
