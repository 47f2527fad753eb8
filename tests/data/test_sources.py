"""Sources of full-size pictures: what each kind reads, and what it says of files that are not as they should be."""

import itertools
import json
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest
import source_files as write
from PIL import Image
from source_files import encode, random_pixels

from stylegan_jax.data.sources import Unusable, open_source
from stylegan_jax.data.sources.base import changed_files
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.errors import UserError

PIXELS = np.stack([random_pixels(seed) for seed in range(4)])
CLASSES = np.array([2, 0, 1, 0])
FILES = {f'{folder}/{number}.png': encode(PIXELS[number]) for number, folder in enumerate('aabc')}


def make_folder(path):
    return write.write_folder(path, FILES)


def make_zip(path):
    return write.write_zip(path.with_suffix('.zip'), FILES)


def make_tfrecords(path):
    return write.write_tfrecords(path, PIXELS, CLASSES)


def make_lmdb(path):
    return write.write_lmdb(
        path, {b'%040x' % number: encode(PIXELS[number], 'webp', lossless=True) for number in range(4)}
    )


def make_arrays(path):
    np.savez(path.with_suffix('.npz'), x_train=PIXELS, y_train=CLASSES)
    return path.with_suffix('.npz')


def make_tfds(path):
    return f'tfds:{write.write_tfds(path, {"train": PIXELS}, classes=CLASSES, names=("x", "y", "z"))}'


KINDS = {
    'folder': make_folder,
    'zip': make_zip,
    'tfrecords': make_tfrecords,
    'lmdb': make_lmdb,
    'arrays': make_arrays,
    'tfds': make_tfds,
    'toy_faces': lambda path: 'toy_faces:4@8',
}


def pixels_of(source):
    return np.stack([np.asarray(source.picture(index)) for index in range(len(source))])


def expected_of(kind):
    return np.stack([toy_faces.draw(index, 8) for index in range(4)]) if kind == 'toy_faces' else PIXELS


def error_of(call, *arguments, **options):
    """Returns the one line that a call fails with."""
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    assert '\n' not in str(caught.value)
    return str(caught.value)


# What all kinds have in common.


@pytest.mark.parametrize('kind', KINDS)
def test_pictures_are_those_that_were_written(tmp_path, kind):
    source = open_source(KINDS[kind](tmp_path / 'set'))
    assert source.kind == kind and len(source) == 4
    assert source.labels.dtype == np.float32 and len(source.labels) == 4
    np.testing.assert_array_equal(pixels_of(source), expected_of(kind))
    names = [source.name(index) for index in range(4)]
    assert len(set(names)) == 4 and all(isinstance(name, str) for name in names)


@pytest.mark.parametrize('kind', ['tfrecords', 'arrays', 'tfds'])
def test_own_labels_are_one_hot(tmp_path, kind):
    path = KINDS[kind](tmp_path / 'set')
    source = open_source(path)
    np.testing.assert_array_equal(source.labels, np.eye(3)[CLASSES])
    assert source.label_names == (('x', 'y', 'z') if kind == 'tfds' else None)
    assert open_source(path, labels='none').labels.shape == (4, 0)


@pytest.mark.parametrize('kind', KINDS)
def test_count_takes_the_first(tmp_path, kind):
    path = KINDS[kind](tmp_path / 'set')
    source = open_source(path, count=2)
    assert len(source) == len(source.labels) == 2
    np.testing.assert_array_equal(pixels_of(source), expected_of(kind)[:2])
    assert open_source(path, count=2).labels.shape[1] == open_source(path).labels.shape[1]
    message = error_of(open_source, path, count=5)
    assert '4' in message and 'count' in message


def _read_in_process(source, queue):
    queue.put((pixels_of(source), 'jax' in sys.modules))


