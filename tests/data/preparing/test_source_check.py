"""What is said of a source before anything is made of it."""

import json

import numpy as np
import pytest
import source_files as write
from PIL import Image
from source_files import encode, random_pixels

from stylegan_jax.config import ImageConfig
from stylegan_jax.data.preparing import source_check
from stylegan_jax.data.preparing.source_check import check
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError

IMAGE = ImageConfig(8)


def check_files(path, files, image=IMAGE, *, fit='crop', labels='auto', **options):
    return check(open_source(write.write_folder(path, files), labels=labels), image, fit=fit, **options)


def many(count=4):
    return {f'{number:03}.png': encode(random_pixels(number)) for number in range(count)}


def test_all_is_well(tmp_path):
    report = check_files(tmp_path, many())
    assert report.usable
    lines = report.text.splitlines()
    assert lines[0] == f'{tmp_path}: 4 pictures (folder)'
    for line in ('  8x8: 4', '  RGB PNG: 4', 'skipped: none', 'duplicates: none', 'labels: none'):
        assert line in lines
    assert lines[-1] == '4 images can be prepared: 8x8 with 3 channels, fit crop'
    assert 'note' not in report.text


def test_sizes_modes_and_formats_are_counted(tmp_path):
    files = {
        'a.png': encode(random_pixels(0, 16, 8)),
        'b.jpg': encode(random_pixels(1), 'jpeg'),
        'c.webp': encode(random_pixels(2), 'webp'),
        'd.png': encode(random_pixels(3, channels=1)),
        'e.png': encode(random_pixels(4, channels=4)),
        'f.png': encode(np.random.default_rng(0).integers(0, 65536, [8, 8], np.uint16)),
    }
    report = check_files(tmp_path, files)
    lines = report.text.splitlines()
    assert report.usable
    for line in (
        '  8x8: 5',
        '  8x16: 1',
        '  RGB PNG: 1',
        '  RGB JPEG: 1',
        '  RGB WEBP: 1',
        '  L PNG: 1',
        '  RGBA PNG: 1',
        '  I;16 PNG: 1',
        'note: 2 are grey, which is repeated in every colour',
        'note: 1 have transparency, which is composited on white',
        'note: 1 have 16 bits, of which the high byte is kept',
    ):
        assert line in lines
    grey = check_files(tmp_path, files, ImageConfig(8, channels=1)).text
    assert 'note: 4 are in colour, of which the luma is kept' in grey
    assert 'note: 5 have no transparency' in check_files(tmp_path, files, ImageConfig(8, channels=4)).text


def test_what_would_be_skipped_is_listed_with_its_reason(tmp_path):
    files = many(100) | {'050.png': b'text', '051.png': encode(random_pixels(0, 7, 20))}
    report = check_files(tmp_path, files)
    assert not report.usable
    lines = report.text.splitlines()
    for line in (
        'skipped: 2',
        ' 1 cannot be decoded:',
        '  050.png: not a PNG, JPEG, WebP, TIFF or other image',
        ' 1 too small:',
        '  051.png: its 20x7 pixels are too few for 8x8',
    ):
        assert line in lines
    assert 'PROBLEM: 2 of 100 pictures cannot be used' in lines[-1]
    assert lines[-1].endswith('mend or remove them, or allow as many with max_skipped=0.02')
    assert check_files(tmp_path, files, max_skipped=0.02).usable


def test_long_lists_are_cut(tmp_path):
    files = {f'{number:03}.png': b'' for number in range(50)} | {'a.png': encode(random_pixels(0))}
    report = check_files(tmp_path, files)
    lines = report.text.splitlines()
    assert sum('not a picture: it is empty' in line for line in lines) == 20
    assert '  000.png: not a picture: it is empty' in lines and '  019.png: not a picture: it is empty' in lines
    assert '  ... and 30 more' in lines and ' 50 cannot be decoded:' in lines


def test_nothing_usable(tmp_path):
    report = check_files(tmp_path, many(), ImageConfig(16))
    suggestion = 'set resolution=8, for which the small ones suffice'
    assert not report.usable and f'PROBLEM: no picture can be used; {suggestion}' in report.text.splitlines()


@pytest.mark.parametrize(
    'sides, suggested',
    [
        ([9, 4], 'set resolution=8, for which enough of the small ones suffice, or '),
        ([9, 0, 0], ''),  # the damaged ones alone are too many
    ],
)
def test_another_resolution_is_suggested_only_where_it_helps(tmp_path, sides, suggested):
    files = {f'{number}.png': encode(random_pixels(number, 16, 16)) for number in range(12)}
    files |= {f'{n}.png': encode(random_pixels(n, side, side)) if side else b'' for n, side in enumerate(sides)}
    problem = f'PROBLEM: {len(sides)} of 12 pictures cannot be used, more than a share of 0.1; {suggested}mend or'
    assert problem in check_files(tmp_path, files, ImageConfig(16), max_skipped=0.1).text


