"""Films: paths through latents, scenes against images made directly, the files, and the command."""

import dataclasses
import os
import sys
import weakref

import numpy as np
import PIL.Image
import pytest

import reference_case
import tiny
from stylegan_jax import animate, mix
from stylegan_jax.animation import film, paths, scenes
from stylegan_jax.config import ImageConfig
from stylegan_jax.errors import UserError
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.latents import latents
from stylegan_jax.sampling.painter import Painter
from stylegan_jax.sampling.seed_labels import average_w, class_labels

CONFIG = tiny.generator_config(image=ImageConfig(16, base_shape=(4, 3)))


@pytest.fixture(autouse=True)
def no_forks(monkeypatch):
    """Lets imageio_ffmpeg, which reads films here, start ffmpeg without running Python in a copy of this process."""
    monkeypatch.setenv('IMAGEIO_FFMPEG_NO_PREVENT_SIGINT', '1')


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    return tiny.saved(tiny.generator(CONFIG), tmp_path_factory)


@pytest.fixture(scope='module')
def artist():
    return Painter(tiny.generator(CONFIG))


def tile(*images, columns):
    """A frame of images of 16x12, enlarged to 256x192 where there is one, and to 128x96 where there are more."""
    return grid.enlarge(grid.image_grid(np.stack(images), columns), 16 if len(images) == 1 else 8)


# Paths.


@pytest.mark.parametrize('kind', paths.KINDS)
def test_paths_pass_all_points_and_are_closed(kind):
    points = np.random.default_rng(0).standard_normal((4, 6))
    places = paths.path(points, 40, kind)
    np.testing.assert_allclose(places[::10], points, atol=1e-12)
    steps = np.linalg.norm(np.diff(places, axis=0, append=places[:1]), axis=1)
    assert steps.max() < 4 * steps.mean()  # no jump, neither at the end


def test_slerp_keeps_lengths_and_goes_at_an_even_speed():
    a, b = np.array([2.0, 0, 0]), np.array([0, 2.0, 0])
    np.testing.assert_allclose(paths.slerp(a, b, 1 / 3), [np.sqrt(3), 1, 0], atol=1e-12)
    np.testing.assert_allclose(paths.slerp(a, 2 * b, 0.5), 3 * np.array([1, 1, 0]) / np.sqrt(2), atol=1e-12)


@pytest.mark.parametrize('factor', [1, 3, -1])
def test_slerp_of_latents_in_one_line_is_finite(factor):
    a = np.array([1.0, 2.0])
    np.testing.assert_allclose(paths.slerp(a, factor * a, 0.25), a * (1 + (factor - 1) * 0.25), atol=1e-9)


def test_splines_have_no_corners():
    points = np.random.default_rng(0).standard_normal((5, 3))
    turns = {
        kind: np.abs(np.diff(np.concatenate([p := paths.path(points, 500, kind), p[:2]]), 2, axis=0)).max()
        for kind in ('spline', 'linear')
    }
    assert turns['spline'] < turns['linear'] / 10


def test_one_point_stays_and_too_few_frames_are_refused():
    np.testing.assert_array_equal(paths.path(np.ones([1, 3]), 4, 'spline'), np.ones([4, 3]))
    with pytest.raises(UserError, match='3 frames are too few to pass 4 points'):
        paths.path(np.ones([4, 3]), 3, 'slerp')


def test_there_and_back():
    np.testing.assert_allclose(paths.there_and_back(1, -1, 4), [1, 0, -1, 0], atol=1e-12)


# Scenes.


def assert_near(frame, expected):
    """The same but for rounding, by which batches of other sizes differ."""
    assert frame.shape == expected.shape and frame.dtype == np.uint8
    assert np.abs(frame.astype(int) - expected).max() <= 1


