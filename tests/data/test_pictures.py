"""Encoded pictures of every kind: formats, side chunks, orientation, 16 bits, transparency, and their memory."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from source_files import encode, random_pixels, write_folder, write_zip

import stylegan_jax
from stylegan_jax.data.channels import to_channels, value_extrema
from stylegan_jax.data.fitting import Unusable, fitted
from stylegan_jax.data.sources import open_source
from stylegan_jax.data.sources.pictures import decode, upright_size


def chunk(kind, content):
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def png(values, depth, colour_type, before=b'', after=b''):
    """Returns a PNG of integers [H, W, C], with chunks before and after those of the pixels."""
    height, width, _ = values.shape
    if depth == 16:
        rows = [row.astype('>u2').tobytes() for row in values]
    else:
        places = np.arange(depth - 1, -1, -1)
        rows = [np.packbits((row[..., None] >> places & 1).astype(np.uint8).ravel()).tobytes() for row in values]
    header = struct.pack('>IIBBBBB', width, height, depth, colour_type, 0, 0, 0)
    content = zlib.compress(b''.join(b'\0' + row for row in rows))
    half = len(content) // 2
    pixels = chunk(b'IDAT', content[:half]) + chunk(b'IDAT', content[half:])
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + before + pixels + after + chunk(b'IEND', b'')


def tiff(values, order):
    """Returns an uncompressed TIFF of uint16 RGB [H, W, 3]; `order` of bytes is '<' or '>'."""
    height, width, _ = values.shape
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 14),
        (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, values.nbytes),
    ]  # fmt: skip
    pack = lambda form, *numbers: struct.pack(order + form, *numbers)  # noqa: E731
    head = (b'II' if order == '<' else b'MM') + pack('HI', 42, 14 + values.nbytes) + pack('HHH', 16, 16, 16)
    table = pack('H', len(entries))
    for tag, kind, count, value in entries:
        short = kind == 3 and count == 1
        table += pack('HHI', tag, kind, count) + (pack('HH', value, 0) if short else pack('I', value))
    return head + values.astype(order + 'u2').tobytes() + table + pack('I', 0)


# Suffixes.


@pytest.mark.parametrize('write', [write_folder, write_zip])
def test_every_format_is_read_and_the_rest_is_counted_by_suffix(tmp_path, write):
    pixels = random_pixels(0)
    exact = {
        'a.bmp': encode(pixels, 'bmp'),
        'b.TIFF': encode(pixels, 'tiff'),
        'c.ppm': encode(pixels, 'ppm'),
        'd.jp2': encode(pixels, 'jpeg2000'),
        'sub/e': encode(pixels),
        'f.webp': encode(pixels, 'webp', lossless=True),
    }
    others = {
        'g.gif': encode(Image.fromarray(pixels).quantize(64), 'gif'),
        'h.jfif': encode(pixels, 'jpeg'),
        'i.jpe': encode(pixels, 'jpeg'),
        'j': encode(pixels, 'jpeg'),
    }
    beside = {
        'README': b'text', 'a.txt': b'', 'b.TXT': b'', 'film.mp4': b'', 'dataset.json': b'{"labels": null}',
        '.hidden': b'', '__MACOSX/a.txt': b'',
    }  # fmt: skip
    source = open_source(str(write(tmp_path / 'set', exact | others | beside)))
    assert list(source.names) == sorted({**exact, **others})
    for index, name in enumerate(source.names):
        assert source.size(index) == (8, 8)
        if name in exact:
            np.testing.assert_array_equal(np.asarray(source.picture(index)), pixels)
    (note,) = source.notes
    said, _, listed = note.partition(': ')
    assert said == 'passed over, as no pictures of a kind that is read'
    assert sorted(listed.split(', ')) == ['1 .mp4', '1 without a suffix', '2 .txt']


def test_nothing_is_said_where_nothing_is_passed_over(tmp_path):
    assert open_source(str(write_folder(tmp_path, {'a.png': encode(random_pixels(0))}))).notes == ()


# Side chunks.

LARGE = zlib.compress(bytes(3 << 20))
SIDES = {
    'text': chunk(b'zTXt', b'note\0\0' + LARGE),
    'many texts': b''.join(chunk(b'tEXt', b'note\0' + bytes([65]) * 900_000) for _ in range(80)),
    'profile': chunk(b'iCCP', b'icc\0\0' + LARGE),
    'damaged': b'\0\0\0\4tEXtabcdXXXX',
}


@pytest.mark.parametrize('place', ['before', 'after'])
@pytest.mark.parametrize('side', SIDES)
def test_a_side_chunk_refuses_no_png(side, place):
    pixels = random_pixels(1)
    content = png(pixels, 8, 2, **{place: SIDES[side]})
    found = decode(content)
    assert found.format == 'PNG'
    np.testing.assert_array_equal(np.asarray(found), pixels)
    assert upright_size(io.BytesIO(content)) == (8, 8)


def test_a_png_that_is_cut_off_is_still_unusable():
    content = png(random_pixels(1, 64, 64), 8, 2, before=SIDES['text'])
    for length in (30, 100, len(content) - 6000, len(content) - 40):
        with pytest.raises(Unusable):
            decode(content[:length])


@pytest.mark.filterwarnings('ignore')  # of Pillow, which are shown to nobody
def test_damaged_exif_refuses_no_photo():
    pixels = random_pixels(1, 8, 16)
    content = encode(pixels, 'jpeg', exif=b'Exif\0\0II*\0\xff\xff\xff\x7f' + bytes(20))
    assert decode(content).size == (16, 8) and upright_size(io.BytesIO(content)) == (8, 16)


@pytest.mark.parametrize('kind', ['jpeg', 'webp', 'tiff'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_pictures_are_turned_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros([16, 32, 3], np.uint8)
    pixels[:8, :16] = 255  # the upper left quarter of the stored rows and columns
    content = encode(pixels, kind, exif=exif)
    found = np.asarray(decode(content))
    assert found.shape[:2] == upright_size(io.BytesIO(content)) == ((16, 32) if orientation < 5 else (32, 16))
    height, width = found.shape[0] // 2, found.shape[1] // 2
    bright = [found[y : y + height, x : x + width].mean() > 128 for y in (0, height) for x in (0, width)]
    assert bright.index(True) == [0, 1, 3, 2, 0, 1, 3, 2][orientation - 1] and sum(bright) == 1


# More than 8 bits.


@pytest.mark.parametrize('colour_type, channels', [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_all_bits_of_a_png_count_where_a_range_is_given(colour_type, channels):
    values = np.random.default_rng(0).integers(0, 4096, [8, 8, channels], np.uint16)
    if channels in (2, 4):
        values[..., -1] = 65535
    picture = decode(png(values, 16, colour_type))
    colours = values[..., : 3 if channels > 2 else 1]
    assert value_extrema(picture) == (colours.min(), colours.max(), 65535)
    expected = np.broadcast_to(np.rint(colours * (255 / 4095)), [8, 8, 3])
    np.testing.assert_array_equal(to_channels(picture, 4, (0, 4095))[..., :3], expected)
    np.testing.assert_array_equal(to_channels(picture, 4)[..., :3], np.broadcast_to(colours >> 8, [8, 8, 3]))


@pytest.mark.parametrize('order', '<>')
def test_all_bits_of_a_tiff_count_where_a_range_is_given(order):
    values = np.random.default_rng(0).integers(100, 1124, [8, 8, 3], np.uint16)
    picture = decode(tiff(values, order))
    np.testing.assert_array_equal(to_channels(picture, 3), values >> 8)
    np.testing.assert_array_equal(to_channels(picture, 3, (100, 1123)), np.rint((values - 100) * (255 / 1023)))
    reduced = fitted(picture, (4, 4, 3), fit='crop', resize_filter='box', value_range=(100, 1123))
    assert np.abs(reduced - (values.reshape(4, 2, 4, 2, 3).mean((1, 3)) - 100) * (255 / 1023)).max() < 0.5


def test_a_strip_of_a_deep_picture_has_all_its_bits(monkeypatch):
    values = np.random.default_rng(0).integers(0, 4096, [64, 64, 3], np.uint16)
    whole = fitted(decode(png(values, 16, 2)), (48, 48, 3), fit='crop', resize_filter='box', value_range=(0, 4095))
    monkeypatch.setattr('stylegan_jax.data.pixels._STRIP_VALUES', 1000)
    some = fitted(decode(png(values, 16, 2)), (48, 48, 3), fit='crop', resize_filter='box', value_range=(0, 4095))
    np.testing.assert_array_equal(some, whole)
    assert whole.mean() > 100


@pytest.mark.parametrize(
    'values, extrema',
    [
        (np.float32([[0, 0.5], [np.nan, 1]]), (0, 1, 255)),
        (np.int32([[-5, 70000], [3, 4]]), (-5, 70000, 65535)),
    ],
)
def test_floats_and_integers_have_a_range(values, extrema):
    picture = Image.fromarray(values)
    assert value_extrema(picture) == extrema
    low, high = extrema[:2]
    expected = np.rint((np.nan_to_num(values.astype(float)) - low) * (255 / (high - low)))
    np.testing.assert_array_equal(to_channels(picture, 1, (low, high))[..., 0], expected)
    assert to_channels(picture, 1).max() == (255 if high > 255 else 1)  # cut off, not wrapped around


@pytest.mark.parametrize('depth', [1, 2, 4, 8, 16])
def test_the_transparent_grey_is_seen_through(depth):
    values = np.random.default_rng(0).integers(0, 2**depth, [8, 8, 1])
    values[0, :2, 0] = 1, 0  # with 16 bits, both have the same high byte
    picture = decode(png(values, depth, 0, before=chunk(b'tRNS', struct.pack('>H', 1))))
    np.testing.assert_array_equal(to_channels(picture, 4)[..., 3], np.where(values[..., 0] == 1, 0, 255))
    assert (to_channels(picture, 3)[values[..., 0] == 1] == 255).all()


def test_the_transparent_colour_of_16_bits_is_seen_through():
    values = np.full([8, 8, 3], 300, np.uint16)
    values[0, 0] = 300, 300, 301
    picture = decode(png(values, 16, 2, before=chunk(b'tRNS', struct.pack('>HHH', 300, 300, 301))))
    opacity = to_channels(picture, 4)[..., 3]
    assert opacity[0, 0] == 0 and opacity.sum() == 63 * 255


# Memory.


PROGRAM = """
import pathlib, resource, sys
from stylegan_jax.data.sources import pictures
from stylegan_jax.data.fitting import Unusable, fitted

