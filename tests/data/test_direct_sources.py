"""Training on every kind of source directly: the pixels and labels are those of a prepared set that is made from it."""

import contextlib
import dataclasses
import logging
import pickle
import shutil

import numpy as np
import pytest
import source_files as write
import test_pipeline
from source_files import encode, random_pixels
from test_sources import CLASSES, KINDS, PIXELS

from stylegan_jax.config import Config, DataConfig, ImageConfig
from stylegan_jax.data import dataset as dataset_module
from stylegan_jax.data.dataset import DataOpener, open_dataset, with_found_labels
from stylegan_jax.data.pipeline import Batches, default_workers
from stylegan_jax.data.preparing.preparation import Options, prepare
from stylegan_jax.data.sources import open_source
from stylegan_jax.data.sources.containers import Container
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import threads

LABELLED = ['tfrecords', 'arrays', 'tfds']
IMAGE = ImageConfig(8)


def open_direct(path, image=IMAGE, **settings):
    return open_dataset(DataConfig(path=str(path), **settings), image)


def all_images(dataset, stage=None):
    return dataset.images(np.arange(len(dataset)), dataset.image.num_stages - 1 if stage is None else stage)


def prepared_from(path, out, image=IMAGE):
    """Returns the prepared set of a source as prepare_data makes it, in the order of the source."""
    source = open_source(path)
    image = ImageConfig(image.resolution, image.base_shape, image.channels, source.labels.shape[1])
    prepare(
        source,
        str(out),
        Options(image, resize_filter=source.resize_filter, max_skipped=source.max_skipped),
        workers=0,
        say=lambda line: None,
        title=None,
    )
    dataset = open_direct(out, image)
    back = np.argsort(np.random.Generator(np.random.PCG64(0)).permutation(len(source)))
    return all_images(dataset)[back], dataset.labels[back]


