"""Pictures of any size and mode as full-size pixels, and the stages made of them."""

import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.config import ImageConfig
from stylegan_jax.data.fitting import Unusable, fitted, placement, pyramid
from stylegan_jax.data.pixels import box_reduce, lanczos_reduce
from stylegan_jax.errors import UserError


def random_pixels(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, [height, width, channels], np.uint8)


def fit_box(picture, shape, fit='crop'):
    return fitted(picture, shape, fit=fit, resize_filter='box')


def test_exact_size_is_unchanged():
    pixels = random_pixels(8, 8)
    for fit, resize_filter in itertools.product(('crop', 'pad', 'resize', 'exact'), ('box', 'lanczos')):
        found = fitted(Image.fromarray(pixels), (8, 8, 3), fit=fit, resize_filter=resize_filter)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(
    'height, width, fit, box, size',
    [
        (100, 60, 'crop', (0, 20, 60, 80), (32, 32)),
        (100, 60, 'pad', (0, 0, 60, 100), (32, 19)),
        (20, 64, 'pad', (0, 0, 64, 20), (10, 32)),
        (20, 10, 'pad', (0, 0, 10, 20), (20, 10)),
        (1, 1000, 'pad', (0, 0, 1000, 1), (1, 32)),
        (100, 60, 'resize', (0, 0, 60, 100), (32, 32)),
        (24, 32, 'wide', (0, 0, 32, 24), (24, 32)),
        (480, 640, 'wide', (0, 228, 640, 252), (24, 32)),  # round(32 * 480 / 640) rows, squeezed to 24
        (100, 40, 'wide', (0, 10, 40, 90), (24, 32)),
    ],
)
def test_placement(height, width, fit, box, size):
    assert placement(height, width, (32, 32, 3), fit) == (box, size)


@pytest.mark.parametrize(
    'height, width, fit, message',
    [
        (31, 100, 'crop', '100x31 pixels are too few for 32x32'),
        (100, 31, 'resize', '31x100 pixels are too few for 32x32'),
        (32, 64, 'exact', 'its size is 64x32, not 32x32'),
        (40, 100, 'wide', '100x40 pixels are too few, or too wide, for 32x24'),
        (30, 31, 'wide', '31x30 pixels are too few'),
    ],
)
def test_nothing_is_enlarged(height, width, fit, message):
    with pytest.raises(Unusable, match=message):
        fit_box(random_pixels(height, width), (32, 32, 3), fit)


def test_pad_is_centred_on_black():
    pixels = random_pixels(4, 3)
    expected = np.zeros([8, 8, 3])
    expected[2:6, 2:5] = pixels
    np.testing.assert_array_equal(fit_box(pixels, (8, 8, 3), 'pad'), expected)


def test_padding_is_opaque():
    found = fit_box(random_pixels(4, 4, 4), (8, 8, 4), 'pad')
    np.testing.assert_array_equal(found[0, 0], [0, 0, 0, 255])


def test_wide_squeezes_the_central_rows_onto_a_black_square():
    pixels = random_pixels(96, 64)  # round(32 * 96 / 64) = 48 rows
    found = fit_box(pixels, (32, 32, 3), 'wide')
    np.testing.assert_array_equal(found[4:28], box_reduce(pixels[24:72], 24, 32))
    assert not found[:4].any() and not found[28:].any()


def test_wide_needs_a_square():
    for shape in ((24, 32, 3), (4, 4, 3)):
        with pytest.raises(UserError, match="fit='wide'"):
            fit_box(random_pixels(64, 64), shape, 'wide')


@pytest.mark.parametrize(
    'options, message',
    [
        ({'fit': 'stretch', 'resize_filter': 'box'}, "fit='stretch': choose one of"),
        ({'fit': 'crop', 'resize_filter': 'cubic'}, "resize_filter='cubic': choose one of"),
        (
            {'fit': 'crop', 'resize_filter': 'box', 'fourth_channel': 'depth'},
            "fourth_channel='depth': choose one of alpha, data",
        ),
    ],
)
def test_unknown_option_is_a_user_error(options, message):
    with pytest.raises(UserError, match=message):
        fitted(random_pixels(8, 8), (8, 8, 3), **options)


def test_resize_forgets_the_aspect_ratio():
    pixels = random_pixels(64, 32)
    planes = [Image.fromarray(pixels[..., c].astype(np.float32)).resize((8, 8), Image.Resampling.BOX) for c in range(3)]
    np.testing.assert_array_equal(fit_box(pixels, (8, 8, 3), 'resize'), np.stack(planes, axis=-1))


