"""The command that projects: what it writes, what it does to pictures, and what it says to wrong ones."""

import re

import numpy as np
import PIL.Image
import pytest

import reference_case
import tiny
from stylegan_jax import latents, project
from stylegan_jax.config import ImageConfig
from stylegan_jax.editing import projection
from stylegan_jax.editing.latent_file import Latents
from stylegan_jax.errors import UserError
from stylegan_jax.sampling import grid

GENERATOR = tiny.generator(tiny.generator_config(resolution=8))
COLOURS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    return tiny.saved(GENERATOR, tmp_path_factory)


@pytest.fixture(scope='module')
def faces(tmp_path_factory):
    """Paths of two pictures that the network made."""
    folder = tmp_path_factory.mktemp('faces')
    images = grid.to_uint8(GENERATOR(tiny.normal(2, 6, seed=9), psi=1))
    for name, image in zip('ab', images):
        grid.save_png(folder / f'{name}.png', image)
    return [str(folder / 'a.png'), str(folder / 'b.png')]


@pytest.fixture
def error(run_command, tmp_path):
    """Returns a function that runs the command and gives the one line on stderr that it ends with."""

    def run(**given):
        code, _, err = run_command(project, *(f'--{name}={value}' for name, value in given.items()), '--vgg=none')
        assert code == 2 and err.count('\n') == 1 and err.startswith('error: '), (code, err)
        return err

    return run


def test_everything_is_written(run_command, network, faces, tmp_path):
    code, out, err = run_command(
        project,
        f'--network={network}',
        f'--image={",".join(faces)}',
        '--outdir=deep/out',
        '--steps=30',
        '--restarts=2',
        '--candidates=10',
        '--batch=1',
        '--video',
        '--vgg=none',
    )
    assert code is None, err
    folder = tmp_path / 'deep' / 'out'
    assert sorted(path.name for path in folder.iterdir()) == ['latents.npz', 'optimisation.webp', 'projection.png']
    found = Latents.load(folder / 'latents.npz')
    assert found.names == ('a.png', 'b.png') and found.ws.shape == (2, 4, 5) and len(found.noise) == 4
    picture = np.asarray(PIL.Image.open(folder / 'projection.png'))[::16, ::16]
    assert picture.shape == (16, 16, 3)
    images = grid.to_uint8(GENERATOR.synthesize(found.ws, noise=list(found.noise))).astype(int)
    for row, face in enumerate(faces):
        cells = picture[8 * row : 8 * row + 8]
        np.testing.assert_array_equal(cells[:, :8], np.asarray(PIL.Image.open(face)))
        assert np.abs(cells[:, 8:] - images[row]).max() <= 1
    video = PIL.Image.open(folder / 'optimisation.webp')
    assert video.n_frames == 8 and video.size == (256, 256)  # steps 3, 13, 23, 30 of each
    for text in (
        'a.png: 8x8\n',
        'pixels at all sizes (no LPIPS: left out by --vgg=none; no discriminator in ',
        'noise inputs: optimize',
        'b.png: PSNR ',
    ):
        assert text in out

    code, _, err = run_command(latents, f'--network={network}', '--what=principal', '--samples=20', '--out=d.npz')
    code, _, err = run_command(
        latents,
        f'--network={network}',
        '--apply',
        '--directions=d.npz',
        '--direction=pc0',
        '--latents=deep/out/latents.npz',
        '--strengths=0',
        '--outdir=moved',
    )
    assert code is None, err
    moved = np.asarray(PIL.Image.open(tmp_path / 'moved' / 'pc0.png'))[::12, ::12]
    assert np.abs(moved - picture[:, 8:].astype(int)).max() <= 1


