"""Folders and zips of image files: every kind of file, geometry, labels, and what happens to bad ones."""

import io
import json
import logging

import numpy as np
import pytest
from PIL import Image
from source_files import encode, random_pixels, write_folder, write_zip

from stylegan_jax.config import DataConfig, ImageConfig
from stylegan_jax.data import fitted_pictures
from stylegan_jax.data.dataset import DataOpener
from stylegan_jax.data.sources.base import share_that_allows
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import threads

IMAGE = ImageConfig(resolution=8)


def open_pictures(path, image, count=0):
    """Returns the FittedPictures of a run."""
    return DataOpener(DataConfig(path=str(path), count=count)).open(image)._images


def find_label_dim(path):
    return DataOpener(DataConfig(path=str(path))).label_dim()


def names_of(pictures):
    return tuple(pictures.name(index) for index in range(len(pictures)))


def read_one(tmp_path, content, image=IMAGE, name='a.png'):
    return open_pictures(write_folder(tmp_path, {name: content}), image).full_size(0)


# Kinds of files.


def test_rgb_is_unchanged(tmp_path):
    expected = random_pixels(0)
    np.testing.assert_array_equal(read_one(tmp_path, encode(expected)), expected)


def test_grey_is_repeated(tmp_path):
    grey = random_pixels(0, channels=1)
    np.testing.assert_array_equal(read_one(tmp_path, encode(grey)), grey.repeat(3, axis=2))


def test_one_channel_keeps_grey(tmp_path):
    grey = random_pixels(0, channels=1)
    np.testing.assert_array_equal(read_one(tmp_path, encode(grey), ImageConfig(8, channels=1)), grey)


def test_one_channel_of_colour_is_its_luma(tmp_path):
    colour = random_pixels(0)
    luma = colour @ [0.299, 0.587, 0.114]
    found = read_one(tmp_path, encode(colour), ImageConfig(8, channels=1))
    assert abs(found[..., 0] - luma).max() < 0.51


def test_palette_is_looked_up(tmp_path):
    palette = Image.fromarray(random_pixels(0)).quantize(16)
    expected = np.asarray(palette.convert('RGB'))
    np.testing.assert_array_equal(read_one(tmp_path, encode(palette)), expected)


def test_alpha_is_composited_on_white(tmp_path):
    rgba = random_pixels(0, channels=4)
    alpha = rgba[..., 3:] / 255
    expected = np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha))
    np.testing.assert_array_equal(read_one(tmp_path, encode(rgba)), expected)


def test_transparent_palette_entry_is_white(tmp_path):
    palette = Image.fromarray(random_pixels(0)).quantize(16)
    expected = np.asarray(palette.convert('RGB')).copy()
    expected[np.asarray(palette) == 3] = 255
    np.testing.assert_array_equal(read_one(tmp_path, encode(palette, transparency=3)), expected)


def test_alpha_of_grey_is_composited_on_white(tmp_path):
    pixels = random_pixels(0, channels=2)
    expected = np.rint(255 + (pixels[..., :1] - 255.0) * (pixels[..., 1:] / 255))
    found = read_one(tmp_path, encode(Image.fromarray(pixels, 'LA')), ImageConfig(8, channels=1))
    np.testing.assert_array_equal(found, expected)


def test_four_channels_keep_alpha(tmp_path):
    rgba = random_pixels(0, channels=4)
    np.testing.assert_array_equal(read_one(tmp_path, encode(rgba), ImageConfig(8, channels=4)), rgba)


def test_four_channels_of_rgb_are_opaque(tmp_path):
    rgb = random_pixels(0)
    found = read_one(tmp_path, encode(rgb), ImageConfig(8, channels=4))
    np.testing.assert_array_equal(found, np.concatenate([rgb, np.full([8, 8, 1], 255)], axis=2))


def test_sixteen_bits_keep_the_high_byte(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, [8, 8], np.uint16)
    found = read_one(tmp_path, encode(deep))
    np.testing.assert_array_equal(found, (deep >> 8)[..., None].repeat(3, axis=2))


def test_jpeg_decodes_as_pillow_does(tmp_path):
    content = encode(random_pixels(0), 'jpeg', quality=90)
    expected = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(read_one(tmp_path, content, name='a.JPG'), expected)