def test_lanczos_is_pillows_on_uint8():
    """What the official tool for LSUN does: crop, then resize an RGB picture."""
    pixels = random_pixels(41, 30)
    expected = Image.fromarray(pixels[5:35]).resize((16, 16), Image.Resampling.LANCZOS)
    found = fitted(pixels, (16, 16, 3), fit='crop', resize_filter='lanczos')
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('resize_filter', ['box', 'lanczos'])
def test_other_data_and_colour_are_reduced_alone(resize_filter):
    pixels = random_pixels(16, 16, 4)
    found = fitted(pixels, (8, 8, 4), fit='crop', resize_filter=resize_filter, fourth_channel='data')
    alone = fitted(pixels[..., :3], (8, 8, 3), fit='crop', resize_filter=resize_filter)
    np.testing.assert_array_equal(found[..., :3], alone)


def cutout(side, radius, colour=(255, 255, 0)):
    """A disc of one colour on full transparency, whose hidden colour is black."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    pixels = np.zeros([side, side, 4], np.uint8)
    pixels[x**2 + y**2 < radius**2] = (*colour, 255)
    return pixels


@pytest.mark.parametrize('resize_filter', ['box', 'lanczos'])
@pytest.mark.parametrize('level_filter', ['box', 'lanczos'])
@pytest.mark.parametrize('side', [64, 100, 150])
def test_a_cutout_keeps_its_colour_at_every_stage(side, resize_filter, level_filter):
    pixels = fitted(cutout(side, side / 3), (64, 64, 4), fit='crop', resize_filter=resize_filter)
    levels = pyramid(pixels, ImageConfig(64, channels=4), level_filter)
    assert [len(level) for level in levels] == [64, 32, 16, 8, 4]
    for level in levels:
        seen = level[..., 3] > 0
        assert seen.any() and (level[seen][:, :3] == (255, 255, 0)).all()
        # The opacity is what it is without colours.
        assert abs(level[..., 3].mean() / 255 - np.pi / 9) < 0.03


def test_colours_are_weighted_by_opacity():
    pixels = random_pixels(16, 16, 4).astype(np.float64)
    pixels[:2, :2, 3] = 0
    found = box_reduce(pixels, 8, 8, fourth_channel='alpha')
    boxes = pixels.reshape(8, 2, 8, 2, 4).transpose(0, 2, 1, 3, 4).reshape(8, 8, 4, 4)
    opacity = boxes[..., 3:]
    weights = np.where(opacity.sum(2, keepdims=True) > 0, opacity, 1)  # the mean where nothing is visible
    expected = (boxes[..., :3] * weights).sum(2) / weights.sum(2)
    np.testing.assert_allclose(found, np.concatenate([expected, opacity.mean(2)], axis=-1), rtol=1e-12)


def test_stages_of_a_cutout_are_one_reduction_from_full_size():
    pixels = random_pixels(32, 32, 4)
    levels = pyramid(pixels, ImageConfig(32, channels=4), 'box')
    np.testing.assert_array_equal(levels[3], np.rint(box_reduce(pixels, 4, 4, fourth_channel='alpha')))


def test_an_opaque_image_is_the_mean_of_its_colours():
    pixels = random_pixels(48, 48, 4)
    pixels[..., 3] = 255
    for side in (24, 20):
        found = box_reduce(pixels, side, side, fourth_channel='alpha')
        np.testing.assert_array_equal(found, box_reduce(pixels, side, side))


@pytest.mark.parametrize('reduce', [box_reduce, lanczos_reduce])
@pytest.mark.parametrize('height, width', [(96, 64), (77, 101)])
@pytest.mark.parametrize('fourth_channel', ['alpha', 'data'])
def test_strips_change_no_bit(reduce, height, width, fourth_channel, monkeypatch):
    for pixels in (random_pixels(height, width, 4), random_pixels(height, width, 4).astype(np.float32) / 3):
        whole = reduce(pixels, 32, 32, fourth_channel=fourth_channel)
        with monkeypatch.context() as patch:
            patch.setattr('stylegan_jax.data.pixels._STRIP_VALUES', 3000)
            np.testing.assert_array_equal(reduce(pixels, 32, 32, fourth_channel=fourth_channel), whole)


# Channels.


def test_array_of_any_channels():
    grey = random_pixels(8, 8, 1)
    np.testing.assert_array_equal(fit_box(grey, (8, 8, 3)), grey.repeat(3, axis=2))
    np.testing.assert_array_equal(fit_box(grey[..., 0], (8, 8, 1)), grey)
    rgba = random_pixels(8, 8, 4)
    np.testing.assert_allclose(
        fit_box(rgba, (8, 8, 3)), 255 + (rgba[..., :3] - 255.0) * (rgba[..., 3:] / 255), atol=1e-4
    )
    np.testing.assert_array_equal(fit_box(rgba, (8, 8, 4)), rgba)
    chw = random_pixels(3, 8, 8)
    np.testing.assert_array_equal(fit_box(chw.transpose(1, 2, 0), (8, 8, 3)), chw.transpose(1, 2, 0))


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'CMYK'])
@pytest.mark.parametrize('channels', [1, 3, 4])
def test_picture_of_any_mode(mode, channels):
    found = fit_box(Image.fromarray(random_pixels(16, 16)).convert(mode), (8, 8, channels))
    assert found.shape == (8, 8, channels) and 0 < found[..., 0].mean() < 255


@pytest.mark.parametrize('pixels', [np.zeros([8, 8, 2], np.uint8), np.zeros([8, 8, 3]), np.zeros([8], np.uint8)])
def test_array_of_another_kind_is_unusable(pixels):
    with pytest.raises(Unusable, match='is not uint8'):
        fit_box(pixels, (8, 8, 3))


def encode_sixteen_bit_rgb(pixels):
    """Returns a PNG of uint16 [H, W, 3], which Pillow can read but not write."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    height, width, _ = pixels.shape
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in pixels)
    return (
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 16, 2, 0, 0, 0))
        + chunk(b'IDAT', zlib.compress(rows))
        + chunk(b'IEND', b'')
    )