@pytest.fixture(params=[True, False], ids=['in_memory', 'on_demand'])
def in_memory(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    return request.param


@pytest.mark.parametrize('kind', KINDS)
def test_images_and_labels_are_those_of_the_prepared_set(tmp_path, kind, in_memory):
    path = KINDS[kind](tmp_path / 'set')
    pixels, labels = prepared_from(path, tmp_path / 'prepared')
    assert labels.shape == (4, 3 if kind in LABELLED else 0)
    dataset = open_direct(path, ImageConfig(8, label_dim=labels.shape[1]))
    np.testing.assert_array_equal(all_images(dataset), pixels)
    np.testing.assert_array_equal(dataset.labels, labels)
    assert dataset.labels.dtype == np.float32
    assert dataset.label_names == (('x', 'y', 'z') if kind == 'tfds' else None)
    means = pixels.reshape(4, 4, 2, 4, 2, 3).mean(axis=(2, 4))
    np.testing.assert_array_equal(all_images(dataset, 0), np.rint(means).astype(np.uint8))


LARGE = np.stack([random_pixels(seed, 32, 32) for seed in range(3)])
UNEVEN = [random_pixels(seed, 19 + seed, 33) for seed in range(3)]


@pytest.mark.parametrize(
    'make',
    [
        lambda path: write.write_tfrecords(path, LARGE),
        lambda path: write.write_lmdb(path, {b'%d' % n: encode(pixels) for n, pixels in enumerate(UNEVEN)}),
        lambda path: write.write_zip(path.with_suffix('.zip'), {f'{n}.png': encode(p) for n, p in enumerate(UNEVEN)}),
        lambda path: np.savez(path, images=LARGE.transpose(0, 3, 1, 2)) or path.with_suffix('.npz'),
        lambda path: f'tfds:{write.write_tfds(path, {"train": UNEVEN}, names=())}',
    ],
    ids=['tfrecords', 'lmdb', 'zip', 'arrays', 'tfds'],
)
def test_larger_pictures_are_reduced_as_the_prepared_set_has_them(tmp_path, make, in_memory):
    path = make(tmp_path / 'set')
    pixels, _ = prepared_from(path, tmp_path / 'prepared')
    np.testing.assert_array_equal(all_images(open_direct(path)), pixels)


@pytest.mark.parametrize('kind', KINDS)
def test_a_pickled_data_set_reads_the_same(tmp_path, kind, in_memory):
    dataset = open_direct(KINDS[kind](tmp_path / 'set'))
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(all_images(again), all_images(dataset))
    assert again.signature == dataset.signature


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('kind', ['tfrecords', 'lmdb', 'arrays', 'tfds'])
def test_batches_are_read_by_threads_and_processes(tmp_path, monkeypatch, kind, workers):
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    label_dim = 3 if kind in LABELLED else 0
    dataset = open_direct(KINDS[kind](tmp_path / 'set'), ImageConfig(8, label_dim=label_dim))
    iterations = test_pipeline.iterations_of(160)
    with contextlib.closing(Batches(dataset, iterations, 5, workers=workers)) as batches:
        for batch, (position, setting) in zip(batches, iterations, strict=True):
            indices = test_pipeline.indices_at(5, position, setting.batch, 4)
            if setting.stage == 1:
                np.testing.assert_array_equal(batch.images, PIXELS[indices])
            np.testing.assert_array_equal(batch.labels, np.eye(3)[CLASSES[indices], :label_dim])


def test_arrays_are_read_by_threads_however_many_they_are(tmp_path, monkeypatch):
    """Each process would hold all of them in memory."""
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    assert default_workers(open_direct(KINDS['arrays'](tmp_path / 'set'))) == 0
    assert default_workers(open_direct(KINDS['tfrecords'](tmp_path / 'other'))) > 0


@pytest.mark.parametrize('kind', KINDS)
def test_count_takes_the_first(tmp_path, kind):
    path = KINDS[kind](tmp_path / 'set')
    dataset = open_direct(path, count=2)
    np.testing.assert_array_equal(all_images(dataset), all_images(open_direct(path))[:2])
    assert len(dataset.labels) == 2
    with pytest.raises(UserError, match=r'^data\.count=5: .* has only 4 images; give fewer, or set data\.count=0'):
        open_direct(path, count=5)


# Labels.


@pytest.mark.parametrize('kind', LABELLED)
def test_the_length_of_labels_is_found(tmp_path, kind, monkeypatch):
    """By the same look at the source that reads the labels later."""
    opened = []
    monkeypatch.setattr(
        dataset_module, 'open_source', lambda *args, **kwargs: opened.append(args) or open_source(*args, **kwargs)
    )
    config = Config(image=IMAGE, data=DataConfig(path=str(KINDS[kind](tmp_path / 'set')), find_labels=True))
    opener = DataOpener(config.data)
    found = opener.with_found_labels(config)
    assert found.image.label_dim == found.generator.image.label_dim == 3 and found == with_found_labels(config)
    opened.clear()
    np.testing.assert_array_equal(opener.open(found.image).labels, np.eye(3)[CLASSES])
    assert not opened


@pytest.mark.parametrize('kind', ['lmdb', 'arrays'])
def test_without_labels_none_are_found(tmp_path, kind):
    path = KINDS['lmdb'](tmp_path / 'set')
    if kind == 'arrays':
        path = tmp_path / 'set.npz'
        np.savez(path, x_train=PIXELS)
    config = Config(image=IMAGE, data=DataConfig(path=str(path), find_labels=True))
    assert with_found_labels(config) == config
    assert open_dataset(config.data, IMAGE).labels.shape == (4, 0)


@pytest.mark.parametrize('kind', LABELLED)
def test_another_length_of_labels_is_a_user_error(tmp_path, kind):
    path = KINDS[kind](tmp_path / 'set')
    message = r'^image\.label_dim=2: the labels of .* have 3 entries; set image\.label_dim=3, or train without labels'
    with pytest.raises(UserError, match=message):
        open_direct(path, ImageConfig(8, label_dim=2))


@pytest.mark.parametrize('kind', ['lmdb', 'toy_faces'])
def test_labels_that_are_not_there_are_a_user_error(tmp_path, kind):
    path = KINDS[kind](tmp_path / 'set')
    with pytest.raises(UserError, match=r'^image\.label_dim=2: .* has no labels; train without labels'):
        open_direct(path, ImageConfig(8, label_dim=2))


def test_labels_that_are_not_asked_for_are_not_read(tmp_path):
    np.savez(tmp_path / 'set.npz', x_train=PIXELS, y_train=np.array([0, -1, 0, 0]))
    assert open_direct(tmp_path / 'set.npz').labels.shape == (4, 0)
    with pytest.raises(UserError, match='label -1 is negative; .* train without labels'):
        open_direct(tmp_path / 'set.npz', ImageConfig(8, label_dim=2))


def calls_of_folders(monkeypatch):
    """A list of the arguments with which folders are read from here on; they are empty where one is listed."""
    calls = []
    (folder,) = [kind for kind in Container.__subclasses__() if kind.kind == 'folder']
    for name in ('names', 'read'):
        method = getattr(folder, name)
        monkeypatch.setattr(
            folder, name, lambda self, *names, method=method: calls.append(names) or method(self, *names)
        )
    return calls


@pytest.mark.parametrize('label_dim', [0, 2])  # labels that are to be found, or are asked for
def test_a_folder_is_listed_and_its_labels_are_read_once(tmp_path, monkeypatch, label_dim):
    files = {f'{n}.png': encode(PIXELS[n]) for n in range(4)}
    files['dataset.json'] = b'{"labels": [["0.png", 0], ["1.png", 1], ["2.png", 1], ["3.png", 0]]}'
    write.write_folder(tmp_path, files)
    asked = dataclasses.replace(IMAGE, label_dim=label_dim)
    config = Config(image=asked, data=DataConfig(path=str(tmp_path), find_labels=not label_dim))
    opener, calls = DataOpener(config.data), calls_of_folders(monkeypatch)
    image = opener.with_found_labels(config).image
    assert image.label_dim == 2 and opener.available(image.label_dim) == 4
    assert opener.open(image).labels.argmax(axis=1).tolist() == [0, 1, 1, 0]
    assert calls.count(('dataset.json',)) == 1 and calls.count(()) == 1


def test_a_folder_without_labels_is_listed_once_and_its_notes_are_logged_once(tmp_path, monkeypatch, caplog):
    write.write_folder(tmp_path, {f'{n}.png': encode(PIXELS[n]) for n in range(4)} | {'notes.txt': b'text'})
    opener, calls = DataOpener(DataConfig(path=str(tmp_path))), calls_of_folders(monkeypatch)
    assert opener.available() == 4 and not caplog.messages
    assert len(opener.look(IMAGE).labels) == 4
    assert calls.count(()) == 1
    (message,) = caplog.messages
    assert 'passed over' in message


# Signatures.


def other_pictures(kind, path):
    """Makes a source of as many pictures of the same size, with the same labels, but other pixels."""
    pixels = PIXELS[::-1]
    values = {b'%040x' % n: encode(pixels[n], 'webp', lossless=True) for n in range(4)}
    return {
        'tfrecords': lambda: write.write_tfrecords(path, pixels, CLASSES),
        'lmdb': lambda: write.write_lmdb(path, values),
        'arrays': lambda: np.savez(path, x_train=pixels, y_train=CLASSES) or path.with_suffix('.npz'),
        'tfds': lambda: f'tfds:{write.write_tfds(path, {"train": pixels}, classes=CLASSES, names=("x", "y", "z"))}',
        'toy_faces': lambda: 'toy_faces:4@16',
    }[kind]()


@pytest.mark.parametrize('kind', ['tfrecords', 'lmdb', 'arrays', 'tfds', 'toy_faces'])
def test_signatures_tell_pictures_apart(tmp_path, kind, monkeypatch):
    path = KINDS[kind](tmp_path / 'set')
    (tmp_path / 'b').mkdir()
    signatures = [
        open_direct(path).signature,
        open_direct(path, count=3).signature,
        open_direct(other_pictures(kind, tmp_path / 'b' / 'set')).signature,
    ]
    assert len(set(signatures)) == 3
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    assert open_direct(path).signature == signatures[0]


@pytest.mark.parametrize('kind', ['folder', 'zip', 'tfrecords', 'lmdb', 'arrays', 'tfds'])
def test_a_copy_elsewhere_has_the_same_signature(tmp_path, kind):
    (tmp_path / 'a').mkdir()
    path = str(KINDS[kind](tmp_path / 'a' / 'set'))
    shutil.copytree(tmp_path / 'a', tmp_path / 'b', copy_function=shutil.copy)  # which does not keep times
    copy = path.replace(f'{tmp_path}/a/', f'{tmp_path}/b/')
    assert copy != path and open_direct(copy).signature == open_direct(path).signature


# Pictures that cannot be used.


def test_small_pictures_of_lsun_are_left_out(tmp_path, caplog, in_memory):
    sizes = [8, 7, 6, 9, 5, 8]
    pictures = {b'%d' % n: encode(random_pixels(n, size, size)) for n, size in enumerate(sizes)}
    with caplog.at_level(logging.WARNING):
        dataset = open_direct(write.write_lmdb(tmp_path / 'set', pictures))
    assert len(dataset) == len(dataset.labels) == 3
    np.testing.assert_array_equal(dataset.images([0, 2], 1), [random_pixels(0), random_pixels(5)])
    (message,) = caplog.messages
    assert 'skipping 3 of 6 images, such as 1 (its 7x7 pixels are too few for 8x8)' in message


@pytest.mark.parametrize('kind', KINDS)
def test_pictures_that_are_all_too_small_are_a_user_error(tmp_path, kind, in_memory):
    path = KINDS[kind](tmp_path / 'set')
    with pytest.raises(
        UserError, match='4 of 4 images cannot be used, such as .*8x8 pixels are too few for 64x64'
    ) as error:
        open_direct(path, ImageConfig(64))
    assert str(error.value).endswith(
        '; set image.resolution=8, for which the small ones suffice, or mend or remove them'
    )


def test_a_damaged_record_is_left_out(tmp_path, caplog, in_memory):
    """Where records are read on demand, the next good one takes its place."""
    pixels = np.stack([random_pixels(seed) for seed in range(100)])
    path = write.write_tfrecords(tmp_path / 'set', pixels)
    content = bytearray((path / 'toy-r03.tfrecords').read_bytes())
    content[len(content) // 2 + 50] ^= 1
    (path / 'toy-r03.tfrecords').write_bytes(content)
    with caplog.at_level(logging.WARNING):
        images = all_images(open_direct(path))
    assert len(images) == (99 if in_memory else 100)
    (message,) = caplog.messages
    assert 'skipping toy-r03.tfrecords, record 50 (its checksum is wrong)' in message
    np.testing.assert_array_equal(images[50], pixels[51])


@pytest.mark.parametrize(
    'path, message',
    [
        ('absent', r'^data\.path=.*absent: there is no such file or folder; give a folder or zip'),
        ('text.txt', 'text.txt: neither a folder nor a zip; check data.path'),
        (
            'empty',
            'there are no PNG, JPEG, WebP, TIFF or other image files in it; give a data.path that has some',
        ),
        ('tfds', r'^data\.path=.*: this is a directory of TensorFlow Datasets; give tfds:/'),
        ('a.npz', 'a.npz: it has others, but no pictures under any of x_train'),
    ],
)
def test_useless_path_is_a_user_error(tmp_path, path, message):
    write.write_folder(tmp_path, {'text.txt': b'text', 'empty/a.txt': b'', 'tfds/dataset_info.json': b'{}'})
    np.savez(tmp_path / 'a.npz', others=PIXELS)
    with pytest.raises(UserError, match=message):
        open_direct(tmp_path / path)


def test_channels_that_no_picture_has_are_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r'^image\.channels=5: image files have 1'):
        open_direct(KINDS['arrays'](tmp_path / 'set'), ImageConfig(8, channels=5))


def test_toy_faces_with_a_path_are_refused_before_anything_is_opened():
    """--dry_run looks no further than for labels, and is to refuse what the training refuses."""
    config = Config(data=DataConfig(source='toy_faces', path='mine'))
    for step in (lambda: with_found_labels(config), lambda: open_dataset(config.data, ImageConfig(32))):
        with pytest.raises(UserError, match=r"^data\.path='mine': toy faces are drawn, .* data\.source=images data\.c"):
            step()
