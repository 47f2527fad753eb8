"""Files of arrays with a header: what comes back, and one line about files that are damaged or missing."""

import os

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