@pytest.mark.parametrize('kind', KINDS)
def test_a_pickled_source_gives_the_same(tmp_path, kind):
    source = open_source(KINDS[kind](tmp_path / 'set'))
    source.picture(0)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(pixels_of(again), expected_of(kind))
    assert again.fingerprints() == source.fingerprints()
    np.testing.assert_array_equal(again.labels, source.labels)


def test_spawned_processes_read_without_jax(tmp_path):
    context = multiprocessing.get_context('spawn')
    sources = [open_source(make(tmp_path / kind)) for kind, make in KINDS.items()]
    code = (
        'import pickle, sys\n'
        'for source in pickle.load(sys.stdin.buffer):\n'
        '    for index in range(len(source)):\n'
        '        source.picture(index)\n'
        'assert not {"jax", "tensorflow"} & set(sys.modules)\n'
    )
    subprocess.run([sys.executable, '-c', code], input=pickle.dumps(sources), check=True)
    queue = context.Queue()
    process = context.Process(target=_read_in_process, args=(sources[2], queue))
    process.start()
    np.testing.assert_array_equal(queue.get(timeout=60)[0], PIXELS)
    process.join()


@pytest.mark.parametrize('kind', KINDS)
def test_opening_twice_is_no_conflict(tmp_path, kind):
    path = KINDS[kind](tmp_path / 'set')
    first, second = open_source(path), open_source(path)
    np.testing.assert_array_equal(pixels_of(first), pixels_of(second))
    assert first.fingerprints() == second.fingerprints()


@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind != 'toy_faces'])
def test_a_changed_file_is_named(tmp_path, kind):
    path = KINDS[kind](tmp_path / 'set')
    source = open_source(path)
    before = source.fingerprints()
    assert all(isinstance(part, str) for item in before.items() for part in item)
    assert before and not changed_files(before, source.fingerprints())
    if kind == 'zip':
        write.write_zip(path, FILES | {'a/1.png': encode(random_pixels(9))})
        expected = f'{path}/a/1.png'
    else:
        expected = {
            'folder': 'set/b/2.png',
            'tfrecords': 'toy-r03.tfrecords',
            'lmdb': 'data.mdb',
            'arrays': 'set.npz',
            'tfds': 'toy-train.array_record-00000-of-00001',
        }[kind]
        (changed,) = [file for file in tmp_path.rglob('*') if str(file).endswith(expected)]
        changed.write_bytes(changed.read_bytes() + b'more')
    (found,) = changed_files(before, source.fingerprints())
    assert found.endswith(expected)


def test_an_absent_file_is_a_change(tmp_path):
    for path in (make_folder(tmp_path / 'set'), make_zip(tmp_path / 'set')):
        source = open_source(path)
        before = source.fingerprints()
        (path / 'a' / '0.png' if path.is_dir() else path).unlink()
        assert changed_files(before, source.fingerprints())[0] == f'{path}/a/0.png'


@pytest.mark.parametrize(
    'kind, labels',
    [
        (kind, labels)
        for kind, labels in itertools.product(KINDS, ['folders', 'attributes'])
        if (kind, labels) not in [('folder', 'folders'), ('zip', 'folders'), ('toy_faces', 'attributes')]
    ],
)
def test_labels_that_a_source_has_not_are_a_user_error(tmp_path, kind, labels):
    message = error_of(open_source, KINDS[kind](tmp_path / 'set'), labels=labels)
    assert f'labels={labels}: ' in message and 'auto, none' in message