@pytest.mark.parametrize('space', ['z', 'w'])
def test_walk_passes_the_images_of_its_seeds_in_every_place(artist, space):
    frames = list(scenes.walk(artist, range(6), count=9, space=space, psi=0.7, rows=1, columns=2))
    images = grid.to_uint8(artist.generator(latents(range(6), 6), psi=0.7))
    assert len(frames) == 9
    for number in range(3):
        assert_near(frames[3 * number], tile(images[number], images[3 + number], columns=2))
    assert len({frame.tobytes() for frame in frames}) == 9


def test_beside_a_walk_is_its_column_over_time(artist):
    walk = [frame[::16, ::16] for frame in scenes.walk(artist, range(3), count=9, space='w', psi=0.7)]
    frames = list(scenes.sticking(artist, range(3), count=9, space='w', psi=0.7, column=4))
    assert len(frames) == 9
    for number, frame in enumerate(frames):
        side, past = frame[::16, : 12 * 16 : 16], frame[::16, 12 * 16 + 3 :]
        assert past.shape == (16, 9 * (12 * 16 // 9), 3)
        unmarked = [column for column in range(12) if column != 4]
        assert_near(side[:, unmarked], walk[number][:, unmarked])
        assert_near(side[:, 4], 255 - walk[number][:, 4])
        # The column now is the last one; those before it are the frames before, of a closed film.
        expected = np.stack([walk[(number - 8 + time) % 9][:, 4] for time in range(9)], axis=1)
        assert_near(past[:, :: 12 * 16 // 9], expected)


def test_mixing_moves_one_range_a_column(artist):
    frames = list(scenes.mixing(artist, [1, 2], [5, 6, 7], count=4))
    G = artist.generator
    ws = {seed: G.truncate(G.map(latents([seed], 6)), 1) for seed in (1, 2, 5, 6, 7)}
    mixed = [
        grid.to_uint8(G.synthesize(mix(ws[still], ws[2], layers)))[0]
        for still in (5, 6, 7)
        for layers in (range(0, 2), range(2, 4), range(4, 6))
    ]
    assert_near(frames[2], tile(*mixed, columns=3))


def test_truncation_goes_from_one_psi_to_the_other(artist):
    frames = list(scenes.truncation(artist, [3, 4, 5], count=4, first=1, last=-1, columns=2))
    G = artist.generator
    w = G.map(latents([3, 4, 5], 6))
    for number, psi in ((0, 1.0), (1, 0.0), (2, -1.0)):
        assert_near(frames[number], tile(*grid.to_uint8(G.synthesize(G.truncate(w, psi, 6))), columns=2))


def test_noise_turns_while_latents_stay(artist):
    frames = list(scenes.noise(artist, [3, 4], count=20, psi=0.7, columns=2))
    ends = [scenes._noise_of(artist, [3, 4], number) for number in range(2)]
    images = grid.to_uint8(artist.generator(latents([3, 4], 6), psi=0.7, noise=ends[1]))
    assert_near(frames[5], tile(*images, columns=2))
    assert len({frame.tobytes() for frame in frames}) == 20
    alone = list(scenes.noise(artist, [4], count=20, psi=0.7))
    assert_near(alone[3][::16, ::16], frames[3][::8, 96::8])  # a seed's noise is its own
    turned = [np.cos(1) * a + np.sin(1) * b for a, b in zip(*ends)]
    assert 0.85 < np.std(turned[-1]) < 1.15


def test_a_last_batch_of_one_frame_is_drawn_with_the_same_program():
    artist = Painter(tiny.generator(dataclasses.replace(CONFIG, w_dim=7)))  # of this test alone
    assert len(list(scenes.noise(artist, [3], count=artist.batch + 1))) == artist.batch + 1
    assert len(artist._program._compiled) == 1


def test_scenes_are_the_same_every_time(artist):
    for first, again in zip(*(scenes.noise(artist, [3], count=3) for _ in range(2))):
        np.testing.assert_array_equal(first, again)


# Files.


def frames_of(count, height=20, width=34, channels=3):
    """Frames that differ, and that encoders can keep: a bright square walks over a dark ground."""
    for number in range(count):
        frame = np.full([height, width, channels], 30, np.uint8)
        frame[4:12, 2 * number : 2 * number + 8] = 220
        yield frame


def read_mp4(path):
    """(frames, {fps, size, ...}) of an MP4."""
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about['size']
    return [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader], about


def test_mp4_has_the_frames(tmp_path):
    film.write(str(tmp_path / 'deep' / 'film.mp4'), frames_of(10), 10, 25)
    frames, about = read_mp4(tmp_path / 'deep' / 'film.mp4')
    assert (len(frames), about['size'], about['fps'], about['codec']) == (10, (34, 20), 25, 'h264')
    for frame, expected in zip(frames, frames_of(10)):
        assert np.abs(frame.astype(int) - expected).mean() < 4
    assert os.listdir(tmp_path / 'deep') == ['film.mp4']


@pytest.mark.parametrize('height, width, channels', [(21, 35, 3), (20, 33, 1), (21, 34, 4), (4, 3, 3)])
def test_mp4_of_odd_sides_and_other_channels(tmp_path, height, width, channels):
    film.write(str(tmp_path / 'film.mp4'), frames_of(3, height, width, channels), 3, 30)
    frames, about = read_mp4(tmp_path / 'film.mp4')
    assert len(frames) == 3 and about['size'] == (width + width % 2, height + height % 2)


def test_films_show_cutouts_on_white():
    image = np.uint8([[[255, 255, 0, 255], [0, 0, 0, 0], [100, 200, 0, 51]]])
    np.testing.assert_array_equal(film.as_rgb(image), [[[255, 255, 0], [255, 255, 255], [224, 244, 204]]])


def test_odd_sides_repeat_their_last_pixels():
    image = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
    np.testing.assert_array_equal(film.even(image)[..., 0], [[0, 1, 2, 2], [3, 4, 5, 5], [6, 7, 8, 8], [6, 7, 8, 8]])


@pytest.mark.parametrize('suffix, durations', [('webp', [33, 34, 33]), ('gif', [30, 40, 30])])
def test_animated_pictures(tmp_path, suffix, durations):
    path = tmp_path / f'film.{suffix}'
    film.write(str(path), frames_of(3, 21, 33), 3, 30)
    with PIL.Image.open(path) as picture:
        assert (picture.n_frames, picture.size, picture.info['loop']) == (3, (33, 21), 0)
        for number, expected in enumerate(frames_of(3, 21, 33)):
            picture.seek(number)
            assert np.abs(np.asarray(picture.convert('RGB')).astype(int) - expected).mean() < 4
            assert picture.info['duration'] == durations[number]


@pytest.mark.parametrize('suffix', film.SUFFIXES)
def test_films_are_the_same_every_time(tmp_path, suffix):
    for name in 'ab':
        film.write(str(tmp_path / f'{name}{suffix}'), frames_of(5), 5, 30)
    assert (tmp_path / f'a{suffix}').read_bytes() == (tmp_path / f'b{suffix}').read_bytes()


def test_a_film_that_fails_leaves_nothing_and_what_was_there(tmp_path):
    def failing():
        yield from frames_of(2)
        raise UserError('stopped')

    (tmp_path / 'film.mp4').write_text('before')
    with pytest.raises(UserError, match='stopped'):
        film.write(str(tmp_path / 'film.mp4'), failing(), 5, 30)
    assert os.listdir(tmp_path) == ['film.mp4'] and (tmp_path / 'film.mp4').read_text() == 'before'


def test_what_ffmpeg_complains_of_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(film, '_CRF', 'x')
    with pytest.raises(UserError, match='film.mp4: cannot be written .*crf'):
        film.write(str(tmp_path / 'film.mp4'), frames_of(500), 500, 30)
    assert not os.listdir(tmp_path)


def test_films_that_are_too_large(tmp_path, monkeypatch):
    with pytest.raises(UserError, match='frames of 8194x2 are too large for mp4'):
        film.write(str(tmp_path / 'film.mp4'), frames_of(1, 2, 8194), 1, 30)
    monkeypatch.setattr(film, 'MEMORY_BUDGET', 10_000)
    with pytest.raises(UserError, match='9 frames of 34x20 are too many .* name an .mp4'):
        film.write(str(tmp_path / 'film.gif'), frames_of(9), 9, 30)
    assert not os.listdir(tmp_path)


def test_frames_of_webp_are_not_held_in_memory(tmp_path):
    alive, most = [], []

    def frames():
        for number in range(30):
            frame = np.full((20, 34, 3), 8 * number, np.uint8)
            alive.append(frame.ctypes.data)
            weakref.finalize(frame, alive.pop)
            most.append(len(alive))
            yield frame
            del frame

    film.write(str(tmp_path / 'film.webp'), frames(), 30, 30)
    with PIL.Image.open(tmp_path / 'film.webp') as picture:
        assert picture.n_frames == 30
        for number in (0, 17, 29):
            picture.seek(number)
            assert np.abs(np.asarray(picture.convert('RGB')).astype(int) - 8 * number).max() <= 3
    assert max(most) <= 2


# The command.


@pytest.fixture
def error(run_command):
    """Returns a function that runs the command and gives the one line on stderr that it ends with."""

    def run(*arguments):
        code, out, err = run_command(animate, *arguments)
        assert (code, out) == (2, '') and err.count('\n') == 1 and err.startswith('error: '), (code, out, err)
        return err

    return run


@pytest.mark.parametrize(
    'arguments, frames, size',
    [
        (['--seeds=1-3', '--seconds=0.5', '--fps=12'], 6, (192, 256)),
        (['--seeds=1-4', '--seconds=0.5', '--fps=12', '--grid=2x1', '--space=w'], 6, (192, 128)),
        (['--kind=mixing', '--seeds=1-3', '--seconds=0.5', '--fps=12'], 6, (3 * 96, 2 * 128)),
        (['--kind=truncation', '--seeds=1-3', '--seconds=0.5', '--fps=12', '--psis=1,0'], 6, (192, 256)),
        (['--kind=noise', '--seeds=1', '--seconds=0.5', '--fps=12', '--lod=1'], 6, (192, 256)),
        (['--kind=sticking', '--seeds=1-3', '--seconds=0.5', '--fps=12'], 6, (192 + 3 + 192, 256)),
    ],
)
def test_kinds_of_film(run_command, network, tmp_path, arguments, frames, size):
    code, out, err = run_command(animate, f'--network={network}', '--out=film.webp', *arguments)
    assert code is None, err
    assert out == f'film.webp: {frames} frames at 12 a second\n'
    with PIL.Image.open(tmp_path / 'film.webp') as picture:
        assert (picture.n_frames, picture.size) == (frames, size)


def test_walks_last_two_seconds_a_seed(run_command, network, tmp_path):
    assert run_command(animate, f'--network={network}', '--out=film.mp4', '--seeds=1-2', '--fps=5')[0] is None
    assert len(read_mp4(tmp_path / 'film.mp4')[0]) == 2 * 2 * 5


def test_progressive_gan_walks(run_command, tmp_path):
    code, _, err = run_command(
        animate, f'--network={reference_case.pickle_path("a32")}', '--out=film.gif', '--seeds=1-2', '--seconds=0.2'
    )
    assert code is None, err
    with PIL.Image.open(tmp_path / 'film.gif') as picture:
        assert picture.size == (256, 256) and picture.n_frames > 1


@pytest.fixture
def run_dir(tmp_path):
    """Sample grids of three ticks, and pictures that are none."""
    (tmp_path / 'run').mkdir()
    for name, value in (('fakes000005', 50), ('fakes000010', 120), ('fakes000123', 200), ('reals', 9), ('fakes-x', 9)):
        grid.save_png(tmp_path / 'run' / f'{name}.png', np.full([8, 10, 3], value, np.uint8))
    return tmp_path / 'run'


def test_training_shows_the_ticks_in_order_and_holds_the_last(run_command, run_dir, tmp_path):
    code, out, err = run_command(animate, '--kind=training', f'--run={run_dir}', '--out=training.mp4')
    assert code is None, err
    levels = [round(float(frame.mean())) for frame in read_mp4(tmp_path / 'training.mp4')[0]]
    np.testing.assert_allclose(levels, [50, 120] + [200] * 9, atol=4)
    assert out == 'training.mp4: 3 pictures at 4 a second\n'


def test_pictures_of_another_run_or_damaged(error, run_dir):
    grid.save_png(run_dir / 'fakes000200.png', np.zeros([4, 4, 3], np.uint8))
    arguments = ['--kind=training', f'--run={run_dir}', '--out=film.gif']
    assert 'fakes000200.png: has 4x4 pixels, and those before it 10x8' in error(*arguments)
    (run_dir / 'fakes000005.png').write_bytes((run_dir / 'fakes000010.png').read_bytes()[:40])
    assert 'fakes000005.png: is no whole picture' in error(*arguments)


@pytest.mark.parametrize(
    'arguments, expected',
    [
        (['--out='], '--out is missing'),
        (['--out=film.avi'], '--out=film.avi: name a file that ends in .mp4, .webp, .gif'),
        (['--fps=0'], '--fps=0.0: give a number above 0, at most 240'),
        (['--fps=nan'], '--fps=nan'),
        (['--seconds=-1'], '--seconds=-1.0'),
        (['--seconds=inf'], '--seconds=inf'),
        (['--seconds=1e9'], 'frames: a film has 1 to 100,000'),
        (['--seconds=0.001'], '0 frames'),
        (['--seconds=0.1'], '3 frames are too few to pass 8 points'),
        (['--grid=3x2'], '8 seeds cannot be shared out among 6 places'),
        (['--grid=0x2'], '--grid=0x2'),
        (['--grid=9x9'], '--grid=9x9'),
        (['--grid=2x1', '--kind=noise'], '--grid=2x1: is for walks'),
        (['--column=3'], '--column=3: is for --kind=sticking'),
        (['--kind=sticking', '--column=12'], '--column=12: give one from 0 to 11'),
        (['--space=w', '--path=slerp'], '--path=slerp: is for --space=z'),
        (['--psis=1', '--kind=truncation'], '--psis=1: give two numbers'),
        (['--psi=1', '--kind=truncation'], '--psi: '),
        (['--seeds=x'], '--seeds=x'),
        (['--seeds=3'], '--seeds: a walk goes from seed to seed, and with one alone nothing moves; give at least two'),
        (['--seeds=3,3'], '--seeds: a walk goes from seed to seed'),
        (['--seeds=3', '--space=w'], '--seeds: a walk goes from seed to seed'),
        (['--seeds=3', '--kind=sticking'], '--seeds: a walk goes from seed to seed'),
        (['--seeds=3', '--kind=mixing'], '--seeds: a walk goes from seed to seed'),
        (['--seeds=1,2,5,5', '--grid=2x1'], 'give at least two different ones for each place of the grid'),
        (['--destinations=x', '--kind=mixing'], '--destinations=x'),
        (['--network='], '--network is missing'),
        (['--kind=training'], '--run is missing'),
        (['--kind=training', '--run=nowhere'], '--run=nowhere: has no fakes*.png'),
        (['--kind=training', '--run=nowhere', '--seconds=3'], '--seconds: '),
    ],
)
def test_wrong_flag(error, network, arguments, expected):
    assert expected in error(f'--network={network}', '--out=film.gif', *arguments)


@pytest.mark.parametrize(
    'case, arguments, expected',
    [
        ('a32', ['--kind=mixing'], 'no styles'),
        ('a32', ['--kind=truncation'], 'no W'),
        ('a32', ['--space=w'], 'has no W'),
        ('c32', ['--kind=noise'], 'no noise inputs'),
        ('a32', ['--psi=0.5'], 'no truncation'),
    ],
)
def test_films_that_a_network_cannot_make(error, case, arguments, expected):
    message = error(f'--network={reference_case.pickle_path(case)}', '--out=film.gif', *arguments)
    assert expected in message and arguments[0].partition('=')[0] in message


def test_encoder_that_is_missing(error, network, monkeypatch):
    monkeypatch.setitem(sys.modules, 'imageio_ffmpeg', None)
    message = error(f'--network={network}', '--out=film.mp4')
    assert message == (
        "error: --out=film.mp4: MP4 needs an encoder: pip install -e '.[video]', or name a .webp or .gif\n"
    )


def test_ffmpeg_that_is_missing(error, network, monkeypatch):
    monkeypatch.setenv('IMAGEIO_FFMPEG_EXE', '/nowhere/ffmpeg')
    assert 'MP4 needs an encoder' in error(f'--network={network}', '--out=film.mp4')


def test_folder_that_cannot_be_written(error, network, tmp_path):
    (tmp_path / 'file').write_text('')
    assert 'cannot be written' in error(f'--network={network}', f'--out={tmp_path}/file/film.gif')


# Classes.

LABELLED = tiny.generator(tiny.generator_config(image=ImageConfig(8, label_dim=3)))


@pytest.fixture(scope='module')
def artist_of_classes():
    return Painter(LABELLED, label=class_labels(LABELLED, [0, 1, 2]))


@pytest.mark.parametrize('space', ['z', 'w'])
def test_a_walk_passes_each_seed_in_its_class(artist_of_classes, space):
    frames = list(scenes.walk(artist_of_classes, [1, 2, 3], count=6, space=space, psi=0.5))
    for place, seed in enumerate((1, 2, 3)):
        center = average_w(LABELLED, np.eye(3, dtype=np.float32)[seed % 3])
        ws = LABELLED.truncate(LABELLED.map(latents([seed], 6), [seed % 3]), 0.5, center=center)
        expected = grid.enlarge(grid.to_uint8(LABELLED.synthesize(ws))[0], 32)
        assert_near(frames[2 * place], expected)


def test_between_two_classes_the_label_goes_straight(artist_of_classes):
    """Half of the way between two seeds of one latent that are in other classes."""
    z = np.repeat(latents([4], 6), 2, axis=0)
    label = np.float32([[0.5, 0.5, 0]])
    ws = artist_of_classes.ws_of_z(z[:1], 1.0, label=label)
    np.testing.assert_allclose(ws[0, 0], LABELLED.map(z[:1], label)[0], rtol=1e-5, atol=1e-6)


def test_a_truncation_film_passes_the_average_of_the_class(artist_of_classes):
    frames = list(scenes.truncation(artist_of_classes, [4, 5], count=4, first=1, last=-1, columns=2))
    centers = np.stack([average_w(LABELLED, np.eye(3, dtype=np.float32)[number]) for number in (1, 2)])
    images = grid.to_uint8(LABELLED.synthesize(LABELLED.truncate(centers, 1)))
    assert_near(frames[1], grid.enlarge(grid.image_grid(images, 2), 16))


def test_the_command_tells_the_classes(run_command, tmp_path_factory):
    network = tiny.saved(LABELLED, tmp_path_factory)
    flags = f'--network={network}', '--out=film.gif', '--seeds=0-2', '--seconds=1', '--fps=4'
    code, out, err = run_command(animate, *flags)
    assert code is None and 'number n modulo 3): class 0, class 1, class 2' in out, err
    code, out, err = run_command(animate, *flags, '--class=1')
    assert code is None and 'class' not in out, err
