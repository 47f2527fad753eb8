"""Files of PyTorch with more in them than tensors. `tests/feature_networks/test_weight_files.py` has state dicts."""

import collections
import copy
import zipfile

import numpy as np
import pytest

import torch_writer
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import torch_pickle

CONTAINERS = pytest.mark.parametrize('container', ['zip', 'stream'])
ARRAYS = {'first': np.arange(6, dtype=np.float32).reshape(2, 3), 'second': np.float32([7, 8])}
OPTIMIZER = {
    'state': {0: {'step': 3, 'exp_avg': torch_writer.Tensor.of(ARRAYS['second'])}},
    'param_groups': [{'lr': 1e-3, 'betas': (0.0, 0.99), 'amsgrad': False, 'foreach': None, 'params': [0, 1]}],
}


def checkpoint(path, container):
    state = collections.OrderedDict((name, torch_writer.Tensor.of(array)) for name, array in ARRAYS.items())
    content = {'models': {'G': state}, 'optimizer': OPTIMIZER, 'iter': 12, 'name': 'run', 'done': True}
    torch_writer.write(path, content, container=container)
    return path


@CONTAINERS
def test_a_checkpoint_has_all_that_was_saved(tmp_path, container):
    with torch_pickle.opened(checkpoint(tmp_path / 'file', container)) as file:
        content = file.content
        assert content['iter'] == 12 and content['name'] == 'run' and content['done'] is True
        optimizer = content['optimizer']
        assert optimizer['param_groups'] == OPTIMIZER['param_groups'] and optimizer['state'][0]['step'] == 3
        found = file.arrays(content['models']['G'] | {'moment': optimizer['state'][0]['exp_avg']})
    assert found.keys() == {'first', 'second', 'moment'}
    np.testing.assert_array_equal(found['first'], ARRAYS['first'])
    np.testing.assert_array_equal(found['moment'], ARRAYS['second'])


@CONTAINERS
def test_only_the_tensors_that_are_asked_for_are_read(tmp_path, container, monkeypatch):
    read, numbers = [], torch_pickle._numbers
    monkeypatch.setattr(
        torch_pickle, '_numbers', lambda storage, data: read.append(len(data)) or numbers(storage, data)
    )
    with torch_pickle.opened(checkpoint(tmp_path / 'file', container)) as file:
        assert not read
        file.arrays({'second': file.content['models']['G']['second']})
    assert read == [8]


@CONTAINERS
def test_names_beside_tensors_are_refused_wherever_they_stand(tmp_path, container):
    class Other:
        def __reduce__(self):
            return print, ('executed',)

    torch_writer.write(tmp_path / 'file', {'a': [{'b': Other()}]}, container=container)
    with pytest.raises(UserError, match='print, which is no part of weights; refused'):
        with torch_pickle.opened(tmp_path / 'file'):
            pass


def test_storages_that_share_their_bytes_are_refused(tmp_path):
    """The second one has an entry of its own in the archive's list, which points to the bytes of the first."""
    first, second = (torch_writer.Tensor.of(np.full(1000, value, np.float32)) for value in (1, 2))
    path = tmp_path / 'file'
    torch_writer.write(path, {'first': first, 'second': second})
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in entries.items():
            if not name.endswith('data/1'):
                archive.writestr(name, content)
        shared = copy.copy(next(entry for entry in archive.filelist if entry.filename.endswith('data/0')))
        shared.filename = shared.filename[:-1] + '1'
        archive.filelist.append(shared)
        archive.NameToInfo[shared.filename] = shared
    with pytest.raises(UserError, match='its storages are larger than the file'):
        with torch_pickle.opened(path):
            pass