@pytest.mark.parametrize(
    'spec, options, message',
    [
        ('absent', {}, '^source=.*absent: there is no such file or folder; give a folder or zip'),
        ('text.txt', {}, 'text.txt: neither a folder nor a zip; check source'),
        ('empty', {}, 'empty: there are no PNG, JPEG, WebP, TIFF or other image files'),
        ('some_lmdb', {}, 'some_lmdb/data.mdb: there is no such file'),
        ('toy-r03.tfrecords', {}, 'give the folder that it is in'),
        ('prepared', {}, 'give tfds:'),
        ('empty', {'labels': 'json'}, '^labels=json: choose one of'),
        ('empty', {'count': -1}, '^count=-1'),
    ],
)
def test_useless_source_is_a_user_error(tmp_path, spec, options, message):
    for name in ('empty', 'some_lmdb'):
        (tmp_path / name).mkdir()
    write.write_folder(tmp_path, {'text.txt': b'text', 'toy-r03.tfrecords': b'', 'prepared/dataset_info.json': b'{}'})
    with pytest.raises(UserError, match=message):
        open_source(str(tmp_path / spec), **options)


def test_empty_spec_is_a_user_error():
    assert 'there is no such file or folder' in error_of(open_source, '')


# Folders and zips.


@pytest.mark.parametrize('write_files', [write.write_folder, write.write_zip])
def test_all_kinds_of_files_are_found(tmp_path, write_files):
    files = {
        'b/2.webp': encode(PIXELS[0], 'webp', lossless=True),
        'b/10.JPG': encode(PIXELS[1], 'jpeg'),
        'a.png': encode(PIXELS[2]),
        'notes.txt': b'text',
        '.hidden.png': b'',
        '__MACOSX/b/._2.png': b'',
    }
    source = open_source(write_files(tmp_path / 'set.zip', files))
    assert [source.name(index) for index in range(3)] == ['a.png', 'b/10.JPG', 'b/2.webp']
    np.testing.assert_array_equal(source.picture(2), PIXELS[0])
    np.testing.assert_array_equal(source.picture(0), PIXELS[2])
    assert source.picture(1).format == 'JPEG'


