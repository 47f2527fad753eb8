"""Each transformation against NumPy and SciPy, which move pixels and colours by definition; derivatives; no leaks."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.spatial.transform
import scipy.stats
from jax.test_util import check_grads

from stylegan_jax.augmentation import differentiable
from stylegan_jax.augmentation.blitting import Blit, blit_matrix, draw_blit
from stylegan_jax.augmentation.colour import Colour, colour_matrix, draw_colour, recolour
from stylegan_jax.augmentation.geometry import Geometry, draw_geometry, geometry_matrix
from stylegan_jax.augmentation.pipeline import augment
from stylegan_jax.augmentation.resampling import SYM6, transform

NO_BLIT = Blit(0, 0, np.zeros(2))
NO_GEOMETRY = Geometry(1.0, 0.0, 1.0, 0.0, np.zeros(2))
NO_COLOUR = Colour(0.0, 1.0, 0, 0.0, 1.0)
SHAPES = [(8, 8, 3), (5, 7, 1), (8, 4, 4), (1, 2, 2)]


def pictures(shape, count=2, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape))


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


# The independent version: NumPy's padding, SciPy's convolution and interpolation, one image and channel at a time.


def moved(image, matrix):
    """An image [H, W] whose places are moved by a matrix, as Figure 10 has it, with far more padding than needed."""
    height, width = image.shape
    margin = 12 * max(height, width)
    padded = np.pad(image, margin, mode='reflect')
    taps = np.array(SYM6) / math.sqrt(2)
    twice = np.zeros([2 * side for side in padded.shape])
    twice[::2, ::2] = 4 * padded
    for axis in range(2):  # of the 12 taps the sixth and the seventh are beside the centre of a pixel
        twice = scipy.ndimage.convolve1d(twice, taps, axis, mode='constant', origin=-1)
    rows, columns = np.indices(twice.shape)
    # Places from the centre of the image in pixels; a place of the doubled image is half a pixel.
    ys, xs = ((places + 0.5) / 2 - side / 2 for places, side in zip((rows, columns), padded.shape))
    xs, ys, _ = np.einsum('ij,jhw->ihw', np.linalg.inv(matrix), np.stack([xs, ys, np.ones_like(xs)]))
    places = [(place + side / 2) * 2 - 0.5 for place, side in zip((ys, xs), padded.shape)]
    result = scipy.ndimage.map_coordinates(twice, places, order=1, mode='constant')
    for axis in range(2):
        result = scipy.ndimage.correlate1d(result, taps, axis, mode='constant', origin=-1)
    return result[::2, ::2][margin : margin + height, margin : margin + width]


def turned(x, y, degrees):
    """A point that is turned by an angle from the x axis towards the y axis."""
    angle = math.radians(degrees)
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


# Where a point goes, by transformation.

PLANE = {
    'x-flip': (NO_BLIT._replace(flip=1), lambda x, y: (-x, y)),
    'one quarter turn': (NO_BLIT._replace(quarter_turns=1), lambda x, y: (y, -x)),
    'two quarter turns': (NO_BLIT._replace(quarter_turns=2), lambda x, y: (-x, -y)),
    'three quarter turns': (NO_BLIT._replace(quarter_turns=3), lambda x, y: (-y, x)),
    'whole shift': (NO_BLIT._replace(shift=np.array([1.0, -2])), lambda x, y: (x + 1, y - 2)),
    'scale': (NO_GEOMETRY._replace(scale=1.3), lambda x, y: (1.3 * x, 1.3 * y)),
    'first rotation': (NO_GEOMETRY._replace(first_angle=math.radians(40)), lambda x, y: turned(x, y, -40)),
    'stretch': (NO_GEOMETRY._replace(stretch=0.8), lambda x, y: (0.8 * x, y / 0.8)),
    'second rotation': (NO_GEOMETRY._replace(second_angle=math.radians(-70)), lambda x, y: turned(x, y, 70)),
    'fractional shift': (NO_GEOMETRY._replace(shift=np.array([0.3, 1.7])), lambda x, y: (x + 0.3, y + 1.7)),
    'all blits': (Blit(1, 1, np.array([2.0, 1])), lambda x, y: (y + 2, x + 1)),
    'rotations around a stretch': (
        NO_GEOMETRY._replace(scale=2.0, first_angle=math.pi / 2, stretch=3.0, second_angle=math.pi / 2),
        lambda x, y: (-2 * x / 3, -6 * y),
    ),
}


@pytest.mark.parametrize('name', PLANE)
def test_transformations_of_the_plane(float64, name):
    """Points by the equation, and pixels by padding, convolution and interpolation."""
    parameters, expected = PLANE[name]
    matrix = {Blit: blit_matrix, Geometry: geometry_matrix}[type(parameters)](jax.tree.map(jnp.asarray, parameters))
    for x, y in ((1.0, 0.0), (0.0, 1.0), (-2.5, 0.7)):
        np.testing.assert_allclose(matrix @ jnp.array([x, y, 1]), [*expected(x, y), 1], atol=1e-12)
    images = pictures((8, 6, 1), 1)
    result = transform(jnp.asarray(images), matrix[None])
    np.testing.assert_allclose(result[0, ..., 0], moved(images[0, ..., 0], np.asarray(matrix)), atol=1e-10)


def test_every_image_and_channel_is_moved_by_its_own_matrix(float64):
    images = pictures((5, 7, 2), 3)
    draw = jax.vmap(lambda key: geometry_matrix(draw_geometry(key, 1.0, 5, 7)))
    matrices = draw(keys(3))
    result = transform(jnp.asarray(images), matrices)
    for i in range(3):
        for c in range(2):
            np.testing.assert_allclose(result[i, ..., c], moved(images[i, ..., c], matrices[i]), atol=1e-10)


def test_the_filter_is_sym6(float64):
    """Orthogonal to its even shifts with six vanishing moments, as few filters are; this one is nearly centred."""
    taps = np.array(SYM6)
    for shift in range(0, 12, 2):
        np.testing.assert_allclose(taps[shift:] @ taps[: 12 - shift], shift == 0, atol=1e-11)
    for moment in range(6):
        np.testing.assert_allclose((-1.0) ** np.arange(12) * np.arange(12.0) ** moment @ taps, 0, atol=1e-6)
    assert abs(taps**2 @ np.arange(12) - 5) < 0.2


def test_whole_shifts_are_exact(float64):
    images = pictures((8, 8, 3), 1)
    matrix = blit_matrix(NO_BLIT._replace(shift=jnp.array([1.0, 2.0])))
    expected = np.pad(images, ((0, 0), (2, 0), (1, 0), (0, 0)), 'reflect')[:, :8, :8]
    np.testing.assert_allclose(transform(jnp.asarray(images), matrix[None]), expected, atol=1e-10)


# Colours.

LUMA = np.ones(3) / math.sqrt(3)
PALETTES = {
    'brightness': (NO_COLOUR._replace(brightness=0.3), lambda x: x + 0.3),
    'contrast': (NO_COLOUR._replace(contrast=1.4), lambda x: 1.4 * x),
    'luma flip': (NO_COLOUR._replace(luma_flip=1), lambda x: x - 2 * np.outer(x @ LUMA, LUMA)),
    'hue': (
        NO_COLOUR._replace(hue=1.1),
        scipy.spatial.transform.Rotation.from_rotvec(1.1 * LUMA).apply,
    ),
    'saturation': (
        NO_COLOUR._replace(saturation=0.4),
        lambda x: np.mean(x, 1, keepdims=True) * 0.6 + 0.4 * x,
    ),
    'all': (
        Colour(0.1, 2.0, 1, 2 * math.pi / 3, 0.5),  # a third of a turn exchanges the colours
        lambda x: 0.5 * np.roll(2 * (x + 0.1), 1, 1) - np.mean(2 * (x + 0.1), 1, keepdims=True) * 1.5,
    ),
}


@pytest.mark.parametrize('name', PALETTES)
def test_transformations_of_colours(float64, name):
    parameters, expected = PALETTES[name]
    matrix = colour_matrix(jax.tree.map(jnp.asarray, parameters), 3)
    images = pictures((4, 5, 4), 1)
    result = np.asarray(recolour(jnp.asarray(images), matrix[None]))
    colours = images[..., :3].reshape(-1, 3)
    np.testing.assert_allclose(result[..., :3].reshape(-1, 3), expected(colours), atol=1e-12)
    assert np.array_equal(result[..., 3], images[..., 3])  # a fourth channel is none of three colours


def test_grey_images_are_treated_as_grey_colour_images(float64):
    grey = pictures((4, 4, 1), 6)
    parameters = [draw_colour(key, 1.0) for key in keys(6)]
    one, three = (jnp.stack([colour_matrix(each, channels) for each in parameters]) for channels in (1, 3))
    in_colour = recolour(jnp.asarray(np.repeat(grey, 3, -1)), three)
    np.testing.assert_allclose(np.repeat(recolour(jnp.asarray(grey), one), 3, -1), in_colour, atol=1e-12)


# What is drawn.


@functools.cache
def drawn(p, count=4000):
    """{name: numbers of many images} of a 16x32 image's parameters."""

    def draw(key):
        blit, geometry, colour = jax.random.split(key, 3)
        return (
            draw_blit(blit, p, 16, 32)._asdict()
            | {f'{name}_': x for name, x in draw_geometry(geometry, p, 16, 32)._asdict().items()}
            | draw_colour(colour, p)._asdict()
        )

    return {name: np.asarray(x) for name, x in jax.jit(jax.vmap(draw))(keys(count)).items()}


