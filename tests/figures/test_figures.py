"""Each figure against images that the generator makes directly, cell by cell and to the bit.

In double precision: batches of other sizes round differently, which in float32 changes one pixel in some thousand by 1.
"""

import dataclasses

import jax
import numpy as np
import pytest

import reference_case
import tiny
from stylegan_jax import load, mix
from stylegan_jax.config import ImageConfig
from stylegan_jax.data.pixels import lanczos_reduce
from stylegan_jax.errors import UserError
from stylegan_jax.figures import (
    catalogue,
    noise_components,
    noise_detail,
    settings,
    style_mixing,
    style_table,
    truncation,
    uncurated,
)
from stylegan_jax.figures.look import Look
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.latents import latents
from stylegan_jax.sampling.painter import Painter, noise_keys

SMALL = settings.Settings(
    rows=1,
    lods=(0, 1, 2),
    sources=(639, 701),
    destinations=(888, 1733, 845),
    ranges=('coarse', '4-5', 'fine'),
    detail_seeds=(1157, 1012),
    detail_crop=(5, 2, 9, 6),
    samples=21,
    component_seeds=(1967, 1555),
    truncation_seeds=(91, 388),
    psis=(1.0, 0.5, -1.0),
    table_seeds=(888, 639, 701),
)
PLAIN = Look(captions=False)