@pytest.mark.parametrize('kind', ['jpeg', 'webp'])
def test_pictures_are_upright(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(random_pixels(0, 16, 24), kind, exif=exif, quality=95)
    source = open_source(write.write_folder(tmp_path, {f'a.{kind}': content}))
    plain = open_source(
        write.write_folder(tmp_path / 'plain', {f'a.{kind}': encode(random_pixels(0, 16, 24), kind, quality=95)})
    )
    np.testing.assert_array_equal(source.picture(0), np.rot90(plain.picture(0), -1))
    assert source.size(0) == (24, 16) and plain.size(0) == (16, 24)


def test_layout_of_ffhq(tmp_path):
    files = {
        'images1024x1024/00000/00000.png': encode(PIXELS[0]),
        'images1024x1024/01000/01000.png': encode(PIXELS[1]),
        'images1024x1024/LICENSE.txt': b'text',
        'ffhq-dataset-v2.json': b'{"0": {"category": "training"}}',
        'images1024x1024/ffhq-dataset-v2.json': b'{"0": {"category": "training"}}',
    }
    write.write_folder(tmp_path, files)
    for path in (tmp_path, tmp_path / 'images1024x1024'):
        source = open_source(path)
        np.testing.assert_array_equal(pixels_of(source), PIXELS[:2])
        assert source.labels.shape == (2, 0)


@pytest.mark.parametrize('content', [b'', b'text', FILES['a/0.png'][:60], encode(PIXELS[0], 'webp')[:40]])
@pytest.mark.parametrize('make', [write.write_folder, write.write_zip])
def test_damaged_file_is_unusable(tmp_path, make, content):
    source = open_source(make(tmp_path / 'set.zip', {'a.png': content}))
    with pytest.raises(Unusable):
        source.picture(0)


def test_what_the_machine_fails_at_is_no_fault_of_a_picture(tmp_path):
    """It would be left out for good."""
    source = open_source(make_folder(tmp_path))
    (tmp_path / 'a' / '0.png').unlink()
    assert '0.png: cannot be read (No such file or directory)' in error_of(source.picture, 0)


def test_zip_that_went_away_is_a_user_error(tmp_path):
    """As a process finds it that was started later: it is no fault of one picture."""
    path = make_zip(tmp_path / 'set')
    source = pickle.loads(pickle.dumps(open_source(path)))
    path.unlink()
    assert 'set.zip: cannot be opened as a zip' in error_of(source.picture, 0)


def test_zip_of_an_lmdb_is_a_user_error(tmp_path):
    path = write.write_zip(tmp_path / 'a.zip', {'church_lmdb/data.mdb': b''})
    assert 'it holds an LMDB: unpack it' in error_of(open_source, path)


def test_damaged_zip_is_a_user_error(tmp_path):
    path = make_zip(tmp_path / 'set')
    path.write_bytes(path.read_bytes()[:-30])
    assert 'set.zip: cannot be opened as a zip' in error_of(open_source, path)


@pytest.mark.parametrize('make', [make_folder, make_zip])
def test_folders_are_classes(tmp_path, make):
    source = open_source(make(tmp_path / 'set'), labels='folders')
    assert source.label_names == ('a', 'b', 'c')
    np.testing.assert_array_equal(source.labels, np.eye(3)[[0, 0, 1, 2]])
    assert open_source(make(tmp_path / 'other'), labels='folders', count=2).labels.shape == (2, 3)


def test_file_without_a_folder_has_no_class(tmp_path):
    write.write_folder(tmp_path, FILES | {'z.png': b''})
    assert 'z.png is in no folder' in error_of(open_source, tmp_path, labels='folders')


def open_labelled(path, content, **options):
    if not isinstance(content, bytes):
        content = json.dumps({'labels': content}).encode()
    return open_source(write.write_folder(path, FILES | {'dataset.json': content}), **options)


def test_labels_of_dataset_json(tmp_path):
    entries = [[name, int(label)] for name, label in zip(FILES, CLASSES)] + [['absent.png', 1]]
    np.testing.assert_array_equal(open_labelled(tmp_path, entries[::-1]).labels, np.eye(3)[CLASSES])
    assert open_labelled(tmp_path, entries, count=2).labels.shape == (2, 3)
    assert open_labelled(tmp_path, b'{broken', labels='none').labels.shape == (4, 0)
    assert open_labelled(tmp_path, None).labels.shape == (4, 0)
    vectors = np.arange(8).reshape(4, 2) / 8
    source = open_labelled(tmp_path, [[name, vector.tolist()] for name, vector in zip(FILES, vectors)])
    np.testing.assert_array_equal(source.labels, vectors)
    assert any(name.endswith('dataset.json') for name in source.fingerprints())


@pytest.mark.parametrize(
    'content, message',
    [
        (b'{broken', 'not valid JSON.*labels=none'),
        ([['a/0.png', 0]], "no label for 3 of 4 images, such as 'a/1.png'"),
        ([[name, 4] for name in FILES], 'classes up to 4; number the classes'),
        ([[name, -1] for name in FILES], 'label -1 of .* is negative'),
        ([[name, '1'] for name in FILES], 'is not a file name and a class number'),
        ([[name, [0.0] * (number + 1)] for number, name in enumerate(FILES)], '1 to 4 numbers long'),
        ([[name, [float('nan')]] for name in FILES], 'not finite'),
    ],
)
def test_wrong_labels_are_a_user_error(tmp_path, content, message):
    with pytest.raises(UserError, match=rf'dataset\.json: .*{message}'):
        open_labelled(tmp_path, content)


# TFRecords.


@pytest.mark.parametrize('channels', [1, 3])
def test_highest_resolution_is_read(tmp_path, channels):
    pictures = np.stack([random_pixels(seed, 16, 16, channels) for seed in range(3)])
    write.write_tfrecords(tmp_path, pictures)
    assert {file.name for file in tmp_path.iterdir()} == {f'toy-r{level:02d}.tfrecords' for level in (2, 3, 4)}
    source = open_source(tmp_path)
    np.testing.assert_array_equal(pixels_of(source), pictures)
    assert source.labels.shape == (3, 0)
    assert source.name(1) == 'toy-r04.tfrecords, record 1'


def test_labels_of_tfrecords_may_be_vectors(tmp_path):
    vectors = np.random.default_rng(0).normal(size=[4, 3])
    source = open_source(write.write_tfrecords(tmp_path, PIXELS, vectors))
    np.testing.assert_array_equal(source.labels, vectors.astype(np.float32))


@pytest.mark.parametrize(
    'cut, message',
    [
        (lambda content: content[:-1], 'it is cut off in record 3'),
        (lambda content: content[: len(content) // 4 + 5], 'it is cut off in record 1'),
        (lambda content: b'', 'there are no pictures in it'),
        (lambda content: b'some text that is none', 'record 0, at byte 0, is damaged, or this is no file of TFRecords'),
        (lambda content: content[:20] + b'xxx' + content[23:], r'first record cannot be read \(its checksum is wrong'),
    ],
)
def test_damaged_tfrecords_are_a_user_error(tmp_path, cut, message):
    make_tfrecords(tmp_path)
    file = tmp_path / 'toy-r03.tfrecords'
    file.write_bytes(cut(file.read_bytes()))
    with pytest.raises(UserError, match=rf'toy-r03\.tfrecords: .*{message}'):
        open_source(tmp_path)


def test_damaged_record_is_unusable(tmp_path):
    make_tfrecords(tmp_path)
    file = tmp_path / 'toy-r03.tfrecords'
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    source = open_source(tmp_path)
    np.testing.assert_array_equal(source.picture(2), PIXELS[2])
    with pytest.raises(Unusable, match='its checksum is wrong'):
        source.picture(3)


@pytest.mark.parametrize(
    'content, message',
    [
        (write.example([8, 8], bytes(64)), r'its shape is \[8, 8\]'),
        (write.example([8, 8, 3], bytes(192)), r'its shape is \[8, 8, 3\]'),
        (write.example([3, 8, 8], bytes(191)), '191 bytes'),
        (write.field(1, b''), 'it has no "data"'),
        (b'\xff\xff', 'DecodeError'),
    ],
)
def test_record_of_another_form_is_a_user_error(tmp_path, content, message):
    (tmp_path / 'toy-r03.tfrecords').write_bytes(write.record(content))
    with pytest.raises(UserError, match=f'first record cannot be read.*{message}'):
        open_source(tmp_path)


def test_two_sets_in_a_folder_are_a_user_error(tmp_path):
    for name in ('cats', 'dogs'):
        write.write_tfrecords(tmp_path, PIXELS, name=name)
    assert 'the TFRecords of cats and dogs' in error_of(open_source, tmp_path)


def test_other_names_of_tfrecords_are_a_user_error(tmp_path):
    write.write_folder(tmp_path, {'train.tfrecords': b''})
    assert 'no file in it is called NAME-rNN.tfrecords' in error_of(open_source, tmp_path)


BAD_LABELS = {
    'length': (CLASSES[:3], 'it has 3 labels, but there are 4 images'),
    'negative': (-CLASSES, 'label -2 is negative'),
    'gaps': (CLASSES * 10, 'classes up to 20; number the classes'),
    'fractions': (CLASSES / 3, r'labels are float64 \[N\]'),
    'axes': (np.zeros([4, 2, 2]), r'labels are float64 \[4, 2, 2\]'),
    'nan': (np.full([4, 2], np.nan), 'not finite'),
    'text': (np.array(list('abcd')), 'labels are <U1'),
}


@pytest.mark.parametrize('kind', BAD_LABELS)
@pytest.mark.parametrize('form', ['tfrecords', 'arrays'])
def test_wrong_labels_of_arrays_are_a_user_error(tmp_path, form, kind):
    labels, message = BAD_LABELS[kind]
    path = tmp_path / 'set'
    if form == 'tfrecords':
        write.write_tfrecords(path, PIXELS, labels)
    else:
        path = tmp_path / 'set.npz'
        np.savez(path, x=PIXELS, y=labels)
    with pytest.raises(UserError, match=f'{message}.*labels=none'):
        open_source(path)
    assert len(open_source(path, labels='none')) == 4


@pytest.mark.parametrize('content', [b'', b'text', pickle.dumps([1, 2])])
def test_damaged_labels_of_tfrecords_are_a_user_error(tmp_path, content):
    make_tfrecords(tmp_path)
    (tmp_path / 'toy-rxx.labels').write_bytes(content)
    assert 'toy-rxx.labels: cannot be read' in error_of(open_source, tmp_path)


# LMDB.


def test_keys_of_any_form(tmp_path):
    values = {
        b'a': encode(PIXELS[0], 'webp', lossless=True),
        b'long/key\0': encode(PIXELS[1]),
        b'\xff\xfe': encode(PIXELS[2], 'jpeg'),
    }
    source = open_source(write.write_lmdb(tmp_path / 'church_lmdb', values))
    assert [source.name(index) for index in range(3)] == ['a', 'long/key\0', r'\xff\xfe']
    assert [source.picture(index).format for index in range(3)] == ['WEBP', 'PNG', 'JPEG']


def test_lmdb_that_is_cut_off_is_a_user_error(tmp_path):
    path = write.write_lmdb(tmp_path / 'a_lmdb', {b'%d' % i: bytes(5000) for i in range(20)}) / 'data.mdb'
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 'data.mdb: it is cut off' in error_of(open_source, path.parent)
    for size in (0, 100):
        path.write_bytes(content[:size])
        assert 'data.mdb: cannot be read as an LMDB' in error_of(open_source, path.parent)
    path.write_bytes(b'text' * 5000)
    assert 'data.mdb: cannot be read as an LMDB' in error_of(open_source, path.parent)


def test_empty_lmdb_is_a_user_error(tmp_path):
    assert 'there are no pictures in it' in error_of(open_source, write.write_lmdb(tmp_path / 'a_lmdb', {}))


def test_damaged_value_of_an_lmdb_is_unusable(tmp_path):
    source = open_source(write.write_lmdb(tmp_path / 'a_lmdb', {b'a': b'text', b'b': encode(PIXELS[0], 'webp')[:60]}))
    for index in range(2):
        with pytest.raises(Unusable):
            source.picture(index)


def test_missing_lmdb_package_is_a_user_error(tmp_path, monkeypatch):
    path = make_lmdb(tmp_path / 'a_lmdb')
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    assert 'pip install "stylegan_jax[lsun]"' in error_of(open_source, path)


# Arrays.


@pytest.mark.parametrize('keys', [('x_train', 'y_train'), ('images', 'labels'), ('x', 'y'), ('arr_0', 'arr_1')])
@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_names_of_arrays(tmp_path, keys, save):
    save(tmp_path / 'a.npz', **dict(zip(keys, (PIXELS, CLASSES))), x_test=PIXELS[:1])
    source = open_source(tmp_path / 'a.npz')
    np.testing.assert_array_equal(pixels_of(source), PIXELS)
    np.testing.assert_array_equal(source.labels, np.eye(3)[CLASSES])


@pytest.mark.parametrize(
    'pictures, expected',
    [(PIXELS[..., 0], PIXELS[..., 0]), (PIXELS[..., :1], PIXELS[..., :1]), (PIXELS.transpose(0, 3, 1, 2), PIXELS)],
)
def test_axes_of_arrays(tmp_path, pictures, expected):
    np.savez(tmp_path / 'a.npz', x=pictures)
    source = open_source(tmp_path / 'a.npz')
    np.testing.assert_array_equal(pixels_of(source), expected)
    assert source.labels.shape == (4, 0)


@pytest.mark.parametrize(
    'labels, expected',
    [
        (CLASSES[:, None].astype(np.uint8), np.eye(3)[CLASSES]),
        (np.eye(3, dtype=np.uint8)[CLASSES], np.eye(3)[CLASSES]),
        (np.ones([4, 1]) / 3, np.ones([4, 1]) / 3),
        (np.eye(4, dtype=bool), np.eye(4)),
    ],
)
def test_forms_of_labels_of_arrays(tmp_path, labels, expected):
    np.savez(tmp_path / 'a.npz', x=PIXELS, y=labels)
    np.testing.assert_array_equal(open_source(tmp_path / 'a.npz').labels, expected.astype(np.float32))


@pytest.mark.parametrize(
    'arrays, message',
    [
        ({'pictures': PIXELS}, 'it has pictures, but no pictures under any of x_train, images, x, arr_0'),
        ({}, 'it has nothing'),
        ({'x': PIXELS / 255}, 'x is float64; give uint8'),
        ({'x': PIXELS[:0]}, 'there are no pictures in it'),
        ({'x': PIXELS[0, 0]}, r'x has the shape \[8, 3\]'),
        ({'x': PIXELS[..., :2]}, r'x has the shape \[4, 8, 8, 2\]'),
        ({'x': np.array([None, PIXELS], dtype=object)}, 'cannot be read as an .npz'),
    ],
)
def test_useless_arrays_are_a_user_error(tmp_path, arrays, message):
    np.savez(tmp_path / 'a.npz', **arrays)
    with pytest.raises(UserError, match=f'a.npz: .*{message}'):
        open_source(tmp_path / 'a.npz')


@pytest.mark.parametrize('content', [b'', b'text', None])
def test_damaged_npz_is_a_user_error(tmp_path, content):
    np.savez(tmp_path / 'a.npz', x=PIXELS)
    whole = (tmp_path / 'a.npz').read_bytes()
    (tmp_path / 'a.npz').write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert 'a.npz: cannot be read as an .npz' in error_of(open_source, tmp_path / 'a.npz')


# TensorFlow Datasets.


@pytest.mark.parametrize(
    'split, rows',
    [
        ('', [0, 1]),
        (':train', [0, 1]),
        (':test', [2, 3]),
        (':all', [0, 1, 2, 3]),
        (':train[:50%]', [0]),
        (':train[1:]+test', [1, 2, 3]),
    ],
)
def test_splits(tmp_path, split, rows):
    path = write.write_tfds(tmp_path / 'toy', {'train': PIXELS[:2], 'test': PIXELS[2:]})
    source = open_source(f'tfds:{path}{split}')
    np.testing.assert_array_equal(pixels_of(source), PIXELS[rows])
    assert source.label_names == ('cat', 'dog')
    np.testing.assert_array_equal(source.labels.argmax(axis=1), np.array(rows) % 2)


def test_data_set_by_its_name(tmp_path, request):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.utils import file_utils

    request.addfinalizer(file_utils.clear_registered_data_dirs)
    write.write_tfds(tmp_path / 'toy' / '1.0.0', {'train': PIXELS}, names=())
    tfds.core.add_data_dir(str(tmp_path))
    for name in ('toy', 'toy:train', 'toy:1.0.0', 'toy:1.0.0:train'):
        source = open_source(f'tfds:{name}')
        np.testing.assert_array_equal(pixels_of(source), PIXELS)
        assert source.labels.shape == (4, 0) and source.label_names is None


def test_pictures_may_be_plain_tensors(tmp_path):
    import tensorflow_datasets as tfds

    feature = tfds.features.Tensor(shape=(8, 8, 3), dtype=np.uint8, encoding='bytes')
    path = write.write_tfds(tmp_path / 'toy', {'train': PIXELS}, image=feature)
    np.testing.assert_array_equal(pixels_of(open_source(f'tfds:{path}')), PIXELS)


def test_labels_without_known_classes(tmp_path):
    import tensorflow_datasets as tfds

    path = write.write_tfds(tmp_path / 'toy', {'train': PIXELS}, classes=CLASSES, label=tfds.features.Scalar(np.int64))
    source = open_source(f'tfds:{path}', count=2)
    np.testing.assert_array_equal(source.labels, np.eye(3)[CLASSES[:2]])
    assert source.label_names is None


def test_absent_data_set_is_a_user_error(tmp_path):
    assert "prepare it with tfds.builder('no_such_set'" in error_of(open_source, 'tfds:no_such_set')
    assert 'there is no dataset_info.json in' in error_of(open_source, f'tfds:{tmp_path}')
    assert 'give tfds:NAME' in error_of(open_source, 'tfds:')


def test_absent_split_is_a_user_error(tmp_path):
    path = write.write_tfds(tmp_path / 'toy', {'train': PIXELS})
    assert "there is no split 'validation'; it has train, and all" in error_of(open_source, f'tfds:{path}:validation')


def test_other_format_is_a_user_error(tmp_path):
    path = write.write_tfds(tmp_path / 'toy', {'train': PIXELS}, form='tfrecord')
    assert "prepare it again with file_format='array_record'" in error_of(open_source, f'tfds:{path}')


def test_data_set_without_pictures_is_a_user_error(tmp_path):
    import tensorflow_datasets as tfds

    path = write.write_tfds(tmp_path / 'toy', {'train': PIXELS[:, 0, 0, 0]}, image=tfds.features.Scalar(np.uint8))
    assert "no 'image' that is a picture" in error_of(open_source, f'tfds:{path}')


@pytest.mark.parametrize(
    'damage, message',
    [
        (lambda file: file.unlink(), 'there is no such file'),
        (lambda file: file.write_bytes(b''), 'cannot be read'),
        (lambda file: file.write_bytes(file.read_bytes()[:65536]), 'cannot be read|it has 0 records'),
        (lambda file: file.write_bytes(file.read_bytes()[:-10]), 'cannot be read'),
        (lambda file: (file.parent / 'dataset_info.json').write_text('{'), 'cannot be opened by TensorFlow Datasets'),
        (
            lambda file: (file.parent / 'features.json').unlink(),
            'cannot be opened by TensorFlow Datasets|no .image. that',
        ),
    ],
)
def test_damaged_data_set_is_a_user_error(tmp_path, damage, message):
    path = write.write_tfds(tmp_path / 'toy', {'train': PIXELS})
    damage(path / 'toy-train.array_record-00000-of-00001')
    with pytest.raises(UserError, match=message):
        open_source(f'tfds:{path}')


def test_secret_labels_are_a_user_error(tmp_path):
    path = write.write_tfds(tmp_path / 'toy', {'train': PIXELS}, classes=[0, 1, -1, 0])
    assert 'label -1 is none of the 2 classes' in error_of(open_source, f'tfds:{path}')
    assert len(open_source(f'tfds:{path}', labels='none')) == 4


# Toy faces.


@pytest.mark.parametrize(
    'spec, count, resolution',
    [('toy_faces', 10000, 256), ('toy_faces:5', 5, 256), ('toy_faces:@32', 10000, 32), ('toy_faces:7@16', 7, 16)],
)
def test_toy_faces(spec, count, resolution):
    source = open_source(spec)
    assert len(source) == count and source.labels.shape == (count, 0)
    np.testing.assert_array_equal(source.picture(3), toy_faces.draw(3, resolution))


def test_attributes_of_toy_faces():
    source = open_source('toy_faces:5@8', labels='attributes')
    assert source.label_names == toy_faces.ATTRIBUTES
    np.testing.assert_array_equal(source.labels[3], toy_faces.attributes(3))


@pytest.mark.parametrize('spec', ['toy_faces:many', 'toy_faces:5@2', 'toy_faces:5@2048', 'toy_faces:0', 'toy_faces:-1'])
def test_impossible_toy_faces_are_a_user_error(spec):
    assert spec in error_of(open_source, spec)
