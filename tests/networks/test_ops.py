"""The arithmetic of the networks against the definitions of the papers and of the official code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import tiny
from stylegan_jax.networks import ops


def test_upscale_repeats_and_downscale_averages_pixels():
    x = tiny.normal(2, 3, 4, 2)
    np.testing.assert_array_equal(ops.upscale(x), np.repeat(np.repeat(x, 2, axis=1), 2, axis=2))
    np.testing.assert_allclose(ops.downscale(ops.upscale(x)), x, rtol=1e-6)
    y = np.asarray(tiny.normal(2, 4, 6, 2))
    np.testing.assert_allclose(ops.downscale(jnp.asarray(y))[:, 1, 2], y[:, 2:4, 4:6].mean(axis=(1, 2)), rtol=1e-5)


def depthwise(x, taps):
    taps = jnp.array(taps) / sum(taps)
    half, channels = len(taps) // 2, x.shape[-1]
    kernel = jnp.tile((taps[:, None] * taps)[:, :, None, None], (1, 1, 1, channels))
    padding = ((half, half), (half, half))
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding, feature_group_count=channels, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )


def test_upscale_bilinear_keeps_centres_in_place():
    x = tiny.normal(2, 3, 5, 4)
    np.testing.assert_allclose(ops.upscale_bilinear(x), jax.image.resize(x, (2, 6, 10, 4), 'linear'), atol=1e-6)


@pytest.mark.parametrize('taps', [(1, 2, 1), (1, 3, 7), (1, 4, 6, 4, 1), (2, 0, 0, 1, 5)])
def test_blur_is_a_depthwise_convolution(float64, taps):
    x = tiny.normal(2, 5, 6, 3)
    tiny.assert_trees_close(
        tiny.with_gradients(lambda x: ops.blur(x, taps), x),
        tiny.with_gradients(lambda x: depthwise(x, taps), x),
        rtol=1e-10,
        atol=1e-10,
    )


def test_blur_without_taps_does_nothing():
    x = tiny.normal(1, 3, 3, 2)
    np.testing.assert_array_equal(ops.blur(x, ()), x)
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(ops.blur(x, ()) * 3))(x), jnp.full_like(x, 3))


def stddev_of_groups(x, group_size, num_features):
    """What each sample gets, [N, F]: group m of M is samples m, m + M, m + 2M, ..."""
    x = np.asarray(x, np.float64)
    count = x.shape[0] // group_size
    values = []
    for m in range(count):
        deviation = np.sqrt(x[m::count].var(axis=0) + 1e-8)
        values.append([part.mean() for part in np.split(deviation, num_features, axis=-1)])
    return np.array([values[n % count] for n in range(x.shape[0])])


@pytest.mark.parametrize('group_size, num_features', [(4, 1), (4, 2), (2, 3), (12, 1), (6, 6)])
def test_minibatch_stddev_groups_every_mth_sample(group_size, num_features):
    x = tiny.normal(12, 2, 3, 6)
    y = jax.jit(ops.minibatch_stddev, static_argnums=(1, 2))(x, group_size, num_features)
    np.testing.assert_array_equal(y[..., :6], x)
    assert y.shape == (12, 2, 3, 6 + num_features)
    expected = np.broadcast_to(stddev_of_groups(x, group_size, num_features)[:, None, None], y[..., 6:].shape)
    np.testing.assert_allclose(y[..., 6:], expected, rtol=1e-5)


def test_minibatch_stddev_of_a_small_batch_is_one_group():
    x = tiny.normal(3, 2, 2, 4)
    np.testing.assert_array_equal(ops.minibatch_stddev(x, 4, 1), ops.minibatch_stddev(x, 3, 1))


def test_minibatch_stddev_keeps_replicas_apart():
    x = tiny.normal(24, 2, 2, 4)
    together = ops.minibatch_stddev(x, 4, 2, replicas=3)
    apart = [ops.minibatch_stddev(part, 4, 2) for part in jnp.split(x, 3)]
    np.testing.assert_allclose(together, jnp.concatenate(apart), rtol=1e-6)


@pytest.mark.parametrize('batch, replicas', [(6, 1), (12, 2), (10, 4)])
def test_minibatch_stddev_refuses_a_batch_that_groups_do_not_divide(batch, replicas):
    with pytest.raises(ValueError, match=f'{batch} images of {replicas} replicas'):
        ops.minibatch_stddev(tiny.normal(batch, 2, 2, 4), 4, 1, replicas=replicas)


def test_minibatch_stddev_has_finite_gradients_for_equal_samples():
    gradient = jax.grad(lambda x: jnp.sum(ops.minibatch_stddev(x, 4, 1)))(jnp.ones((4, 2, 2, 3)))
    assert np.isfinite(gradient).all()


def test_instance_norm_is_accurate_far_from_zero():
    x = 1000 + 0.1 * tiny.normal(2, 8, 8, 3)
    exact = np.asarray(x, np.float64)
    exact = (exact - exact.mean((1, 2), keepdims=True)) / np.sqrt(exact.var((1, 2), keepdims=True) + 1e-8)
    np.testing.assert_allclose(ops.instance_norm(x), exact, atol=0.01)


@pytest.mark.parametrize('height', [3, 600])  # the second is a long sum, which accelerators take in more steps
def test_sums_and_means_over_pixels(float64, forms, height):
    x = tiny.normal(2, height, 4, 5)
    for ours, plain in (
        (ops.sum_over_images, lambda x: jnp.sum(x, axis=(0, 1, 2))),
        (ops.mean_over_pixels, lambda x: jnp.mean(x, axis=(1, 2), keepdims=True)),
    ):
        tiny.assert_trees_close(tiny.with_gradients(ours, x), tiny.with_gradients(plain, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('sizes', [(5,), (60,), (5, 10, 60, 11), (60, 60)], ids=str)
def test_sum_of_squares(float64, forms, monkeypatch, sizes):
    """Of small arrays, of large ones, and of both."""
    monkeypatch.setattr(ops, '_SMALL', 10)
    arrays = [tiny.normal(size // 5, 5, seed=size) for size in sizes]
    expected = sum(np.sum(np.square(x)) for x in arrays)
    np.testing.assert_allclose(ops.sum_of_squares(arrays), expected, rtol=1e-12)


def exact_statistics(x):
    x = np.asarray(x, np.float64)
    return x.mean((1, 2), keepdims=True), 1 / np.sqrt(x.var((1, 2), keepdims=True) + 1e-8)


def test_instance_statistics_do_not_cancel_far_from_zero(forms):
    x = 1000 + 0.1 * tiny.normal(2, 16, 16, 3)
    for ours, exact in zip(jax.jit(ops.instance_statistics)(x), exact_statistics(x)):
        np.testing.assert_allclose(ours, exact, rtol=1e-4)


@pytest.mark.parametrize('row, column', [(8, 8), (0, 3)], ids=['central', 'other'])
def test_instance_statistics_with_an_outlier(forms, row, column):
    x = tiny.normal(2, 16, 16, 3).at[:, row, column].add(1000.0)
    for ours, exact in zip(jax.jit(ops.instance_statistics)(x), exact_statistics(x)):
        np.testing.assert_allclose(ours, exact, rtol=1e-3)


def test_instance_norm_of_a_flat_map_is_zero():
    np.testing.assert_array_equal(ops.instance_norm(jnp.full((1, 4, 4, 2), 3.0)), jnp.zeros((1, 4, 4, 2)))


def test_adaptive_instance_norm_takes_over_the_statistics_of_the_style():
    content, style = tiny.normal(2, 8, 8, 3), 5 + 3 * tiny.normal(2, 6, 4, 3, seed=1)
    y = jax.jit(ops.adaptive_instance_norm)(content, style)
    assert y.shape == content.shape
    for statistic in (np.mean, np.std):
        np.testing.assert_allclose(statistic(y, axis=(1, 2)), statistic(style, axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(ops.instance_norm(y), ops.instance_norm(content), atol=1e-4)


def test_equation_1_scales_by_one_plus_style_and_adds_its_second_half():
    x, style = tiny.normal(2, 3, 3, 4), tiny.normal(2, 8, seed=1)
    expected = np.stack([x[n] * (style[n, :4] + 1) + style[n, 4:] for n in range(2)])
    np.testing.assert_allclose(ops.stylize(x, style), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('shape', [(3, 8), (2, 3, 4, 8)])
def test_pixel_norm_gives_unit_mean_square(shape):
    y = ops.pixel_norm(7 * tiny.normal(*shape))
    np.testing.assert_allclose(np.mean(np.square(y), axis=-1), 1, rtol=1e-5)


def test_equalized_weights_give_unit_variance():
    weight = tiny.normal(400, 300) / 0.01
    y = ops.dense(tiny.normal(50, 400, seed=1), ops.equalized(weight, fan_in=400, lr_multiplier=0.01))
    assert np.std(y) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize('nonlinearity, negative', [('lrelu', -0.4), ('relu', 0)])
def test_rectify(nonlinearity, negative):
    np.testing.assert_allclose(ops.rectify(jnp.array([-2.0, 3.0]), nonlinearity), [negative, 3])


def test_fade_goes_from_the_lower_stage_to_the_newest():
    older, newer = tiny.normal(2, 2, 2, 3), tiny.normal(2, 2, 2, 3, seed=1)
    np.testing.assert_array_equal(ops.fade(older, newer, 1.0), newer)
    np.testing.assert_allclose(ops.fade(older, newer, 0.0), older, atol=1e-6)
    np.testing.assert_allclose(ops.fade(older, newer, 0.25), 0.75 * older + 0.25 * newer, atol=1e-6)