@pytest.fixture(scope='module', autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def doubled(make, *arguments):
    """What `make` gives, in double precision."""
    with jax.enable_x64(False):  # networks are kept for other tests
        made = make(*arguments)
    return jax.tree.map(lambda x: np.asarray(x, np.float64), made)


@pytest.fixture(scope='module', params=['f32-labels', 'wide'])
def generator(request, double_precision):
    """An official network, and one that is not square."""
    if request.param == 'f32-labels':
        return doubled(load, reference_case.pickle_path(request.param))
    return doubled(tiny.generator, tiny.generator_config(image=ImageConfig(32, base_shape=(3, 4))))


@pytest.fixture(scope='module')
def artist(generator):
    return Painter(generator)


def ws_of(generator, seed, psi=1.0, cutoff=None):
    return generator.truncate(generator.map(latents([seed], generator.z_dim)), psi, cutoff)


def image_of(generator, ws, noise='const', **options):
    return grid.to_uint8(generator.synthesize(ws, noise=noise, **options))[0]


def assert_cells(figure, expected, factor):
    """Compares all images of a figure with {name: image}, which are enlarged."""
    assert figure.cells.keys() == expected.keys()
    for name, image in expected.items():
        np.testing.assert_array_equal(figure.image(*name), grid.enlarge(image, factor), err_msg=str(name))


# The painter.


def test_painter_makes_what_the_generator_makes(generator, artist):
    ws = np.concatenate([ws_of(generator, seed) for seed in range(3)])
    for noise in ('const', 'none'):
        np.testing.assert_array_equal(artist.images(ws, noise), grid.to_uint8(generator.synthesize(ws, noise=noise)))


def test_painter_takes_any_number_of_images(generator):
    drawn = []
    artist = Painter(generator, drawn=drawn.append)
    ws = artist.ws(range(artist.batch + 3))
    images = artist.images(ws)
    assert drawn == [artist.batch, 3] and images.shape == (artist.batch + 3, *generator.shape)
    np.testing.assert_array_equal(images[-1], image_of(generator, ws[-1:]))


def test_noise_of_an_image_depends_on_its_key_alone(generator, artist):
    keys = noise_keys(3, 20)
    ws = artist.ws([5] * 20)
    images = artist.images(ws, keys)
    np.testing.assert_array_equal(images[17], image_of(generator, ws[:1], keys[17]))
    np.testing.assert_array_equal(artist.images(ws[:4], noise_keys(3, 4)), images[:4])
    assert (images[0] != images[1]).any()


def test_label_and_level_of_detail(generator):
    label = 1 if generator.label_dim else None
    artist = Painter(generator, label=label, lod=1.0)
    given = None if label is None else [label]
    w = generator.map(latents([5], generator.z_dim), given)
    assert artist.num_layers == generator.num_ws - 2
    np.testing.assert_array_equal(
        artist.images(artist.ws([5], 1.0))[0], image_of(generator, generator.truncate(w, 1), lod=1.0)
    )


# Figures.


@pytest.mark.parametrize('look, factor', [(PLAIN, 8), (Look(), 8), (Look(scale=1), 1)], ids=str)
def test_uncurated(generator, artist, look, factor):
    figure = uncurated.draw(artist, SMALL, look)
    z = np.random.RandomState(5).randn(7, generator.z_dim).astype(np.float32)
    keys, numbers, expected = noise_keys(5, 7), iter(range(7)), {}
    for column, lod in enumerate(SMALL.lods):
        for row in range(1 << lod):
            number = next(numbers)
            image = image_of(generator, generator.truncate(generator.map(z[number : number + 1])), keys[number])
            height, width = image.shape[:2]
            expected[0, column, row, 0] = (
                grid.enlarge(image, factor >> lod)
                if factor >> lod
                else lanczos_reduce(image, height >> lod, width >> lod)
            )
    assert uncurated.num_images(artist, SMALL) == 7
    assert_cells(figure, expected, 1)
    if not look.captions:
        height, width = generator.shape[:2]
        assert figure.picture.shape == (height * 8, width * 8 * 7 // 4, 3)


def test_uncurated_shows_a_part(generator, artist):
    left, top, right, bottom = crop = (4, 8, 12, 24)
    chosen = dataclasses.replace(SMALL, crop=crop, lods=(0,), rows=2)
    whole, part = (
        uncurated.draw(artist, some, Look(False, scale=2)) for some in (dataclasses.replace(chosen, crop=None), chosen)
    )
    for row in range(2):
        np.testing.assert_array_equal(
            part.image(0, 0, row, 0), whole.image(0, 0, row, 0)[2 * top : 2 * bottom, 2 * left : 2 * right]
        )


@pytest.mark.parametrize('psi', [None, 0.5])
def test_style_mixing(generator, artist, psi):
    figure = style_mixing.draw(artist, SMALL, Look(), psi)
    ws = {seed: ws_of(generator, seed, psi or 1.0) for seed in SMALL.sources + SMALL.destinations}
    expected = {(0, 1 + c): image_of(generator, ws[seed]) for c, seed in enumerate(SMALL.sources)}
    layers = [range(0, 4), range(4, 6), range(6, 8)]
    for r, destination in enumerate(SMALL.destinations):
        expected[1 + r, 0] = image_of(generator, ws[destination])
        for c, source in enumerate(SMALL.sources):
            expected[1 + r, 1 + c] = image_of(generator, mix(ws[destination], ws[source], layers[r]))
    assert_cells(figure, expected, 4)
    assert len(expected) == style_mixing.num_images(artist, SMALL)


def test_noise_detail(generator, artist):
    figure = noise_detail.draw(artist, SMALL, Look())
    left, top, right, bottom = SMALL.detail_crop
    zoom = min(generator.shape[:2]) * 4 // 8
    for row, seed in enumerate(SMALL.detail_seeds):
        ws, keys = ws_of(generator, seed), noise_keys(seed, 21)
        images = np.stack([image_of(generator, ws, key) for key in keys])
        np.testing.assert_array_equal(figure.image(row, 0), grid.enlarge(images[0], 4))
        for i, image in enumerate(images[1:5]):
            np.testing.assert_array_equal(
                figure.image(row, 1, i // 2, i % 2), grid.enlarge(image[top:bottom, left:right], zoom)
            )
        deviation = np.clip(np.std(np.mean(images, axis=-1), axis=0) * 4 + 0.5, 0, 255)
        np.testing.assert_array_equal(figure.image(row, 2)[::4, ::4, 0], deviation.astype(np.uint8))
        assert figure.image(row, 2).max() > figure.image(row, 2).min()
    assert len(figure.cells) == 2 * (1 + 4 + 1)


def test_noise_components(generator, artist):
    figure = noise_components.draw(artist, SMALL, Look())
    zeros = [np.zeros_like(array) for array in generator.noise]
    kept = [range(8), range(0), range(6, 8), range(6)]
    expected = {}
    for row, seed in enumerate(SMALL.component_seeds):
        for column, layers in enumerate(kept):
            noise = [array if i in layers else zero for i, (array, zero) in enumerate(zip(generator.noise, zeros))]
            expected[row, column] = image_of(generator, ws_of(generator, seed), noise)
        np.testing.assert_array_equal(expected[row, 0], image_of(generator, ws_of(generator, seed)))
        np.testing.assert_array_equal(expected[row, 1], image_of(generator, ws_of(generator, seed), 'none'))
    assert_cells(figure, expected, 4)
    assert len({image.tobytes() for image in expected.values()}) == 8


def test_truncation(generator, artist):
    figure = truncation.draw(artist, SMALL, Look())
    assert_cells(
        figure,
        {
            (row, column): image_of(generator, ws_of(generator, seed, psi, 8))
            for row, seed in enumerate(SMALL.truncation_seeds)
            for column, psi in enumerate(SMALL.psis)
        },
        4,
    )


def test_truncation_at_0_is_the_average(generator, artist):
    figure = truncation.draw(artist, dataclasses.replace(SMALL, psis=(0.0,)), PLAIN)
    average = image_of(generator, np.tile(generator.w_avg, (1, 8, 1)))
    for row in range(2):
        np.testing.assert_array_equal(figure.image(row, 0), grid.enlarge(average, 4))


def test_style_table(generator, artist):
    figure = style_table.draw(artist, SMALL, Look())
    first, *others = SMALL.table_seeds
    expected = {
        (0, column): image_of(generator, ws_of(generator, seed)) for column, seed in enumerate(SMALL.table_seeds)
    }
    for stage in range(4):
        for column, seed in enumerate(others):
            mixed = mix(ws_of(generator, first), ws_of(generator, seed), [2 * stage, 2 * stage + 1])
            expected[1 + stage, 1 + column] = image_of(generator, mixed)
    assert_cells(figure, expected, 4)
    assert len(expected) == style_table.num_images(artist, SMALL)


@pytest.mark.parametrize('name', catalogue.FIGURES)
def test_figures_are_the_same_every_time_and_captions_change_no_image(generator, artist, name):
    draw = catalogue.FIGURES[name].draw
    first, again, plain = (draw(artist, SMALL, look) for look in (Look(), Look(), PLAIN))
    np.testing.assert_array_equal(first.picture, again.picture)
    assert first.cells.keys() == plain.cells.keys()
    for cell in first.cells:
        np.testing.assert_array_equal(first.image(*cell), plain.image(*cell))
    assert first.picture.shape[0] > plain.picture.shape[0]


def test_grey_images():
    grey = doubled(tiny.generator, tiny.generator_config(image=ImageConfig(32, channels=1)))
    for name in catalogue.FIGURES:
        figure = catalogue.FIGURES[name].draw(Painter(grey), SMALL, Look())
        assert figure.picture.shape[-1] == 1 and figure.picture.max() == 255


# What is asked for.


def test_deviation_is_exact_and_needs_no_order():
    images = np.random.default_rng(0).integers(0, 256, [50, 4, 5, 3], np.uint8)
    sums = [noise_detail.Deviation(), noise_detail.Deviation()]
    for deviation, some in zip(sums, (images, images[::-1])):
        for image in some:
            deviation.add(image)
    np.testing.assert_allclose(sums[0].values(), np.std(np.mean(images, axis=-1), axis=0), rtol=1e-12)
    np.testing.assert_array_equal(sums[0].values(), sums[1].values())


@pytest.mark.parametrize(
    'letter, names',
    [
        ('A', ['uncurated']),
        ('B', ['uncurated']),
        ('C', ['uncurated', 'style-mixing', 'truncation', 'style-table']),
        ('D', ['uncurated', 'style-mixing', 'truncation', 'style-table']),
        ('F', list(catalogue.FIGURES)),
    ],
)
def test_configurations_have_figures(letter, names):
    generator = doubled(tiny.generator, tiny.generator_config(letter, 32))
    there, reasons = catalogue.asked_for('all', generator.config)
    assert there == names and set(reasons) == set(catalogue.FIGURES) - set(names)
    for name in there:
        catalogue.FIGURES[name].draw(Painter(generator), SMALL, PLAIN)


def test_paper_settings_are_those_of_the_official_script():
    image = ImageConfig(1024)
    chosen = settings.chosen(image, 8, 'any.pkl')
    assert chosen == settings.Settings()
    assert [style_mixing.parse_range(text, image, 9) for text in chosen.ranges] == (
        [range(0, 4)] * 3 + [range(4, 8)] * 2 + [range(8, 18)]
    )
    assert list(noise_components.components(image, 9).values()) == [range(18), range(0), range(8, 18), range(8)]


@pytest.mark.parametrize(
    'path, size, expected',
    [
        ('karras2019stylegan-bedrooms-256x256.pkl', 256, (0, 5, (0, 0, 1, 1, 2, 2, 2), None)),
        ('karras2019stylegan-cats-256x256.pkl', 256, (1, 5, (0, 0, 1, 1, 2, 2, 2), None)),
        ('x/karras2019stylegan-cars-512x384.pkl', 512, (2, 4, (0, 1, 2, 2, 3, 3), (0, 64, 512, 448))),
        ('cars/mine.pkl', 512, (5, 3, (0, 1, 2, 2, 3, 3), None)),
        ('cats.pkl', 128, (5, 3, (0, 1, 2, 2, 3, 3), None)),
    ],
)
def test_official_files_are_known_by_name_and_size(path, size, expected):
    image = ImageConfig(size)
    chosen = settings.chosen(image, image.num_stages - 1, path)
    assert (chosen.seed, chosen.rows, chosen.lods, chosen.crop) == expected


def test_other_sizes_take_the_same_part_and_leave_out_ranges_that_they_have_not():
    chosen = settings.chosen(ImageConfig(8), 1, 'any')
    assert chosen.ranges == ('coarse',) * 3 + ('fine',) and chosen.destinations == (888, 829, 1898, 845)
    assert settings.chosen(ImageConfig(256), 6, 'any').detail_crop == (162, 45, 226, 109)
    left, top, right, bottom = settings.chosen(ImageConfig(4, base_shape=(4, 1)), 0, 'any').detail_crop
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 4


@pytest.mark.parametrize(
    'resolution, base', [(4, (4, 4)), (8, (4, 3)), pytest.param(16, (2, 1), marks=pytest.mark.full)]
)
def test_defaults_fit_any_size_and_shape(resolution, base):
    generator = doubled(tiny.generator, tiny.generator_config(image=ImageConfig(resolution, base_shape=base)))
    artist = Painter(generator)
    chosen = dataclasses.replace(settings.chosen(generator.config.image, artist.stage, 'any'), rows=1, samples=5)
    for figure in catalogue.FIGURES.values():
        picture = figure.draw(artist, chosen, Look()).picture
        assert max(picture.shape[:2]) >= 256 and min(picture.shape[:2]) >= 100


@pytest.mark.parametrize(
    'figure, given, expected',
    [
        (uncurated, {'crop': (0, 0, 33, 8)}, 'crop=0,0,33,8: give left,top,right,bottom inside of'),
        (uncurated, {'lods': (0, 9)}, 'lods: '),
        (style_mixing, {'ranges': ('coarse',)}, 'ranges: 1 were given for 3 destinations'),
        (style_mixing, {'ranges': ('coarse', 'fine', '7-8')}, "'7-8' is no range of layers here.*0 to 7"),
        (style_mixing, {'ranges': ('coarse', 'fine', 'finest')}, "'finest' is no range"),
        (noise_detail, {'detail_crop': (0, 0, 0, 4)}, 'detail_crop=0,0,0,4: '),
        (noise_detail, {'samples': 4}, 'samples=4: give at least 5'),
        (style_table, {'table_seeds': (1,)}, 'table_seeds: give at least two'),
    ],
)
def test_wrong_settings(artist, figure, given, expected):
    with pytest.raises(UserError, match=expected):
        figure.draw(artist, dataclasses.replace(SMALL, **given), PLAIN)