@pytest.mark.parametrize('in_memory', [True, False])
def test_webp_is_read(tmp_path, monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    expected = random_pixels(0)
    np.testing.assert_array_equal(read_one(tmp_path, encode(expected, 'webp', lossless=True), name='a.webp'), expected)


@pytest.mark.parametrize('in_memory', [True, False])
def test_jpeg_is_turned_upright(tmp_path, monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture needs a quarter turn
    sideways = random_pixels(0, height=8, width=6)
    content = encode(sideways, 'jpeg', exif=exif, quality=95)
    decoded = np.asarray(Image.open(io.BytesIO(content)))
    image = ImageConfig(8, base_shape=(3, 4))
    np.testing.assert_array_equal(read_one(tmp_path, content, image, 'a.jpeg'), np.rot90(decoded, -1))


def test_five_channels_are_refused(tmp_path):
    with pytest.raises(UserError, match=r'image\.channels=5'):
        read_one(tmp_path, encode(random_pixels(0)), ImageConfig(8, channels=5))


# Geometry.


@pytest.mark.parametrize(
    'height, width, base_shape, rows, columns',
    [
        (8, 12, (4, 4), slice(0, 8), slice(2, 10)),
        (13, 8, (4, 4), slice(2, 10), slice(0, 8)),
        (6, 11, (3, 4), slice(0, 6), slice(1, 9)),
        (8, 8, (3, 4), slice(1, 7), slice(0, 8)),
    ],
)
def test_crop_is_central(tmp_path, height, width, base_shape, rows, columns):
    original = random_pixels(0, height, width)
    found = read_one(tmp_path, encode(original), ImageConfig(8, base_shape))
    np.testing.assert_array_equal(found, original[rows, columns])


def test_whole_factor_is_the_exact_mean(tmp_path):
    original = random_pixels(0, 24, 32)
    expected = np.rint(original[:, 4:28].reshape(8, 3, 8, 3, 3).astype(float).mean(axis=(1, 3)))
    np.testing.assert_array_equal(read_one(tmp_path, encode(original)), expected)


def test_whole_factor_rounds_after_compositing(tmp_path):
    # 254 at alpha 128/255 is 254.498 on white; rounding that first would give a mean of 254.5, which is 254.
    rgba = np.full([16, 16, 4], 255, np.uint8)
    rgba[:, ::2] = (254, 254, 254, 128)
    expected = np.rint((255 - 128 / 255 + 255) / 2)
    assert expected == 255
    assert (read_one(tmp_path, encode(rgba)) == expected).all()


def test_fractional_factor_is_pillows_box_filter(tmp_path):
    original = random_pixels(0, 19, 19)
    # Pillow takes pixels whole or not at all, by their centres: those in (left, right].
    middle, left = np.arange(19) + 0.5, np.arange(8)[:, None] * 19 / 8
    inside = (middle > left) & (middle <= left + 19 / 8)
    weights = inside / inside.sum(axis=1, keepdims=True)
    exact = np.einsum('hy,wx,yxc->hwc', weights, weights, original)
    assert abs(read_one(tmp_path, encode(original)) - exact).max() < 0.5001  # rounded once


def test_fractional_factor_keeps_a_constant(tmp_path):
    assert (read_one(tmp_path, encode(np.full([21, 21, 3], 77, np.uint8))) == 77).all()


# Folders and zips.


def test_folder_and_zip_give_the_same(tmp_path):
    files = {
        'b/2.png': encode(random_pixels(0, 16, 16)),
        'b/10.jpg': encode(random_pixels(1, 9, 12), 'jpeg'),
        'a.PNG': encode(random_pixels(2)),
        'notes.txt': b'text',
        '.hidden.png': b'',
        '.git/x.png': b'',
        '__MACOSX/b/._2.png': b'',
        'dataset.json': b'null',
    }
    folder = open_pictures(write_folder(tmp_path / 'folder', files), IMAGE)
    archive = open_pictures(write_zip(tmp_path / 'images.zip', files), IMAGE)
    assert names_of(folder) == names_of(archive) == ('a.PNG', 'b/10.jpg', 'b/2.png')
    assert folder.signature == archive.signature
    np.testing.assert_array_equal(folder.pixels, archive.pixels)
    np.testing.assert_array_equal(folder.full_size(0), random_pixels(2))
    assert folder.labels.shape == (3, 0) and folder.label_names is None


@pytest.mark.parametrize('kind', [write_folder, write_zip])
def test_the_signature_is_that_of_names_and_sizes(tmp_path, kind):
    files = {'a/1.png': encode(random_pixels(0)), 'a/2\udcff.png': encode(random_pixels(1))}
    if kind is write_zip:  # whose names are always text
        files['a/2.png'] = files.pop('a/2\udcff.png')

    def signature(name, files, **options):
        return open_pictures(kind(tmp_path / name, files), IMAGE, **options).signature

    found = [
        signature('1.zip', files),
        signature('2.zip', files),
        signature('3.zip', files, count=1),
        signature('4.zip', files | {'a/1.png': encode(random_pixels(0, 9, 9))}),
        signature('5.zip', {name.replace('1', '0'): content for name, content in files.items()}),
    ]
    assert found[0] == found[1] and len(set(found)) == 4


def test_count_takes_the_first(tmp_path):
    folder = write_folder(tmp_path, {f'{i}.png': encode(random_pixels(i)) for i in range(4)})
    found = open_pictures(folder, IMAGE, count=2)
    assert len(found) == 2 and names_of(found) == ('0.png', '1.png')
    with pytest.raises(UserError, match=r'data\.count=5.*only 4'):
        open_pictures(folder, IMAGE, count=5)


def test_beyond_the_budget_pixels_are_the_same(tmp_path, monkeypatch):
    files = {f'{i}.png': encode(random_pixels(i, 9 + i, 16)) for i in range(3)}
    archive = write_zip(tmp_path / 'images.zip', files)
    in_memory = open_pictures(archive, IMAGE)
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', 3 * 8 * 8 * 3 - 1)
    for path in (archive, write_folder(tmp_path / 'folder', files)):
        on_demand = open_pictures(path, IMAGE)
        assert on_demand.pixels is None
        np.testing.assert_array_equal([on_demand.full_size(i) for i in range(3)], in_memory.pixels)


def test_beyond_the_budget_a_damaged_file_is_named_when_read(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    content = encode(random_pixels(0, 64, 64))
    found = open_pictures(write_folder(tmp_path, {'cut.png': content[: len(content) // 2]}), IMAGE)
    with pytest.raises(UserError, match=r'cut\.png: OSError.*mend or remove them$'):
        found.full_size(0)


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda path: path / 'absent', 'there is no such file or folder'),
        (
            lambda path: write_folder(path / 'text', {'a.txt': b'text'}),
            'no PNG, JPEG, WebP, TIFF or other image files',
        ),
        (
            lambda path: write_zip(path / 'empty.zip', {}),
            'no PNG, JPEG, WebP, TIFF or other image files',
        ),
        (lambda path: write_folder(path, {'bad.zip': b'PK not'}) / 'bad.zip', r'bad\.zip: cannot be opened'),
        (lambda path: write_folder(path, {'a.png': b'text'}) / 'a.png', 'neither a folder nor a zip'),
    ],
)
def test_useless_path_is_a_user_error(tmp_path, make, message):
    with pytest.raises(UserError, match=message):
        open_pictures(make(tmp_path), IMAGE)


# Files that cannot be used.

BAD = {
    'text': (b'this is text', 'not a PNG, JPEG, WebP, TIFF or other image'),
    'empty': (b'', 'not a picture: it is empty'),
    'small': (encode(random_pixels(0, 7, 20)), '20x7 pixels are too few for 8x8'),
    'cut': (encode(random_pixels(0, 64, 64))[:5000], 'truncated'),
}


@pytest.mark.parametrize('kind', BAD)
def test_one_percent_of_bad_files_is_skipped(tmp_path, caplog, kind):
    content, reason = BAD[kind]
    files = {f'{i:03}.png': encode(random_pixels(i)) for i in range(100)} | {'050.png': content}
    files['dataset.json'] = json.dumps({'labels': [[f'{i:03}.png', i % 5] for i in range(100)]}).encode()
    with caplog.at_level(logging.WARNING):
        found = open_pictures(write_folder(tmp_path, files), ImageConfig(8, label_dim=5))
    assert len(found) == len(found.labels) == len(found.pixels) == 99
    assert found.name(50) == '051.png' and found.labels[50].argmax() == 1
    np.testing.assert_array_equal(found.full_size(50), random_pixels(51))
    assert '050.png' in caplog.text and reason in caplog.text


def test_more_than_one_percent_of_bad_files_is_a_user_error(tmp_path):
    files = {f'{i:03}.png': encode(random_pixels(i)) for i in range(100)} | {'050.png': b'', '077.png': b'x'}
    with pytest.raises(UserError, match=r'2 of 100 .*050\.png \(not a picture: it is empty\).*077\.png \(not a PNG'):
        open_pictures(write_folder(tmp_path, files), IMAGE)


@pytest.mark.parametrize('size', [4, 8])
def test_the_suggested_resolution_may_leave_as_many_out_as_any_other(tmp_path, size):
    files = {f'{i:03}.png': encode(random_pixels(i, 16, 16)) for i in range(200)}
    files |= {f'{i:03}.png': encode(random_pixels(i, *side)) for i, side in enumerate([(9, 9), (9, 9), (size, size)])}
    which = 'the small ones' if size == 8 else 'enough of the small ones'
    message = f'3 of 200 images cannot be used, .*; set image.resolution=8, for which {which} suffice, or mend'
    with pytest.raises(UserError, match=message):
        open_pictures(write_folder(tmp_path, files), ImageConfig(16))
    assert len(open_pictures(tmp_path, ImageConfig(8))) == (200 if size == 8 else 199)


def test_no_resolution_is_suggested_where_too_many_files_are_damaged(tmp_path):
    files = {f'{i:03}.png': encode(random_pixels(i, 16, 16)) for i in range(100)}
    files |= {f'{i:03}.png': b'' for i in range(10)} | {'010.png': encode(random_pixels(0, 9, 9))}
    with pytest.raises(UserError, match='11 of 100 images cannot be used') as caught:
        open_pictures(write_folder(tmp_path, files), ImageConfig(16))
    assert caught.value.remedy.startswith('mend or remove them, or allow as many with data.max_skipped=0.11, or')
    with pytest.raises(UserError, match='10 of 100 images cannot be used'):
        open_pictures(tmp_path, ImageConfig(8))


@pytest.mark.parametrize('budget', [threads.MEMORY_BUDGET, 1])
def test_damaged_zip_member_is_named(tmp_path, monkeypatch, budget):
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', budget)
    archive = write_zip(tmp_path / 'images.zip', {'a.png': encode(random_pixels(0))})
    content = bytearray(archive.read_bytes())
    content[len('a.png') + 30] ^= 255  # the first byte of the member, after its header
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r'1 of 1 .*a\.png'):
        open_pictures(archive, IMAGE)


def test_damaged_labels_in_a_zip_are_a_user_error(tmp_path):
    archive = write_zip(tmp_path / 'images.zip', {'dataset.json': b'{}', 'a.png': encode(random_pixels(0))})
    archive.write_bytes(archive.read_bytes().replace(b'{}', b'[]'))
    assert len(open_pictures(archive, IMAGE)) == 1
    with pytest.raises(UserError, match=r'dataset\.json: cannot be read \(BadZipFile'):
        open_pictures(archive, ImageConfig(8, label_dim=2))


# Labels.


def open_labelled(tmp_path, labels, label_dim, kind=write_folder):
    files = {name: encode(random_pixels(i)) for i, name in enumerate(['a.png', 'b/a.png', 'b/c.png'])}
    if labels is not None:
        files['dataset.json'] = labels if isinstance(labels, bytes) else json.dumps(labels).encode()
    return open_pictures(kind(tmp_path / 'images.zip', files), ImageConfig(8, label_dim=label_dim))


GOOD = [['b/c.png', 0], ['a.png', 3], ['b/a.png', 1]]


@pytest.mark.parametrize('kind', [write_folder, write_zip])
def test_labels_are_one_hot(tmp_path, kind):
    found = open_labelled(tmp_path, {'labels': GOOD}, 4, kind)
    assert found.labels.dtype == np.float32
    np.testing.assert_array_equal(found.labels, np.eye(4)[[3, 1, 0]])


def test_labels_are_ignored_without_label_dim(tmp_path):
    assert open_labelled(tmp_path, b'{broken', 0).labels.shape == (3, 0)


@pytest.mark.parametrize(
    'labels, message',
    [
        (None, r'dataset\.json: there is no such file, but image\.label_dim=4'),
        ({'labels': None}, r'it has no "labels".*image\.label_dim=0'),
        ({}, 'it has no "labels"'),
        ([], 'it has no "labels"'),
        (b'{broken', 'not valid JSON'),
        (b'\xff\xfe\xff', 'not valid JSON'),
        ({'labels': 3}, 'is not a list'),
        ({'labels': {'a.png': 3}}, r"no label for 2 of 3 images, such as 'b/a\.png'"),
        ({'labels': [*GOOD, 'a.png']}, '"a.png" is not a file name and a class number'),
        ({'labels': [*GOOD, ['a.png', [0.0, 1.0]]]}, 'is not a file name and a class number'),
        ({'labels': [*GOOD, ['a.png', True]]}, 'is not a file name and a class number'),
        ({'labels': GOOD[1:]}, r"no label for 1 of 3 images, such as 'b/c\.png'"),
        ({'labels': [*GOOD[1:], ['b/c.png', -1]]}, r"label -1 of 'b/c\.png' is negative"),
        ({'labels': [*GOOD[1:], ['b/c.png', 6]]}, r'label 6 .*7 classes: set image\.label_dim=7'),
    ],
)
def test_wrong_labels_are_a_user_error(tmp_path, labels, message):
    with pytest.raises(UserError, match=message):
        open_labelled(tmp_path, labels, 4)


@pytest.mark.parametrize('kind', [write_folder, write_zip])
@pytest.mark.parametrize(
    'labels, expected', [({'labels': [['a.png', 0], ['b.png', 1]]}, 2), ({'labels': None}, 0), ([], 0), (None, 0)]
)
def test_classes_are_found(tmp_path, kind, labels, expected):
    files = {'a.png': encode(random_pixels(0))}
    if labels is not None:
        files['dataset.json'] = json.dumps(labels).encode()
    path = kind(tmp_path / 'set', files)
    assert find_label_dim(path) == expected


def test_classes_with_gaps_are_a_user_error(tmp_path):
    files = {'a.png': encode(random_pixels(0)), 'dataset.json': b'{"labels": [["a.png", 300000]]}'}
    path = write_folder(tmp_path / 'set', files)
    with pytest.raises(UserError, match='number the classes from 0 without gaps'):
        find_label_dim(path)


def test_classes_of_a_damaged_file_are_a_user_error(tmp_path):
    path = write_folder(tmp_path / 'set', {'a.png': encode(random_pixels(0)), 'dataset.json': b'{"labels": ['})
    with pytest.raises(UserError, match='dataset.json: not valid JSON'):
        find_label_dim(path)


def test_beyond_the_budget_the_next_good_image_of_a_class_replaces_a_damaged_one(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    files = {f'{i:03}.png': encode(random_pixels(i, 64, 64)) for i in range(100)}
    files['007.png'] = files['007.png'][: len(files['007.png']) // 2]
    files['dataset.json'] = json.dumps({'labels': [[f'{i:03}.png', i % 5] for i in range(100)]}).encode()
    found = open_pictures(write_folder(tmp_path, files), ImageConfig(resolution=8, label_dim=5))
    for _ in range(2):
        np.testing.assert_array_equal(found.full_size(7), found.full_size(12))
    assert [message for message in caplog.messages if '007.png' in message] == caplog.messages
    assert len(caplog.messages) == 1


@pytest.mark.parametrize('unusable, total, share', [(4, 26, 0.16), (29, 100, 0.29), (7, 100, 0.07), (1, 1000, 0.01)])
def test_the_share_that_is_named_allows_as_many(unusable, total, share):
    assert share_that_allows(unusable, total) == share >= unusable / total


# Looking at some pictures, as a dry run does.


def look(folder, **data):
    return DataOpener(DataConfig(path=str(folder), **data)).look(IMAGE)


def truncated(seed):
    content = encode(random_pixels(seed))
    return content[: len(content) // 2]


@pytest.mark.parametrize('broken', [1, 3])
def test_looking_refuses_what_opening_refuses(tmp_path, broken):
    """One in a hundred may be unusable."""
    files = {f'{i:03}.png': encode(random_pixels(i)) for i in range(100)}
    files |= {f'{i:03}.png': encode(random_pixels(i, 4, 4)) for i in range(broken)}
    folder = write_folder(tmp_path, files)
    if broken == 1:
        assert len(look(folder).labels) == len(open_pictures(folder, IMAGE)) == 99
        return
    messages = []
    for step in (look, lambda folder: open_pictures(folder, IMAGE)):
        with pytest.raises(UserError, match='3 of 100 images cannot be used, such as 000.png .its 4x4 ') as error:
            step(folder)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_few_pictures_are_decoded(tmp_path):
    """Their headers say nothing of pixels that are missing."""
    files = {f'{i:03}.png': encode(random_pixels(i)) for i in range(26)}
    files |= {f'{i:03}.png': truncated(i) for i in range(4)}
    folder, messages = write_folder(tmp_path, files), []
    for step in (look, lambda folder: open_pictures(folder, IMAGE)):
        with pytest.raises(UserError, match='4 of 26 images cannot be used, .* with data.max_skipped=0.16, ') as error:
            step(folder)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    found = look(folder, max_skipped=0.16)
    assert len(found.labels) == 22 and found.examined[1:] == (26, 26)


def test_of_many_pictures_some_are_decoded(tmp_path, monkeypatch, caplog):
    """Of 10 one in ten may be damaged, with four standard errors of 0.95: five are too many."""
    monkeypatch.setattr(fitted_pictures, '_DECODED', 10)
    files = {f'{i:03}.png': encode(random_pixels(i)) for i in range(100)}  # 000, 011, 022, ... are decoded
    files |= {f'{i:03}.png': truncated(i) for i in (0, 5, 11, 22, 33)}
    folder = write_folder(tmp_path, files)
    found = look(folder, max_skipped=0.1)
    assert len(found.labels) == 96 and found.examined[1:] == (100, 10)
    assert not found.examined.usable[11] and '005.png' not in caplog.text
    write_folder(folder, {'044.png': truncated(44)})
    with pytest.raises(
        UserError, match='5 of 10 images that were looked at cannot be used, .*data.max_skipped=0.5, or'
    ):
        look(folder, max_skipped=0.1)


def test_looking_at_some_of_many_pictures_refuses_a_share_that_chance_does_not_explain(tmp_path, monkeypatch, caplog):
    """Of 100 one may be unusable, with a standard error of one: five are too many, and four may be chance."""
    monkeypatch.setattr(fitted_pictures, '_EXAMINED', 100)
    files = {f'{i:03}.png': encode(random_pixels(i)) for i in range(199)}  # every second one is looked at
    files |= {f'{i:03}.png': encode(random_pixels(i, 4, 4)) for i in (0, 2, 4, 6)}
    folder = write_folder(tmp_path / 'images', files)
    assert len(look(folder).labels) == 195
    assert '4 of 100 images that were looked at cannot be used' in caplog.text
    write_folder(folder, {'008.png': encode(random_pixels(8, 4, 4))})
    message = '5 of 100 images that were looked at cannot be used, such as 000.png .*, 002.png .*, 004.png .*; set im'
    with pytest.raises(UserError, match=message):
        look(folder)
    assert len(look(folder, max_skipped=0.05).labels) == 194
    with pytest.raises(UserError, match='5 of 100 images that were looked at'):
        look(folder, max_skipped=0.0)


def test_looking_at_some_of_many_pictures_refuses_if_all_are_unusable(tmp_path, monkeypatch):
    monkeypatch.setattr(fitted_pictures, '_EXAMINED', 5)
    folder = write_folder(tmp_path, {f'{i}.png': encode(random_pixels(i, 4, 4)) for i in range(9)})
    with pytest.raises(UserError, match='5 of 5 images that were looked at cannot be used, such as 0.png .*, 2.png '):
        look(folder, max_skipped=1.0)