def test_what_was_found_before_an_error_is_kept(run_command, tmp_path, network, faces, monkeypatch):
    whole = projection.project

    def project_one(generator, targets, **options):
        if (targets == np.asarray(PIL.Image.open(faces[1]))).all():
            raise UserError('left the finite numbers')
        return whole(generator, targets, **options)

    monkeypatch.setattr(projection, 'project', project_one)
    code, _, err = run_command(
        *(project, f'--network={network}', f'--image={faces[0]},{faces[1]}', '--outdir=out', '--vgg=none'),
        *('--steps=2', '--restarts=1', '--candidates=4', '--batch=1'),
    )
    assert code == 2 and err == 'error: left the finite numbers\n'
    assert Latents.load(tmp_path / 'out' / 'latents.npz').names == ('a.png',)
    assert PIL.Image.open(tmp_path / 'out' / 'projection.png').size == (256, 128)


def test_a_long_video_shows_fewer_frames_for_longer(run_command, tmp_path, network, faces, monkeypatch):
    monkeypatch.setattr(project, '_FRAMES_BYTES', 5 * 3 * 256 * 128)  # five frames of the seven there are
    code, _, err = run_command(
        *(project, f'--network={network}', f'--image={faces[0]}', '--outdir=out', '--vgg=none', '--video'),
        *('--steps=60', '--restarts=1', '--candidates=4'),
    )
    assert code is None, err
    video = PIL.Image.open(tmp_path / 'out' / 'optimisation.webp')
    video.load()
    assert (video.n_frames, video.info['duration']) == (4, 160)


def test_there_is_a_sign_of_life_without_a_terminal(run_command, network, faces, monkeypatch):
    """Also before the first report of the optimisation, which is when the starts are chosen and all is compiled."""
    monkeypatch.setattr(project, '_BEAT', 0.02)
    code, out, err = run_command(
        *(project, f'--network={network}', f'--image={faces[0]}', '--outdir=out', '--vgg=none'),
        *('--steps=12', '--restarts=2', '--candidates=10'),
    )
    assert code is None, err
    said = [line for line in out.splitlines() if line.endswith('s)')]
    assert re.fullmatch(r'choosing the starts, and compiling \(\d+s\)', said[0])
    assert any(re.fullmatch(r'\d+ of 12 steps, distance \d\.\d{4}, \d+\.\d dB \(\d+s\)', line) for line in said)


def test_official_pickle_has_its_discriminator(run_command, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 32, 3), np.uint8)
    PIL.Image.fromarray(picture).save('me.png')
    code, out, err = run_command(
        project,
        f'--network={reference_case.pickle_path("c32")}',
        '--image=me.png',
        '--steps=2',
        '--outdir=out',
        '--restarts=1',
        '--candidates=4',
        '--vgg=none',
    )
    assert code is None, err
    assert 'me.png: 32x40, cropped to the central 32x32' in out
    assert 'compared by features of the discriminator' in out and 'noise inputs: the network has none' in out
    assert Latents.load(tmp_path / 'out' / 'latents.npz').noise == 'none'


# Pictures.