def test_exact_fit(tmp_path):
    files = many() | {'001.png': encode(random_pixels(0, 16, 16))}
    assert check_files(tmp_path, files).usable
    report = check_files(tmp_path, files, fit='exact')
    assert not report.usable and ' 1 of the wrong size:' in report.text
    with pytest.raises(UserError, match="fit='wide'"):
        check_files(tmp_path, files, ImageConfig(8, base_shape=(3, 4)), fit='wide')


def test_small_pictures_of_lsun_are_no_problem(tmp_path):
    values = {b'a': encode(random_pixels(0), 'webp'), b'b': encode(random_pixels(0, 4, 4), 'webp')}
    report = check(open_source(write.write_lmdb(tmp_path / 'a_lmdb', values)), IMAGE, fit='crop')
    assert report.usable and 'skipped: 1' in report.text and '1 images can be prepared' in report.text


def test_duplicates_are_those_of_decoded_pixels(tmp_path):
    same = random_pixels(0)
    flat, upright = np.zeros([8, 16, 3], np.uint8), np.zeros([16, 8, 3], np.uint8)  # the same bytes
    files = {
        'a.png': encode(same),
        'b.png': encode(random_pixels(1)),
        'c.webp': encode(same, 'webp', lossless=True),
        'd.png': encode(same, compress_level=0),
        'e.png': encode(flat),
        'f.png': encode(upright),
        'g.png': b'',
    }
    lines = check_files(tmp_path, files).text.splitlines()
    assert 'duplicates: 2' in lines and '  c.webp is a.png' in lines and '  d.png is a.png' in lines
    assert not any(line.startswith(('  e.png is', '  f.png is', '  g.png is')) for line in lines)


def test_grey_that_is_stored_as_colour_is_the_same(tmp_path):
    grey = random_pixels(0, channels=1)
    lines = check_files(tmp_path, {'a.png': encode(grey), 'b.png': encode(grey.repeat(3, axis=2))}).text.splitlines()
    assert '  b.png is a.png' in lines


def test_palettes_are_looked_up_before_pictures_are_compared(tmp_path):
    indices = Image.fromarray(random_pixels(0, channels=1)[..., 0] % 2, 'P')
    files = {}
    for name, colour in (('a.png', 10), ('b.png', 200)):
        indices.putpalette([0, 0, 0, colour, 0, 0])
        indices.save(tmp_path / name)
        files[name] = (tmp_path / name).read_bytes()
    assert 'duplicates: none' in check_files(tmp_path, files).text


def test_balance_of_labels(tmp_path):
    labels = {'labels': [[name, label] for name, label in zip(many(5), [0, 0, 0, 1, 3])]}
    files = many(5) | {'dataset.json': json.dumps(labels).encode()}
    report = check_files(tmp_path, files, ImageConfig(8, label_dim=4))
    lines = report.text.splitlines()
    assert report.usable
    for line in (
        'labels: 4 classes, 0 to 3 pictures each',
        '  class 0: 3 (60.0%)',
        '  class 2: 0 (0.0%)',
        'note: 1 of these without a picture, such as class 2',
    ):
        assert line in lines
    assert check_files(tmp_path, files).usable  # an experiment may train without them
    report = check_files(tmp_path, files, ImageConfig(8, label_dim=10))
    assert not report.usable and 'PROBLEM: image.label_dim=10, but the labels have 4 entries' in report.text


def test_labels_of_other_kinds(tmp_path):
    report = check(open_source('toy_faces:6@8', labels='attributes'), IMAGE, fit='crop')
    assert report.usable and 'labels: 16 attributes' in report.text and 'RGB array: 6' in report.text
    labels = {'labels': [[name, [0.25, number / 2]] for number, name in enumerate(many())]}
    report = check_files(tmp_path, many() | {'dataset.json': json.dumps(labels).encode()})
    assert 'labels: 2 numbers each' in report.text and '  class 1: mean 0.75' in report.text


def test_channels_that_no_picture_has(tmp_path):
    report = check_files(tmp_path, many(), ImageConfig(8, channels=2))
    assert not report.usable and 'image.channels=2' in report.text


def test_many_threads_count_right(tmp_path, monkeypatch):
    files = {f'{number:03}.png': encode(random_pixels(number % 50, 8 + number % 3)) for number in range(300)}
    report = check_files(tmp_path, files)
    assert f'duplicates: {300 - 150}' in report.text
    assert all(f'  8x{height}: 100' in report.text for height in (8, 9, 10))
    assert len(report.text.splitlines()) < 40 and source_check._LISTED == 20
