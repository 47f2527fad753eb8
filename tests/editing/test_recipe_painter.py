"""Recipes are drawn with the pixels that `Generator` makes of the same latents, and a command draws the same bytes."""

import dataclasses

import jax
import numpy as np
import PIL.Image
import pytest

import reference_case
import tiny
import tiny_run
from stylegan_jax import generate, mix
from stylegan_jax.animation import scenes
from stylegan_jax.config import ImageConfig
from stylegan_jax.config.label_meaning import LabelMeaning
from stylegan_jax.editing import directions as editing
from stylegan_jax.editing import latent_file, recipe_latents
from stylegan_jax.editing.latent_file import Latents
from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.editing.recipe_painter import RecipePainter
from stylegan_jax.errors import UserError
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.latents import latents
from stylegan_jax.sampling.painter import Painter

GENERATOR = tiny.generator(tiny.generator_config(resolution=16))
CLASSES = dataclasses.replace(
    tiny.generator(tiny.generator_config(image=ImageConfig(16, label_dim=3))),
    label_meaning=LabelMeaning(('ant', 'bee', 'cat'), (0, 2)),
)
OWN = np.random.default_rng(3).normal(size=(2, GENERATOR.num_ws, GENERATOR.w_dim)).astype(np.float32)
NOISE = tuple(
    np.random.default_rng(layer).normal(size=(2, *GENERATOR.config.noise_shape(layer)[1:])).astype(np.float32)
    for layer in range(GENERATOR.config.num_layers)
)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A folder with latents (the first without noise of their own) and directions."""
    folder = tmp_path_factory.mktemp('files')
    Latents(OWN, ('a', 'b')).save(folder / 'plain.npz')
    Latents(OWN, ('a', 'b'), NOISE).save(folder / 'noisy.npz')
    moments = editing.statistics(GENERATOR, 500)
    normals = np.eye(GENERATOR.w_dim)[:2]
    latent_file.save_directions(folder / 'd.npz', editing.Directions(('glasses', 'pc1'), normals, moments))
    return folder


def w_of(*seeds):
    return GENERATOR.map(latents(seeds, GENERATOR.z_dim))


def drawn(ws, **options):
    return grid.to_uint8(np.asarray(GENERATOR.synthesize(ws, **options)))


def assert_same(picture, images):
    """Equal but for rounding: both are the same network, compiled twice."""
    assert picture.shape == images.shape
    assert np.abs(picture.astype(int) - images).max() <= 1
    assert np.mean(picture != images) < 0.01


def moved(ws, found, name, strength, layers=None):
    return editing.move(ws, found.step(name), strength, layers)


def own_directions():
    return editing.principal_directions(editing.statistics(GENERATOR, 10_000), GENERATOR.w_dim)


def between_four():
    weights = np.array([0.375, 0.125, 0.375, 0.125], np.float32)
    return (weights @ np.asarray(w_of(3, 4, 103, 104)))[None]


CASES = {
    'seed:5': lambda files: drawn(GENERATOR.truncate(w_of(5))),
    'seed:5;psi=0.5;cutoff=2': lambda files: drawn(GENERATOR.truncate(w_of(5), 0.5, 2)),
    'seed:5;psi=1': lambda files: drawn(GENERATOR.truncate(w_of(5), 1)),
    'walk:3.25,0.5;psi=0.3': lambda files: drawn(GENERATOR.truncate(between_four(), 0.3)),
    'seed:5;lod=1': lambda files: drawn(GENERATOR.truncate(w_of(5)), lod=1.0),
    'seed:5;lod=0.25': lambda files: drawn(GENERATOR.truncate(w_of(5)), lod=0.25),
    'seed:5;noise=none': lambda files: drawn(GENERATOR.truncate(w_of(5)), noise='none'),
    'seed:5;noise=random:9': lambda files: drawn(
        GENERATOR.truncate(w_of(5)),
        noise=list(_noise_of_key(9)),
    ),
    'seed:5;noise@0-1=0;noise@4-5=2.5': lambda files: drawn(
        GENERATOR.truncate(w_of(5)),
        noise=[layer * {0: 0, 1: 0, 4: 2.5, 5: 2.5}.get(number, 1) for number, layer in enumerate(GENERATOR.noise)],
    ),
    'seed:5;2-3=seed:8;coarse=FOLDER/plain.npz#1': lambda files: drawn(
        mix(mix(GENERATOR.truncate(w_of(5)), GENERATOR.truncate(w_of(8)), [2, 3]), OWN[1:], [0, 1])
    ),
    'FOLDER/noisy.npz#1;noise=FOLDER/noisy.npz#1': lambda files: drawn(OWN[1:], noise=[layer[1:] for layer in NOISE]),
    'FOLDER/plain.npz#0;noise=FOLDER/plain.npz#0': lambda files: drawn(OWN[:1]),
    'seed:5;move:pc0=2': lambda files: drawn(moved(GENERATOR.truncate(w_of(5)), own_directions(), 'pc0', 2)),
    'seed:5;move:pc0@1-2=2;move:pc1=-1;psi=0.6': lambda files: drawn(
        moved(moved(GENERATOR.truncate(w_of(5), 0.6), own_directions(), 'pc0', 2, [1, 2]), own_directions(), 'pc1', -1)
    ),
    # A file's own pc1 is taken before the network's.
    'seed:5;move:glasses@fine=3;move:pc1=1;directions=FOLDER/d.npz': lambda files: drawn(
        moved(
            moved(GENERATOR.truncate(w_of(5)), latent_file.load_directions(files / 'd.npz'), 'glasses', 3, [4, 5]),
            latent_file.load_directions(files / 'd.npz'),
            'pc1',
            1,
        )
    ),
    'seed:7;grid=2x2': lambda files: grid.image_grid(drawn(GENERATOR.truncate(w_of(7, 8, 9, 10))), 2)[None],
    'FOLDER/plain.npz#1;grid=3x1': lambda files: grid.image_grid(drawn(OWN[[1, 0, 1]]), 3)[None],
}


def _noise_of_key(seed):
    """Those that `generate --noise=random` gives the picture of a seed."""
    from stylegan_jax.sampling.engine import noise_of_keys

    return noise_of_keys(GENERATOR.config, jax.random.key(seed)[None], 2)


@pytest.mark.parametrize('text', CASES)
def test_pixels_are_those_of_the_generator(files, text):
    painter = RecipePainter(GENERATOR)
    picture = painter.picture(Recipe.parse(text.replace('FOLDER', str(files))))
    assert_same(picture, CASES[text](files)[0])


def test_every_case_has_a_picture_of_its_own(files):
    painter = RecipePainter(GENERATOR)
    pictures = [painter.picture(Recipe.parse(text.replace('FOLDER', str(files)))).tobytes() for text in CASES]
    assert len(set(pictures)) == len(pictures)


def test_a_loop_is_the_walk_that_films_make():
    seeds, count = [3, 1, 8], 6
    artist = Painter(GENERATOR)
    film = list(scenes.walk(artist, seeds, count=count, space='w', psi=0.6))
    painter = RecipePainter(GENERATOR)
    for number, frame in enumerate(film):
        recipe = Recipe.parse(f'loop:3,1,8@{number * 3 / count};psi=0.6')
        factor = len(frame) // 16
        assert_same(painter.picture(recipe), frame[::factor, ::factor])


def test_classes_are_truncated_to_their_own_average():
    painter = RecipePainter(CLASSES)
    from stylegan_jax.sampling.seed_labels import average_w

    def one(label, seed=5, psi=0.4):
        label = np.array([label], np.float32)
        w = CLASSES.map(latents([seed], CLASSES.z_dim), label)
        ws = CLASSES.truncate(w, psi, center=average_w(CLASSES, label[0])[None])
        return grid.to_uint8(np.asarray(CLASSES.synthesize(ws)))[0]

    assert_same(painter.picture(Recipe.parse('seed:5;class=cat;psi=0.4')), one([0, 0, 1]))
    assert_same(painter.picture(Recipe.parse('seed:5;class=number:1;psi=0.4')), one([0, 1, 0]))
    assert_same(painter.picture(Recipe.parse('seed:5;label=0.5,0,0.5;psi=0.4')), one([0.5, 0, 0.5]))
    # Without a class, seed n has the class with images at place n modulo their number.
    assert_same(painter.picture(Recipe.parse('seed:5;psi=0.4')), one([0, 0, 1]))
    assert_same(painter.picture(Recipe.parse('seed:4;psi=0.4')), one([1, 0, 0], seed=4))


def test_a_lower_stage_is_that_of_the_level_of_detail():
    painter = RecipePainter(GENERATOR)
    recipe = Recipe.parse('seed:5;move:pc0=1;noise=random:2')
    small = painter.picture(recipe, most=1)
    np.testing.assert_array_equal(small, painter.picture(dataclasses.replace(recipe, lod=1.0)))
    np.testing.assert_array_equal(painter.picture(recipe, most=5), painter.picture(recipe))


def test_nothing_is_compiled_while_anything_but_the_stage_changes(files):
    painter = RecipePainter(GENERATOR)
    texts = [text.replace('FOLDER', str(files)) for text in CASES if 'lod' not in text]
    for text in texts:
        painter.picture(Recipe.parse(text))  # also what is computed once, such as directions
    with tiny_run.count_compilations() as compiled:
        for number, text in enumerate(texts):
            if 'noise=' not in text and text.startswith('seed:5'):
                text = text.replace('seed:5', f'walk:{number + 0.3},{number * 0.7}') + f';lod={number / 100}'
            painter.picture(Recipe.parse(text))
        assert not compiled
        RecipePainter(tiny.generator(tiny.generator_config(resolution=8, w_dim=4))).picture(Recipe())
    assert compiled  # the count counts


def test_latents_that_are_saved_make_the_same_picture(files):
    painter = RecipePainter(GENERATOR)
    text = f'seed:5;2-3=seed:8;move:pc0=1;noise=random:4;noise@0=0.5;lod=1;coarse={files}/noisy.npz#1'
    saved = painter.saved(Recipe.parse(text))
    assert saved.lod == 1 and len(saved.names) == 1
    saved.save(files / 'saved.npz')
    again = painter.picture(Recipe.parse(f'{files}/saved.npz#0;noise={files}/saved.npz#0;lod=1'))
    assert_same(again, painter.picture(Recipe.parse(text)))
    assert painter.saved(Recipe.parse('seed:1;grid=2x1')).noise == 'const'
    assert painter.saved(Recipe.parse('seed:1;noise=none')).noise == 'none'


@pytest.mark.parametrize(
    ('text', 'error'),
    [
        ('seed:5;class=cat', 'class=cat: this is a network without labels'),
        ('seed:5;6-7=seed:1', 'layers=6-7: give numbers and rising ranges from 0 to 5'),
        ('seed:5;lod=3', 'lod'),
        ('seed:5;move:glasses=1', "direction 'glasses' does not exist"),
        ('FOLDER/plain.npz#2', 'has latents 0 to 1, and no 2'),
        ('seed:1;0=FOLDER/plain.npz#2', 'has latents 0 to 1, and no 2'),
        ('FOLDER/d.npz#0', 'this file holds directions'),
        ('FOLDER/none.npz#0', 'none.npz'),
    ],
)
def test_what_a_network_does_not_have_is_one_line(files, text, error):
    with pytest.raises(UserError, match=error):
        RecipePainter(GENERATOR).picture(Recipe.parse(text.replace('FOLDER', str(files))))


def test_networks_without_styles_and_without_w():
    traditional = tiny.generator(tiny.generator_config('B'))
    painter = RecipePainter(traditional)
    z = latents([5], traditional.z_dim)
    assert_same(painter.picture(Recipe.parse('seed:5')), grid.to_uint8(np.asarray(traditional(z)))[0])
    with pytest.raises(UserError, match='no styles'):
        painter.picture(Recipe.parse('seed:5;0=seed:1'))
    progan = tiny.generator(tiny.generator_config('A'))
    painter = RecipePainter(progan)
    z = latents([5], progan.z_dim)
    assert_same(painter.picture(Recipe.parse('seed:5;noise=random:1')), grid.to_uint8(np.asarray(progan(z)))[0])
    with pytest.raises(UserError, match='no truncation'):
        painter.picture(Recipe.parse('seed:5;psi=0.5'))
    with pytest.raises(UserError, match='no intermediate latents'):
        painter.picture(Recipe.parse('seed:5;move:pc0=1'))


def test_generate_draws_the_same_bytes(run_command, files, tmp_path_factory, tmp_path):
    network = tiny.saved(GENERATOR, tmp_path_factory)
    text = (
        f'seed:5;2-3=seed:8;coarse={files}/noisy.npz#1;move:glasses@4-5=2;move:pc0=1;directions={files}/d.npz;psi=0.6'
    )
    code, out, err = run_command(generate, f'--network={network}', '--outdir=out', f'--recipe={text}')
    assert code is None, err
    assert out == 'recipe.png of 16x16 is in out\n'
    grid.save_png(tmp_path / 'own.png', RecipePainter(GENERATOR).picture(Recipe.parse(text)))
    assert (tmp_path / 'out' / 'recipe.png').read_bytes() == (tmp_path / 'own.png').read_bytes()


@pytest.mark.parametrize('flag', ['psi=0.5', 'seeds=1', 'noise=none', 'lod=1.0', 'class=1'])
def test_generate_refuses_what_the_recipe_says(run_command, flag):
    code, _, err = run_command(generate, '--network=toyfaces', '--outdir=out', '--recipe=seed:5', f'--{flag}')
    assert code == 2 and err.startswith(f'error: --{flag}: a recipe says this by itself')


def test_generate_refuses_an_average_that_no_recipe_can_name(run_command):
    flags = '--network=toyfaces', '--outdir=out', '--recipe=seed:5', '--truncate_to=network'
    code, _, err = run_command(generate, *flags)
    reason = 'a recipe goes to the average of its class'
    assert code == 2 and err == f'error: --truncate_to=network: {reason}; leave it out\n'


def test_a_checkpoint_is_one_of_a_run(run_command):
    code, _, err = run_command(generate, '--network=toyfaces', '--outdir=out', '--recipe=seed:5;nimg=80')
    assert code == 2 and 'only a run directory has checkpoints' in err


def test_an_official_network_draws_the_picture_of_its_seed(run_command, tmp_path):
    network = reference_case.pickle_path('f32-labels')
    for more in ('--seeds=3', '--recipe=seed:3'):
        code, _, err = run_command(generate, f'--network={network}', '--outdir=out', more)
        assert code is None, err
    pictures = [np.asarray(PIL.Image.open(tmp_path / 'out' / name)) for name in ('seed0003.png', 'recipe.png')]
    assert_same(*pictures)


def test_what_is_kept_of_recipes_is_bounded(monkeypatch):
    monkeypatch.setattr(recipe_latents, '_MOST_LABELS', 3)
    monkeypatch.setattr(recipe_latents, '_MOST_SEEDS', 5)
    found = RecipePainter(CLASSES).latents
    recipes = [Recipe.parse(f'seed:{number};label=0,{number},1;psi=0.5') for number in range(8)]
    for recipe in recipes:
        found.prepare(recipe)
        found(recipe)
        assert found.is_prepared(recipe)
    assert len(found._labels) == len(found._prepared) == 3 and len(found._w_of_seeds) == 5
    assert [found.is_prepared(recipe) for recipe in recipes] == [False] * 5 + [True] * 3
    found(recipes[5])  # what was used last stays
    found(recipes[0])
    assert found.is_prepared(recipes[5]) and not found.is_prepared(recipes[6])