def test_picture_is_cropped_and_reduced_as_it_says(tmp_path):
    PIL.Image.fromarray(COLOURS).save(tmp_path / 'a.png')
    target, done = project.read_target(tmp_path / 'a.png', (6, 6, 3))
    assert done == '20x12, cropped to the central 12x12, reduced to 6x6'
    expected = COLOURS[:, 4:16].reshape(6, 2, 6, 2, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(target, np.rint(expected))
    assert project.read_target(tmp_path / 'a.png', (12, 20, 3))[1] == '20x12'


def test_transparency_becomes_white_and_colours_grey(tmp_path):
    seen = np.concatenate([COLOURS, np.zeros((12, 20, 1), np.uint8)], axis=2)
    PIL.Image.fromarray(seen).save(tmp_path / 'a.png')
    target, done = project.read_target(tmp_path / 'a.png', (12, 20, 3))
    assert target.min() == 255 and 'put on white where it is transparent' in done
    PIL.Image.fromarray(COLOURS).save(tmp_path / 'b.png')
    target, done = project.read_target(tmp_path / 'b.png', (12, 20, 1))
    assert target.shape == (12, 20, 1) and 'made grey' in done


@pytest.mark.parametrize('mode', ['L', '1', 'LA', 'I;16'])
def test_grey_pictures_need_a_word(tmp_path, mode):
    picture = PIL.Image.new(mode, (8, 8))
    picture.save(tmp_path / 'grey.png')
    with pytest.raises(UserError, match='grey.png: the picture is grey, and the network makes colours; .*--allow_grey'):
        project.read_target(tmp_path / 'grey.png', (8, 8, 3))
    assert project.read_target(tmp_path / 'grey.png', (8, 8, 3), allow_grey=True)[0].shape == (8, 8, 3)
    assert project.read_target(tmp_path / 'grey.png', (8, 8, 1))[0].shape == (8, 8, 1)


def test_pictures_that_cannot_be_used(error, network, faces, tmp_path):
    (tmp_path / 'text.png').write_text('no picture')
    PIL.Image.new('RGB', (7, 30)).save(tmp_path / 'small.png')
    half = open(faces[0], 'rb').read()
    (tmp_path / 'half.png').write_bytes(half[: len(half) // 2])
    for name, expected in (
        ('nowhere.png', 'nowhere.png: cannot be read (No such file'),
        ('text.png', 'text.png: not a PNG, JPEG, WebP, TIFF or other image'),
        ('half.png', 'half.png: '),
        ('small.png', 'small.png: its 7x30 pixels are too few for 8x8'),
    ):
        assert expected in error(network=network, image=name, outdir='out')
    assert not (tmp_path / 'out').exists()


# Flags.


@pytest.mark.parametrize(
    'given, expected',
    [
        ({'network': None}, '--network is missing'),
        ({'image': None}, '--image is missing'),
        ({'outdir': None}, '--outdir is missing'),
        ({'network': 'nowhere.pkl'}, 'nowhere.pkl: No such file'),
        ({'lod': 5}, 'lod=5.0'),
        ({'lod': 'nan'}, '--lod=nan: give a number'),
        ({'network': reference_case.pickle_path('a32')}, 'Progressive GAN generator has no intermediate latents w'),
    ],
    ids=str,
)
def test_mistakes(error, network, faces, given, expected):
    given = {'network': network, 'image': faces[0], 'outdir': 'out'} | given
    assert expected in error(**{name: value for name, value in given.items() if value is not None})


def test_noise_for_a_network_without(error):
    PIL.Image.new('RGB', (32, 32)).save('me.png')
    message = error(network=reference_case.pickle_path('c32'), image='me.png', outdir='out', noise='optimize')
    assert 'this network has no noise inputs' in message


def test_weights_that_were_named_must_be_there(run_command, network):
    PIL.Image.new('RGB', (8, 8)).save('me.png')
    code, _, err = run_command(project, f'--network={network}', '--image=me.png', '--outdir=out', '--vgg=no.pth')
    assert code == 2 and 'no.pth: no such file' in err


def test_outdir_that_is_a_file(error, network, faces, tmp_path):
    (tmp_path / 'file').write_text('')
    assert '--outdir=file: cannot be written' in error(network=network, image=faces[0], outdir='file')


@pytest.mark.parametrize(
    'given, expected', [({}, 'class 0, class 1'), ({'class': '1'}, 'class 1'), ({'label': '0,1'}, 'the label')]
)
def test_a_network_with_labels_is_searched_near_its_classes(run_command, faces, given, expected, tmp_path_factory):
    generator = tiny.generator(tiny.generator_config(image=ImageConfig(8, label_dim=2)))
    flags = {'network': tiny.saved(generator, tmp_path_factory), 'image': faces[0], 'outdir': 'out'} | given
    few = '--steps=2', '--restarts=1', '--candidates=2', '--vgg=none'
    code, out, err = run_command(project, *(f'--{name}={value}' for name, value in flags.items()), *few)
    assert code is None, err
    assert f'latents w are searched near those of {expected}\n' in out