ANGLE = scipy.stats.uniform(-math.pi, 2 * math.pi)
CONTINUOUS = {
    'scale_': scipy.stats.lognorm(0.2 * math.log(2)),
    'stretch_': scipy.stats.lognorm(0.2 * math.log(2)),
    'first_angle_': ANGLE,
    'second_angle_': ANGLE,
    'brightness': scipy.stats.norm(0, 0.2),
    'contrast': scipy.stats.lognorm(0.5 * math.log(2)),
    'saturation': scipy.stats.lognorm(math.log(2)),
    'hue': ANGLE,
}


@pytest.mark.parametrize('name', CONTINUOUS)
def test_continuous_parameters_follow_their_distributions(name):
    always, sometimes = drawn(1.0)[name], drawn(0.3)[name]
    assert scipy.stats.kstest(always, CONTINUOUS[name].cdf).pvalue > 1e-3
    identity = 1 if name in ('scale_', 'stretch_', 'contrast', 'saturation') else 0
    share = 1 - math.sqrt(0.7) if 'angle' in name else 0.3
    assert abs(np.mean(sometimes != identity) - share) < 0.03
    assert np.all(drawn(0.0)[name] == identity)


def test_fractional_shifts_follow_their_distribution():
    for axis, side in enumerate((32, 16)):
        cdf = scipy.stats.norm(0, 0.125 * side).cdf
        assert scipy.stats.kstest(drawn(1.0)['shift_'][:, axis], cdf).pvalue > 1e-3


