"""Which files are found: links, names in zips, data of other kinds beside pictures, other files in place of data."""

import logging
import os
import pickle
import stat
import zipfile

import numpy as np
import pytest
import source_files as write
from source_files import encode, random_pixels, write_folder, write_zip

from stylegan_jax.config import DataConfig, ImageConfig
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.data.preparing.preparation import Options, prepare
from stylegan_jax.data.sources import Unusable, open_source
from stylegan_jax.errors import UserError
from stylegan_jax.prepare_data import describe
from stylegan_jax.runtime import threads

PIXELS = [random_pixels(number) for number in range(4)]
PNG = [encode(pixels) for pixels in PIXELS]
LFS = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'
HTML = b'\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n'


def train_on(path, **data):
    return open_dataset(DataConfig(path=str(path), **data), ImageConfig(8))


def images_of(dataset):
    return dataset.images(np.arange(len(dataset)), 1)


# Links.


def test_linked_folders_and_files_are_followed(tmp_path):
    write_folder(tmp_path / 'elsewhere', {'1.png': PNG[1], 'deep/2.png': PNG[2]})
    write_folder(tmp_path, {'single.png': PNG[3]})
    folder = write_folder(tmp_path / 'set', {'0.png': PNG[0]})
    (folder / 'linked').symlink_to(tmp_path / 'elsewhere')
    (folder / 'relative').symlink_to('../elsewhere/deep')  # the same files are in `linked`
    (folder / 'x.png').symlink_to(tmp_path / 'single.png')
    source = open_source(folder)
    assert source.names == ('0.png', 'linked/1.png', 'linked/deep/2.png', 'x.png') and not source.notes
    np.testing.assert_array_equal([np.asarray(source.picture(index)) for index in range(4)], PIXELS)
    np.testing.assert_array_equal(images_of(train_on(folder)), PIXELS)
    assert pickle.loads(pickle.dumps(source)).fingerprints() == source.fingerprints()


def test_each_real_folder_is_read_once(tmp_path):
    """Under its own path where it has one, and however links run in circles."""
    folder = write_folder(tmp_path / 'set', {'z/1.png': PNG[0], 'z/y/2.png': PNG[1]})
    (folder / 'a').symlink_to('z')
    (folder / 'b').symlink_to('z/y')
    (folder / 'z' / 'y' / 'round').symlink_to(folder)
    (folder / 'z' / 'self').symlink_to('.')
    assert open_source(folder).names == ('z/1.png', 'z/y/2.png')


def test_two_links_to_a_folder_are_one(tmp_path):
    write_folder(tmp_path / 'elsewhere', {'1.png': PNG[0]})
    folder = tmp_path / 'set'
    folder.mkdir()
    for name in 'ba':
        (folder / name).symlink_to(tmp_path / 'elsewhere')
    assert open_source(folder).names == ('a/1.png',)
    (tmp_path / 'link').symlink_to(folder)  # the source itself
    assert open_source(tmp_path / 'link').names == ('a/1.png',)


@pytest.mark.parametrize('target', ['nowhere.png', 'bad.png'])
def test_a_dangling_link_is_one_unusable_file(tmp_path, caplog, monkeypatch, target):
    folder = write_folder(tmp_path / 'set', {f'{number:03}.png': PNG[0] for number in range(100)})
    (folder / 'bad.png').symlink_to(target)
    source = open_source(folder)
    assert len(source) == 101
    for call in (source.picture, source.size):
        with pytest.raises(Unusable, match=rf'a link to nothing \({target}\)'):
            call(100)
    with caplog.at_level(logging.WARNING):
        assert len(train_on(folder)) == 100
        monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
        assert len(train_on(folder)) == 100
    assert caplog.messages == [f'{folder}: skipping bad.png (a link to nothing ({target}))'] * 2
    options, lines = Options(ImageConfig(8)), []
    done = prepare(source, str(tmp_path / 'out'), options, workers=0, say=lines.append, title=None)
    assert (done['count'], done['skipped']) == (100, [['bad.png', f'a link to nothing ({target})']])
    skipped = f'1 skipped, such as bad.png (a link to nothing ({target}))'
    assert lines[-1] == f'{tmp_path / "out"}: 100 images; {skipped}'
    assert describe(str(tmp_path / 'out')).splitlines()[2] == f'source: folder {folder}; {skipped}'


def test_dangling_links_that_are_no_pictures_are_named(tmp_path):
    folder = write_folder(tmp_path / 'set', {'0.png': PNG[0]})
    (folder / 'cats').symlink_to('/mnt/cats')
    source = open_source(folder)
    assert source.names == ('0.png',) and source.notes[0] == f'{folder}: links to nothing: cats -> /mnt/cats'


# Zips.


def test_names_that_a_zip_has_twice_are_named(tmp_path, caplog):
    with zipfile.ZipFile(tmp_path / 'set.zip', 'w') as archive:
        for name, content in (('a.png', PNG[0]), ('b.png', PNG[1]), ('a.png', PNG[2])):
            if name in archive.namelist():
                with pytest.warns(UserWarning, match='Duplicate name'):
                    archive.writestr(name, content)
            else:
                archive.writestr(name, content)
    source = open_source(tmp_path / 'set.zip')
    note = f'{tmp_path}/set.zip: the last of several files is read where they share a name: a.png'
    assert source.names == ('a.png', 'b.png') and source.notes == (note,)
    np.testing.assert_array_equal(source.picture(0), PIXELS[2])
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(images_of(train_on(tmp_path / 'set.zip')), PIXELS[2:0:-1])
    assert caplog.messages == [note]


