"""Texture sticking on generators that are known to stick or not, and EQ-T of inputs that are shifted."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import sticking
from stylegan_jax.metrics.equivariance import equivariance, squares
from stylegan_jax.metrics.path_length import lerp

SIDE, WALKS = 36, 16


def field(sigma, contrast, seed):
    """[3 * SIDE, 3 * SIDE] random values that are smooth over sigma pixels."""
    drawn = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((3 * SIDE, 3 * SIDE)), sigma)
    return contrast * drawn / drawn.std()


SHAPES, TEXTURE, SCREEN = field(6, 0.4, seed=0), field(0.7, 0.1, seed=1), field(0.7, 0.1, seed=2)


def draw(w):
    """An object [N, SIDE, SIDE, 1] that w moves and scales, with a texture on it and one on the screen.

    Args:
      w: [N, 4]: rows and columns, in units of three pixels, scale, and the share of the texture on the screen.
    """
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    images = []
    for down, across, scale, share in np.asarray(w, np.float64):
        scale = 1 + 0.1 * np.tanh(scale)
        places = [some * scale - 3 * shift + 1.5 * SIDE for some, shift in ((rows, down), (columns, across))]
        moving = scipy.ndimage.map_coordinates(SHAPES + (1 - share) * TEXTURE, places, order=3, mode='wrap')
        images.append(moving + share * SCREEN[:SIDE, :SIDE])
    return np.stack(images)[..., None].astype(np.float32)


def synthesize(w):
    return jax.pure_callback(draw, jax.ShapeDtypeStruct((len(w), SIDE, SIDE, 1), jnp.float32), w)


_moments = jax.jit(functools.partial(sticking.moments_of_walks, interpolate=lerp, synthesize=synthesize))


def measured(share):
    ends = np.random.default_rng(0).standard_normal((2, WALKS, 4)).astype(np.float32)
    ends[..., 3] = share
    return np.asarray(_moments(*ends))


@pytest.mark.parametrize('share', [0, 1])
def test_texture_of_the_object_is_0_and_texture_of_the_screen_is_1(share):
    found = sticking.sticking(measured(share))
    assert found.share == pytest.approx(share, abs=0.05)
    assert found.stays + found.moves == pytest.approx(1, abs=0.1) and found.counted > 0.1
    assert found.standard_error < 0.03


@pytest.mark.full
@pytest.mark.parametrize('amplitude', [0.25, 0.5, 0.75])
def test_of_two_textures_the_share_is_that_of_power(amplitude):
    expected = amplitude**2 / (amplitude**2 + (1 - amplitude) ** 2)
    assert sticking.sticking(measured(amplitude)).share == pytest.approx(expected, abs=0.05)


def test_share_and_its_error_by_hand():
    # Two walks whose details are s and m, uncorrelated, of power 2: d = 0.3 s + 0.9 m on average.
    rows = np.array([[2, 2, 0, 0.4, 1.8, 0.5], [2, 2, 0, 0.8, 1.8, 0.3]])
    found = sticking.sticking(rows)
    assert found[2:] == pytest.approx((0.3, 0.9, 0.4))
    assert found.share == pytest.approx(0.25)
    of_each = 0.2 / 1.1, 0.4 / 1.3
    assert found.standard_error == pytest.approx((of_each[1] - of_each[0]) / 2)


def test_details_that_resemble_each_other_are_told_apart():
    random = np.random.default_rng(0)
    s, other = random.standard_normal((2, 10_000))
    m = 0.6 * s + 0.8 * other
    d = 0.2 * s + 0.6 * m + random.standard_normal(10_000)
    rows = np.tile([s @ s, m @ m, s @ m, s @ d, m @ d, 1], (2, 1)) / 10_000
    expected, *_ = np.linalg.lstsq(np.stack([s, m], axis=1), d)
    assert sticking.sticking(rows)[2:4] == pytest.approx(tuple(expected))


def test_what_does_not_move_has_no_share():
    with pytest.raises(UserError, match='in 2 walks nothing was seen to move by a pixel or more'):
        sticking.sticking(np.zeros((2, 6)))


def test_pictures_that_move_with_their_input_have_no_differences():
    image = np.random.default_rng(0).standard_normal((3, 8, 12, 2)).astype(np.float32)

    def moving(down, across):
        return jnp.roll(image, (2 * down, 3 * across), axis=(1, 2))  # a constant of 4x4

    np.testing.assert_array_equal(squares(moving, (4, 4)), 0)
    # A picture that stays, at each of four shifts against itself by two rows or three columns.
    expected = (((image[:, 2:] - image[:, :-2]) ** 2).mean((1, 2, 3)) / 2) + (
        ((image[:, :, 3:] - image[:, :, :-3]) ** 2).mean((1, 2, 3)) / 2
    )
    np.testing.assert_allclose(squares(lambda down, across: image, (4, 4)), expected, rtol=1e-5)


def test_decibels_and_their_error():
    assert equivariance([0.03, 0.05]) == pytest.approx((20, 10 / np.log(10) * 0.25))
    assert equivariance([0, 0]).decibels == pytest.approx(10 * np.log10(4e12))  # float32 shows no more