def test_sixteen_bits_keep_the_high_byte(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, [8, 8, 3], np.uint16)
    (tmp_path / 'deep.png').write_bytes(encode_sixteen_bit_rgb(deep))
    with Image.open(tmp_path / 'deep.png') as picture:
        np.testing.assert_array_equal(fit_box(picture, (8, 8, 3)), deep >> 8)
    grey = Image.fromarray(deep[..., 0])
    assert grey.mode == 'I;16'
    np.testing.assert_array_equal(fit_box(grey, (8, 8, 1)), deep[..., :1] >> 8)


# The stages.


def test_levels_are_rounded_once():
    image = ImageConfig(32, base_shape=(4, 4))
    pixels = random_pixels(32, 32)
    levels = pyramid(pixels, image, 'box')
    assert [level.shape for level in levels] == [(32, 32, 3), (16, 16, 3), (8, 8, 3), (4, 4, 3)]
    assert all(level.dtype == np.uint8 for level in levels)
    for level in levels:
        factor = 32 // len(level)
        exact = pixels.reshape(len(level), factor, len(level), factor, 3).mean(axis=(1, 3))
        np.testing.assert_array_equal(level, np.rint(exact))


def test_levels_of_unrounded_pixels():
    pixels = np.full([8, 8, 1], 10.375, np.float32)
    pixels[::2] = 10.75  # rounded first, these would be 11, and the mean 10.5 and so 10
    levels = pyramid(pixels, ImageConfig(8, channels=1), 'box')
    assert (levels[0][::2] == 11).all() and (levels[0][1::2] == 10).all() and (levels[1] == 11).all()


def test_levels_of_another_aspect():
    levels = pyramid(random_pixels(24, 32), ImageConfig(32, base_shape=(3, 4)), 'box')
    assert [level.shape[:2] for level in levels] == [(24, 32), (12, 16), (6, 8), (3, 4)]


def test_lanczos_levels_come_from_full_size():
    pixels = random_pixels(16, 16)
    levels = pyramid(pixels, ImageConfig(16), 'lanczos')
    np.testing.assert_array_equal(levels[2], lanczos_reduce(pixels, 4, 4))
    np.testing.assert_array_equal(levels[2], Image.fromarray(pixels).resize((4, 4), Image.Resampling.LANCZOS))


def test_unknown_level_filter_is_a_user_error():
    with pytest.raises(UserError, match="level_filter='area'"):
        pyramid(random_pixels(8, 8), ImageConfig(8), 'area')
