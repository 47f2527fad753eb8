"""Files of arrays with a header: what comes back, and one line about files that are damaged or missing."""

import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.runtime import npz_file

ARRAYS = {'a': np.arange(3), 'b/c': np.ones((2, 2), np.float32)}


def pair(header, arrays):
    return header, arrays


def test_header_and_arrays_come_back(tmp_path):
    npz_file.write(tmp_path / 'file', {'kind': 'test', 'names': ('x', 'y')}, ARRAYS)
    header, arrays = npz_file.read(tmp_path / 'file', pair, 'test file')
    assert header == {'kind': 'test', 'names': ['x', 'y']} and arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert os.listdir(tmp_path) == ['file']


def test_files_of_others_have_no_header(tmp_path):
    np.savez(tmp_path / 'file.npz', a=np.arange(3))
    assert npz_file.read(tmp_path / 'file.npz', pair, 'test file')[0] == {}


def message(path, build=pair):
    with pytest.raises(UserError) as caught:
        npz_file.read(path, build, 'test file')
    assert str(caught.value).startswith(f'{path}: ') and '\n' not in str(caught.value)
    return str(caught.value)


def test_unreadable_files_are_named(tmp_path):
    path = tmp_path / 'file'
    assert message(path).endswith('No such file; give a test file')
    npz_file.write(path, {}, ARRAYS)
    whole = path.read_bytes()
    path.write_bytes(b'')
    assert message(path).endswith('this is no test file: it is empty')
    path.write_bytes(b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n')
    assert 'this is no test file: it is a pointer of Git LFS' in message(path)
    for content in (b'no archive', whole[:-200]):
        path.write_bytes(content)
        assert 'damaged test file' in message(path)
    np.savez(path.open('wb'), header=np.array({'kind': 'test'}, object))  # a pickle, which is not opened
    assert 'allow_pickle' in message(path)


def test_whatever_is_built_from_a_file_names_it_too(tmp_path):
    path = tmp_path / 'file'
    npz_file.write(path, {}, ARRAYS)

    def refuse(header, arrays):
        raise UserError('of another kind')

    assert message(path, refuse) == f'{path}: of another kind'
    assert 'damaged test file (KeyError' in message(path, lambda header, arrays: header['kind'])


# Archives may claim any size.


def archive(path, arrays, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, 'w', method) as file:
        for name, array in arrays.items():
            with file.open(f'{name}.npy', 'w') as entry:
                np.lib.format.write_array(entry, np.asarray(array))
    return path


def test_what_is_larger_unpacked_by_far_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_file, '_HARMLESS', 100_000)
    path = archive(tmp_path / 'file', {'a': np.zeros(200_000, np.uint8)})
    tracemalloc.start()
    try:
        assert 'it would be 0 MiB when unpacked, and has 0.0 MiB' in message(path)
        assert tracemalloc.get_traced_memory()[1] < 150_000
    finally:
        tracemalloc.stop()


def test_archives_that_were_compressed_as_numpy_does_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_file, '_HARMLESS', 0)
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    np.savez_compressed(tmp_path / 'file.npz', header=np.array('{"kind": "test"}'), a=values)
    header, arrays = npz_file.read(tmp_path / 'file.npz', pair, 'test file')
    assert header == {'kind': 'test'}
    np.testing.assert_array_equal(arrays['a'], values)


@pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path, method):
    """Their readers unpack a piece whole, of whatever size."""
    assert 'compressed in a way that NumPy does not use' in message(archive(tmp_path / 'file', ARRAYS, method))


def test_long_headers_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_file, '_HARMLESS_HEADER', 1000)
    path = archive(tmp_path / 'file', {'header': '{}' + ' ' * 1000})
    assert 'its header would have' in message(path)


def test_one_array_is_no_archive(tmp_path):
    with open(tmp_path / 'file', 'wb') as file:
        np.save(file, np.zeros(3))
    assert 'this is no .npz file' in message(tmp_path / 'file')


def test_nested_headers_are_refused(tmp_path):
    np.savez(tmp_path / 'file.npz', header=np.array('[' * 100_000))
    assert 'damaged test file (RecursionError' in message(tmp_path / 'file.npz')