def test_links_in_a_zip_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / 'set.zip', 'w') as archive:
        archive.writestr('a.png', PNG[0])
        info = zipfile.ZipInfo('cats')
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, '../cats')
    assert 'links in a zip are not followed: cats' in open_source(tmp_path / 'set.zip').notes[0]


# Data of other kinds beside pictures.


def test_stray_tfrecords_beside_pictures(tmp_path):
    write_folder(tmp_path, {'0.png': PNG[0], 'train.tfrecords': b'', 'sub/more.zip': b''})
    source = open_source(tmp_path)
    assert (source.kind, source.names) == ('folder', ('0.png',))
    (note,) = source.notes
    assert note.startswith('passed over') and '1 .zip' in note and '1 .tfrecords' in note
    assert len(train_on(tmp_path)) == 1


@pytest.mark.parametrize('kind', ['tfrecords', 'lmdb'])
def test_stray_pictures_beside_other_data_are_named(tmp_path, kind):
    path = tmp_path / 'set'
    if kind == 'tfrecords':
        write.write_tfrecords(path, np.stack(PIXELS))
    else:
        write.write_lmdb(path, {b'%d' % n: content for n, content in enumerate(PNG)})
    write_folder(path, {'preview.png': PNG[0]})
    source = open_source(path)
    assert (source.kind, len(source)) == (kind, 4)
    assert source.notes == (f'{path}: pictures beside the {kind} are not read, such as preview.png',)


@pytest.mark.parametrize('name', ['church_lmdb/a.png', 'church_lmdb/sub/a.png', 'set/dataset_info.json'])
def test_a_name_does_not_hide_pictures(tmp_path, name):
    write_folder(tmp_path, {name: PNG[0]})
    folder = tmp_path / name.partition('/')[0]
    write_folder(folder, {'b.png': PNG[1]} if 'json' in name else {})
    assert open_source(folder).kind == 'folder'


@pytest.mark.parametrize(
    'files, message',
    [
        ({'in/toy-r03.tfrecords': b''}, r'it holds TFRecords \(in/toy-r03\.tfrecords\): unpack it and give the folder'),
        ({'in/pictures.zip': b''}, r'it holds the archive in/pictures\.zip: unpack it'),
        ({'pictures.tar.gz': b''}, r'it holds the archive pictures\.tar\.gz: unpack it'),
        ({'in/mnist.npz': b''}, r'if in/mnist\.npz is what you mean, give that file'),
    ],
)
@pytest.mark.parametrize('make', [write_folder, write_zip])
def test_what_is_there_in_place_of_pictures_is_named(tmp_path, make, files, message):
    with pytest.raises(UserError, match=message):
        open_source(make(tmp_path / 'set', files))


# Files in place of data.


@pytest.mark.parametrize('content, kind', [(LFS, 'a pointer of Git LFS'), (HTML, r'a web page \(HTML\)')])
@pytest.mark.parametrize(
    'name', ['set.zip', 'set', 'set.npz', 'records/toy-r03.tfrecords', 'a_lmdb/data.mdb', 'labels/dataset.json']
)
def test_a_page_or_pointer_is_named(tmp_path, name, content, kind):
    write_folder(tmp_path, {name: content, 'labels/a.png': PNG[0]})
    path = tmp_path / name if name.startswith('set') else tmp_path / os.path.dirname(name)
    with pytest.raises(UserError, match=rf'{name}: .*{kind}'):
        open_source(path)


# How many bad files a training leaves out.


@pytest.mark.parametrize('budget', [threads.MEMORY_BUDGET, 1])
def test_training_leaves_out_as_many_as_it_is_told(tmp_path, monkeypatch, budget):
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', budget)
    folder = write_folder(tmp_path, {f'{number}.png': PNG[number] for number in range(4)} | {'1.png': b'text'})
    message = r'1 of 4 images cannot be used, such as 1\.png \(.*; mend .*, or allow as many with data.max_skipped=0.25'
    with pytest.raises(UserError, match=message):
        train_on(folder)
    np.testing.assert_array_equal(images_of(train_on(folder, max_skipped=0.25)), [PIXELS[0], *PIXELS[2:]])
    with pytest.raises(UserError, match=message):
        train_on(folder, max_skipped=0.2)


def test_damaged_images_are_not_said_to_be_small(tmp_path):
    folder = write_folder(tmp_path, {'0.png': b'text', '1.png': b''})
    with pytest.raises(UserError, match=r'; mend or remove them, or check image\.resolution$'):
        train_on(folder, max_skipped=1)


def test_images_that_prove_damaged_count_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    large = [encode(random_pixels(number, 64, 64)) for number in range(4)]
    folder = write_folder(tmp_path, {f'{number}.png': content for number, content in enumerate(large)})
    (folder / '1.png').write_bytes(large[1][: len(large[1]) // 2])
    dataset = train_on(folder, max_skipped=0.25)
    np.testing.assert_array_equal(dataset.images([1], 1), dataset.images([2], 1))
    with pytest.raises(
        UserError, match=r'1\.png: .*; 1 of 4 images cannot be used so far; mend .*data\.max_skipped=0\.25$'
    ):
        images_of(train_on(folder))


@pytest.mark.parametrize('share', [-0.1, 1.1])
def test_impossible_shares_are_a_user_error(share):
    with pytest.raises(UserError, match=r'^data\.max_skipped='):
        DataConfig(max_skipped=share)
