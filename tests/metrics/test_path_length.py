"""Path length: interpolation, the filter, and the whole with the reference's toy generator."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.path_length import at_most_256, distances, face, lerp, path_length, slerp

EPSILON = np.float32(1e-4)


@pytest.fixture
def stored():
    return metric_reference.arrays('ppl')


@pytest.fixture
def expected():
    return metric_reference.numbers('ppl')


@pytest.mark.parametrize('suffix, step', [('', 0), ('_eps', EPSILON)])
@pytest.mark.parametrize('interpolate', [slerp, lerp])
def test_reference_interpolation(stored, interpolate, suffix, step):
    name = interpolate.__name__
    a, b, t = (jnp.array(stored[f'{name}_{argument}']) for argument in 'abt')
    np.testing.assert_allclose(interpolate(a, b, t + step), stored[f'{name}_out{suffix}'], rtol=0, atol=1e-6)


def test_slerp_goes_along_a_great_circle_at_even_speed(float64):
    a, b = np.random.default_rng(0).standard_normal((2, 1, 6))
    t = np.linspace(0, 1, 11)
    path = slerp(np.repeat(3 * a, 11, axis=0), np.repeat(b / 5, 11, axis=0), t)
    np.testing.assert_allclose(path[0], a[0] / np.linalg.norm(a), atol=1e-12)
    np.testing.assert_allclose(path[-1], b[0] / np.linalg.norm(b), atol=1e-12)
    np.testing.assert_allclose(jnp.linalg.norm(path, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.diff(path, axis=0) @ np.diff(path, axis=0).T @ np.ones(10) > 0, True)
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(path, axis=0), axis=1), np.linalg.norm(path[1] - path[0]), rtol=1e-9
    )


def test_slerp_between_equals_stays(float64):
    a = np.array([[3.0, 4], [0, 2]])
    np.testing.assert_allclose(slerp(a, 2 * a, np.array([0.3, 0.7])), [[0.6, 0.8], [0, 1]], atol=1e-7)


@pytest.mark.parametrize('count', [1000, 205, 64, 10])
def test_reference_filter(stored, expected, count):
    raw = stored[f'filter_in_{count}'] * np.float32(1e8)
    result = path_length(raw)
    low, high, kept = expected[f'filter_lo_hi_kept_{count}']
    assert result.mean == pytest.approx(expected[f'filter_mean_{count}'], rel=1e-6)
    assert result.bounds == pytest.approx((low, high), rel=1e-6) and result.kept == kept
    assert result.standard_error == pytest.approx(
        np.std(raw[(raw >= np.float32(low)) & (raw <= np.float32(high))], ddof=1) / np.sqrt(kept), rel=1e-5
    )
    unfiltered = path_length(raw, percentiles=(0, 100))
    assert unfiltered.mean == pytest.approx(expected[f'unfiltered_mean_{count}'], rel=1e-6)
    assert unfiltered.kept == count


def toy(resolution):
    """The reference's generator: (map_latents, synthesize)."""
    random = np.random.RandomState(500 + resolution)
    m = np.float32(0.5 * random.randn(16, 8))
    y, x = (np.float32(np.repeat(random.randn(8, 3, resolution // 32), 32, axis=-1)) for _ in range(2))
    ramp = np.float32(np.arange(resolution) % 8 / 8)
    y, x = y + np.float32(0.3) * ramp, x - np.float32(0.2) * ramp

    def map_latents(z):
        w = jnp.tanh(jnp.matmul(z, m, precision='highest'))
        return jnp.stack([w, w], axis=1)

    def synthesize(ws):
        v = ws[:, 0] + np.float32(0.5) * ws[:, 1]
        return jnp.tanh(np.float32(0.3) * jnp.einsum('nd,dcy,dcx->nyxc', v, y, x, precision='highest'))

    return map_latents, synthesize


def toy_distance(a, b):
    return jnp.sum(jnp.mean(jnp.square((a - b) / 255), axis=(1, 2)), axis=1)


@pytest.mark.parametrize('resolution', [64, 256, 1024])
@pytest.mark.parametrize('space', ['z', 'w'])
@pytest.mark.parametrize('sampling', ['full', 'end'])
def test_reference_toy(stored, expected, resolution, space, sampling):
    expected, shapes = expected[f'toy{resolution}_{space}{sampling}'], []

    def perceptual(a, b):
        shapes.append(a.shape)
        return toy_distance(a, b)

    map_latents, synthesize = toy(resolution)
    step = jax.jit(
        functools.partial(
            distances, space=space, map_latents=map_latents, synthesize=synthesize, perceptual=perceptual, crop=True
        )
    )
    mine = np.concatenate(
        [
            step(z, t * (sampling == 'full'))
            for z, t in zip(stored[f'toy{resolution}_latents'], stored[f'toy{resolution}_t'])
        ]
    )
    assert path_length(mine).mean == pytest.approx(expected['ppl'], rel=1e-3)
    np.testing.assert_allclose(mine, stored[f'toy{resolution}_{space}{sampling}_distances'], rtol=1e-2)
    batch, _, height, width = expected['image_shape_at_metric']
    assert set(shapes) == {(batch, height, width, 3)}


def test_what_the_perceptual_distance_sees(float64):
    """Pairs of one step, in 0..255; uncropped unless asked for, and epsilon's square taken out."""
    z = np.random.default_rng(0).standard_normal((6, 4))
    t = np.array([0, 0.4, 0.8])

    def synthesize(ws):
        return jnp.tanh(jnp.broadcast_to(ws[:, None, None, :], (len(ws), 8, 12, 4)))

    seen = []

    def perceptual(a, b):
        seen.extend([a, b])
        return jnp.arange(3.0)

    result = distances(
        z, t, space='w', map_latents=lambda z: 2 * z, synthesize=synthesize, perceptual=perceptual, epsilon=0.01
    )
    np.testing.assert_allclose(result, [0, 1e4, 2e4])
    for images, place in zip(seen, (t, t + 0.01)):
        w = 2 * (z[0::2] + (z[1::2] - z[0::2]) * place[:, None])
        np.testing.assert_allclose(images[:, 5, 7], (np.tanh(w) + 1) * 127.5)
        assert images.shape == (3, 8, 12, 4)


def test_path_length_of_a_line_is_its_squared_slope(float64):
    """With images that are linear in w, distances do not depend on epsilon."""
    z = np.random.default_rng(0).standard_normal((8, 3)) / 10

    def measure(epsilon):
        return distances(
            z,
            np.full(4, 0.5),
            space='w',
            map_latents=lambda z: z,
            synthesize=lambda ws: jnp.tile(ws[:, None, None, :], (1, 4, 4, 1)),
            perceptual=toy_distance,
            epsilon=epsilon,
        )

    np.testing.assert_allclose(measure(1e-4), np.sum((z[1::2] - z[::2]) ** 2, axis=1) / 4, rtol=1e-8)
    np.testing.assert_allclose(measure(1e-4), measure(1e-2), rtol=1e-8)


@pytest.mark.parametrize(
    'shape, reduced',
    [
        ((256, 256), (256, 256)),
        ((511, 511), (511, 511)),
        ((512, 512), (256, 256)),
        ((1024, 1024), (256, 256)),
        ((640, 640), (320, 320)),
        ((1024, 512), (256, 128)),
        ((256, 512), (128, 256)),
        ((768, 512), (384, 256)),
        ((513, 513), (513, 513)),
    ],
)
def test_large_images_are_reduced_by_the_longer_side(shape, reduced):
    images = jax.eval_shape(at_most_256, jax.ShapeDtypeStruct((2, *shape, 3), jnp.float32))
    assert images.shape == (2, *reduced, 3)


def test_reducing_averages_boxes():
    images = np.random.default_rng(0).random((1, 512, 1024, 2), np.float32)
    np.testing.assert_allclose(at_most_256(images)[0, 3, 5], images[0, 12:16, 20:24].mean(axis=(0, 1)), rtol=1e-5)


def test_face_takes_the_same_shares_of_oblong_images():
    rows, columns = np.mgrid[:16, :32]
    cropped = face(np.stack([rows, columns], axis=-1)[None])
    assert cropped.shape == (1, 8, 16, 2)
    np.testing.assert_array_equal(cropped[0, 0, 0], [6, 8])


def test_what_cannot_be_used_is_refused():
    functions = {'map_latents': lambda z: z, 'synthesize': lambda w: w, 'perceptual': lambda a, b: a}
    with pytest.raises(UserError, match="space='s'"):
        distances(np.zeros((4, 2)), np.zeros(2), space='s', **functions)
    for z, t in (((3, 2), 1), ((4, 2), 4), ((4,), 2)):
        with pytest.raises(UserError, match='z and t: shapes'):
            distances(np.zeros(z), np.zeros(t), space='z', **functions)
    with pytest.raises(UserError, match='images of 4x8: too small'):
        face(np.zeros((1, 4, 8, 3)))
    with pytest.raises(UserError, match='0 samples, and at least 1'):
        path_length([])
    with pytest.raises(UserError, match='not finite'):
        path_length([1, np.nan])
    with pytest.raises(UserError, match='percentiles=.99, 1.'):
        path_length([1, 2], percentiles=(99, 1))
