"""Files of PyTorch with more in them than tensors. `tests/feature_networks/test_weight_files.py` has state dicts."""

import collections

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
