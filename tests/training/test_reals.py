"""Real images as the discriminator gets them: scaled, mirrored and faded."""

import jax.numpy as jnp
import numpy as np

import tiny
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


def test_reals_fade_between_levels():
    x = np.array(tiny.normal(2, 4, 4, 3))
    means = x.reshape(2, 2, 2, 2, 2, 3).mean((2, 4)).repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(prepare_reals(x, None, 0.25, stage=1), 0.25 * x + 0.75 * means, atol=1e-6)
    np.testing.assert_array_equal(prepare_reals(x, None, 0.25, stage=0), x)