def test_discrete_parameters_follow_their_distributions():
    always, sometimes = drawn(1.0), drawn(0.4)
    for name, values in (('flip', 2), ('quarter_turns', 4), ('luma_flip', 2)):
        for numbers, p in ((always, 1.0), (sometimes, 0.4)):
            shares = np.bincount(numbers[name], minlength=values) / len(numbers[name])
            expected = np.full(values, p / values)
            expected[0] += 1 - p
            np.testing.assert_allclose(shares, expected, atol=0.03)
    for axis, side in enumerate((32, 16)):  # t ~ U(-0.125, 0.125) of the side; the ends of the range are half as likely
        shares = np.bincount((always['shift'][:, axis] + side // 8).astype(int)) / len(always['shift'])
        expected = np.full(side // 4 + 1, 4 / side)
        expected[[0, -1]] /= 2
        np.testing.assert_allclose(shares, expected, atol=0.03)


def test_transformations_are_drawn_independently():
    numbers = {name: x.reshape(len(x), -1) for name, x in drawn(0.5).items()}
    columns = np.concatenate([np.float64(x) for x in numbers.values()], 1).T
    correlation = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlation).max() < 0.08


# The pipeline.

compiled = jax.jit(augment, static_argnames=('mode', 'fourth_channel'))


@pytest.mark.parametrize('shape', [*SHAPES[::3], *[pytest.param(x, marks=pytest.mark.full) for x in SHAPES[1:3]]])
@pytest.mark.parametrize('mode', ['fixed', 'diffaugment'])
def test_any_shape_and_any_number_of_channels(shape, mode):
    images = jnp.asarray(pictures(shape, 4), jnp.float32)
    result = compiled(images, keys(4), 1.0, mode=mode)
    assert result.shape == images.shape and result.dtype == images.dtype and jnp.isfinite(result).all()
    assert jnp.abs(result - images).max() > 0.1
    if mode == 'fixed':  # with probability 0 all stays as it is
        np.testing.assert_allclose(compiled(images, keys(4), 0.0, mode=mode), images, atol=1e-5)


def test_half_precision_is_augmented_in_float32():
    images = jnp.asarray(pictures(SHAPES[0], 4), jnp.bfloat16)
    half = compiled(images, keys(4), 1.0, mode='fixed')
    assert half.dtype == jnp.bfloat16
    assert jnp.array_equal(half, compiled(images.astype(jnp.float32), keys(4), 1.0, mode='fixed').astype(jnp.bfloat16))


def test_the_pipeline_is_its_parts_in_their_order(float64):
    images, key = pictures((8, 8, 3), 1), keys(1)
    blit, geometry, colour = jax.random.split(key[0], 3)
    plane = geometry_matrix(draw_geometry(geometry, 0.9, 8, 8)) @ blit_matrix(draw_blit(blit, 0.9, 8, 8))
    expected = np.stack([moved(images[0, ..., c], np.asarray(plane)) for c in range(3)], -1)
    palette = np.asarray(colour_matrix(draw_colour(colour, 0.9), 3))
    expected = expected @ palette[:3, :3].T + palette[:3, 3]
    result = compiled(jnp.asarray(images), key, 0.9, mode='fixed')
    np.testing.assert_allclose(result[0], expected, atol=1e-9)


def test_opacity_keeps_its_values_and_data_does_not():
    images = jnp.asarray(pictures(SHAPES[2], 4), jnp.float32).at[..., 3].set(1)
    alpha, data = (compiled(images, keys(4), 1.0, mode='fixed', fourth_channel=kind) for kind in ('alpha', 'data'))
    np.testing.assert_allclose(alpha[..., 3], 1, atol=1e-5)
    assert jnp.abs(data[..., 3] - 1).max() > 0.1


@pytest.mark.parametrize('mode', ['fixed', 'diffaugment'])
def test_derivatives(float64, mode):
    """First and second ones, as R1 takes them."""
    images = jnp.asarray(pictures((3, 4, 3), 1))
    weight = jnp.asarray(pictures((3, 4, 3), 1, seed=1))

    def score(x):
        return jnp.sum(jnp.sin(compiled(x, keys(1), 0.9, mode=mode) * weight))

    check_grads(jax.jit(score), (images,), order=2, modes=['rev'], rtol=1e-6)


# DiffAugment.


def test_diffaugment_colours():
    x = pictures((4, 6, 3), 1)[0]
    bright = x + 0.2
    grey = bright.mean(-1, keepdims=True)
    saturated = (bright - grey) * 1.5 + grey
    expected = (saturated - saturated.mean()) * 0.7 + saturated.mean()
    np.testing.assert_allclose(differentiable.change_colours(jnp.asarray(x), 0.2, 1.5, 0.7), expected, rtol=1e-4)


@pytest.mark.parametrize('shift', [(2, -1), (0, 0), (-1, 2)])
def test_diffaugment_translation(shift):
    x = np.float32(pictures((16, 12, 2), 1)[0])
    expected = scipy.ndimage.shift(x, (*shift, 0), order=0, mode='constant')
    assert np.array_equal(differentiable.shifted(jnp.asarray(x), jnp.array(shift)), expected)


@pytest.mark.parametrize('centre', [(0, 0), (4, 3), (8, 6)])
def test_diffaugment_cutout(centre):
    x = np.float32(pictures((8, 6, 3), 1)[0])
    expected = x.copy()
    for row in range(8):
        for column in range(6):
            if -2 <= row - centre[0] < 2 and -1 <= column - centre[1] < 2:
                expected[row, column] = 0
    assert np.array_equal(differentiable.cut_out(jnp.asarray(x), jnp.array(centre)), expected)
