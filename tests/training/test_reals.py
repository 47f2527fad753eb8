"""Real images as the discriminator gets them: scaled, mirrored and faded."""

import jax.numpy as jnp
import numpy as np

import tiny
from stylegan_jax.data.pixels import box_reduce
from stylegan_jax.training import prepare_reals


def test_reals_are_scaled_from_bytes():
    reals = prepare_reals(np.array([[[[0], [255]], [[51], [102]]]], np.uint8), None, 1.0, stage=0)
    np.testing.assert_allclose(reals[0, :, :, 0], [[-1, 1], [-0.6, -0.2]], atol=1e-6)
    floats = np.array(tiny.normal(1, 4, 4, 3))
    np.testing.assert_array_equal(prepare_reals(floats, None, 1.0, stage=0), floats)


def test_chosen_reals_are_mirrored_left_to_right():
    x = tiny.normal(2, 4, 6, 3)
    mirrored = prepare_reals(x, jnp.array([True, False]), 1.0, stage=1)
    np.testing.assert_array_equal(mirrored, np.stack([x[0, :, ::-1], x[1]]))


def test_a_cutout_keeps_its_colour_while_it_fades():
    pixels = np.zeros([1, 8, 8, 4], np.uint8)
    pixels[:, 1:6, 2:7] = (255, 255, 0, 255)
    for alpha in (0.01, 0.5, 1.0):
        reals = np.array(prepare_reals(pixels, None, alpha, stage=1))
        seen = reals[..., 3] > -1
        np.testing.assert_allclose(reals[seen][:, :3], np.broadcast_to([1, 1, -1], [seen.sum(), 3]), atol=1e-5)
        assert seen.sum() == (25 if alpha == 1 else 36)
    lower = box_reduce(pixels[0], 4, 4, fourth_channel='alpha').repeat(2, axis=0).repeat(2, axis=1)
    found = np.array(prepare_reals(pixels, None, 1e-6, stage=1))[0]
    np.testing.assert_allclose((found + 1) * 127.5, lower, atol=1e-2)


def test_other_data_fade_by_themselves():
    x = np.array(tiny.normal(2, 4, 4, 4))
    found = prepare_reals(x, None, 0.25, stage=1, fourth_channel='data')
    for channel in range(4):
        one = x[..., channel : channel + 1]
        np.testing.assert_array_equal(found[..., channel : channel + 1], prepare_reals(one, None, 0.25, stage=1))


def test_reals_fade_between_levels():
    x = np.array(tiny.normal(2, 4, 4, 3))
    means = x.reshape(2, 2, 2, 2, 2, 3).mean((2, 4)).repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(prepare_reals(x, None, 0.25, stage=1), 0.25 * x + 0.75 * means, atol=1e-6)
    np.testing.assert_array_equal(prepare_reals(x, None, 0.25, stage=0), x)