pictures._formats()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    fitted(pictures.decode(pathlib.Path(sys.argv[1]).read_bytes()), (128, 128, int(sys.argv[2])), fit='crop',
           resize_filter=sys.argv[3])
except Unusable as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def run_program(*arguments):
    root = os.path.dirname(os.path.dirname(stylegan_jax.__file__))
    environment = os.environ | {'PYTHONPATH': root}
    command = [sys.executable, '-c', PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    'mode, kind, channels, resize_filter',
    [
        ('RGB', 'jpeg', 3, 'box'),
        ('RGBA', 'png', 3, 'box'),
        ('RGBA', 'png', 4, 'lanczos'),
        ('P', 'gif', 1, 'lanczos'),
        pytest.param('RGB', 'jpeg', 3, 'lanczos', marks=pytest.mark.full),
        pytest.param('RGBA', 'png', 3, 'lanczos', marks=pytest.mark.full),
        pytest.param('RGBA', 'png', 4, 'box', marks=pytest.mark.full),
        pytest.param('P', 'gif', 1, 'box', marks=pytest.mark.full),
    ],
)
def test_a_large_photo_takes_little_more_than_its_pixels(tmp_path, mode, kind, channels, resize_filter):
    pixels = random_pixels(0, 50, 60, 4).repeat(100, axis=0).repeat(100, axis=1)  # 30 megapixels
    picture = Image.fromarray(pixels if mode == 'RGBA' else pixels[..., :3])
    picture = picture.quantize(16) if mode == 'P' else picture
    (tmp_path / 'photo').write_bytes(encode(picture, kind))
    decoded = pixels.size / 4 * {'RGB': 4, 'RGBA': 4, 'P': 1}[mode]  # as Pillow holds it
    (most,) = run_program(tmp_path / 'photo', channels, resize_filter)
    assert int(most) * 1024 < decoded * 1.1 + (90 << 20)


def test_a_photo_that_is_too_large_is_said_to_be_so(tmp_path):
    Image.new('L', (20000, 10000)).save(tmp_path / 'photo.png')
    message, _ = run_program(tmp_path / 'photo.png', 3, 'box')
    assert message == 'its 200 megapixels are too many, 179 are read at most; reduce it with another program'
    Image.new('L', (10000, 10000)).save(tmp_path / 'photo.png')  # of which Pillow warns
    assert len(run_program(tmp_path / 'photo.png', 3, 'box')) == 1


@pytest.mark.parametrize(
    'content, kind',
    [
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n', 'a pointer of Git LFS'),
        (b'<!DOCTYPE html><html>not found</html>', 'a web page'),
        (b'', 'empty'),
    ],
)
def test_what_came_in_place_of_a_picture_is_named(content, kind):
    with pytest.raises(Unusable, match=f'^not a picture: it is {kind}'):
        decode(content)
    with pytest.raises(Unusable, match=f'^not a picture: it is {kind}'):
        upright_size(io.BytesIO(content))
