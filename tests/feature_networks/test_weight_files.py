"""Files of weights: what is read from all containers, and what is refused."""

import collections
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy

import torch_writer
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks.weight_files import read_arrays
from torch_writer import Parameter, Storage, Tensor

CONTAINERS = pytest.mark.parametrize('container', ['zip', 'stream'])


@pytest.fixture
def written(tmp_path):
    """Writes a PyTorch file and gives its path."""

    def write(content, **options):
        path = tmp_path / 'weights.pth'
        torch_writer.write(path, content, **options)
        return path

    return write


def refused(path):
    """The message that a file is refused with: one line, which begins with the path."""
    with pytest.raises(UserError) as caught:
        read_arrays(path)
    message = str(caught.value)
    assert message.startswith(f'{path}: ') and '\n' not in message and len(message) < 400
    return message


def numbers(*shape, dtype=np.float32):
    return np.random.default_rng(1).normal(size=shape).astype(dtype)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@CONTAINERS
@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize('location', ['cpu', 'cuda:0'])
def test_all_kinds_of_tensors(written, container, protocol, location):
    arrays = {
        'a.weight': numbers(4, 3, 2, 2),
        'a.bias': numbers(4, dtype=np.float16),
        'b': numbers(3, 5, dtype=np.float64),
        'count': np.int64(7),
        'none': np.zeros((0, 3), np.float32),
    }
    content = collections.OrderedDict((name, Tensor.of(array, location=location)) for name, array in arrays.items())
    assert_same(
        read_arrays(written(content, container=container, protocol=protocol)),
        {name: np.asarray(array) for name, array in arrays.items()},
    )


@CONTAINERS
def test_views_of_a_shared_storage(written, container):
    """Transposed, from an offset, with a step, and a row that is repeated."""
    values = numbers(24)
    storage = Storage(values)
    content = {
        'whole': Tensor(storage, (4, 6), (6, 1)),
        'transposed': Tensor(storage, (6, 4), (1, 6)),
        'part': Tensor(storage, (2, 3), (6, 2), offset=7),
        'row': Tensor(storage, (3, 4), (0, 1), offset=20),
    }
    whole = values.reshape(4, 6)
    assert_same(
        read_arrays(written(content, container=container)),
        {'whole': whole, 'transposed': whole.T, 'part': whole[1:3, 1::2], 'row': np.stack([whole[3, 2:]] * 3)},
    )


@CONTAINERS
def test_bfloat16_becomes_float32(written, container):
    values = np.float32([1, -2.5, 3.140625, 1e38])
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    found = read_arrays(written({'x': Tensor(Storage(halves, kind='BFloat16'), (2, 2), (2, 1))}, container=container))
    expected = (halves.astype(np.uint32) << 16).view(np.float32).reshape(2, 2)
    assert_same(found, {'x': expected})
    np.testing.assert_allclose(found['x'].ravel(), values, rtol=1e-2)


@CONTAINERS
def test_parameters_and_versions_of_modules(written, container):
    """Modules pickle parameters as such, and hang a dict of versions on the dict of tensors."""
    array = numbers(2, 3)
    content = collections.OrderedDict(x=Parameter(Tensor.of(array)))
    content._metadata = collections.OrderedDict(module={'version': 1})
    assert_same(read_arrays(written(content, container=container)), {'x': array})


@CONTAINERS
def test_state_dict_within_a_checkpoint(written, container):
    array = numbers(2, 3)
    content = {'epoch': 3, 'state_dict': collections.OrderedDict(x=Tensor.of(array))}
    assert_same(read_arrays(written(content, container=container)), {'x': array})


def test_pickles_of_pytorch_itself(tmp_path):
    """Bytes as torch.save writes them for {'w': ones(2)}, so that the writer above cannot mislead."""
    pickled = (
        b'\x80\x02}q\x00X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02('
        b'(X\x07\x00\x00\x00storageq\x03ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00'
        b'cpuq\x06K\x02tq\x07QK\x00K\x02\x85q\x08K\x01\x85q\t\x89ccollections\nOrderedDict\n'
        b'q\n)Rq\x0btq\x0cRq\rs.'
    )
    path = tmp_path / 'weights.pt'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('w/data.pkl', pickled)
        archive.writestr('w/byteorder', 'little')
        archive.writestr('w/data/0', np.ones(2, np.float32).tobytes())
    assert_same(read_arrays(path), {'w': np.ones(2, np.float32)})


class Attack:
    """What unpickling would execute."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


@CONTAINERS
@pytest.mark.parametrize(
    'place', [lambda attack: attack, lambda attack: {'x': attack}, lambda attack: {'x': Tensor(attack, (2,), (1,))}]
)
def test_nothing_is_executed(written, tmp_path, container, place):
    mark = tmp_path / 'executed'
    assert 'system, which is no part of weights; refused' in refused(written(place(Attack(mark)), container=container))
    assert not mark.exists()
    pickle.loads(pickle.dumps(Attack(mark)))  # it is a real one
    assert mark.exists()


@CONTAINERS
def test_builtins_are_refused_too(written, container):
    class Evaluated:
        def __reduce__(self):
            return eval, ('1 + 1',)

    assert 'eval, which is no part of weights; refused' in refused(written({'x': Evaluated()}, container=container))


@CONTAINERS
def test_cut_off_anywhere(written, container):
    """At every byte of the first part, then at some."""
    content = {'x': Tensor.of(numbers(40, 50)), 'y': Tensor.of(numbers(3))}
    size = written(content, container=container).stat().st_size
    for cut in [*range(300), *range(300, size, 97), size - 1]:
        refused(written(content, container=container, cut=cut))


@CONTAINERS
@pytest.mark.parametrize('count', [7, 2**40])
def test_storage_shorter_than_it_claims(written, container, count):
    content = {'x': Tensor(Storage(numbers(6), count=count), (6,), (1,))}
    assert f'storage 0 should have {count} numbers' in refused(written(content, container=container))


@CONTAINERS
@pytest.mark.parametrize(
    'shape, strides, offset',
    [((7,), (1,), 0), ((2, 3), (4, 1), 0), ((6,), (1,), 1), ((2**40, 2**40), (0, 0), 0), ((2**62,), (2**62,), 0)],
)
def test_tensor_larger_than_its_storage(written, container, shape, strides, offset):
    content = {'some.name': Tensor(Storage(numbers(6)), shape, strides, offset)}
    message = refused(written(content, container=container))
    assert 'some.name claims shape' in message and 'the 6 numbers that its storage has' in message


@CONTAINERS
@pytest.mark.parametrize(
    'shape, strides, offset', [((-1,), (1,), 0), ((2,), (-1,), 3), ((2,), (1,), -1), ((2,), (1, 1), 0)]
)
def test_improper_shapes(written, container, shape, strides, offset):
    assert 'no proper shape' in refused(
        written({'x': Tensor(Storage(numbers(6)), shape, strides, offset)}, container=container)
    )


@CONTAINERS
def test_leaping_memo_takes_no_memory(written, container, monkeypatch):
    """Python's reader would clear memory for a billion objects before it looked at the next byte."""
    leap = b'\x80\x02}r' + struct.pack('<I', 2**30) + b'.'
    monkeypatch.setattr(torch_writer, '_pickled', lambda content, protocol, rest: (leap, {}))
    assert 'not one that PyTorch writes' in refused(written({}, container=container))


@CONTAINERS
@pytest.mark.parametrize('content', [[1, 2], {}, {'x': 3}, {'x': {'y': 4}}, {1: 2}, 'text'])
def test_files_without_a_state_dict(written, container, content):
    assert 'state dict' in refused(written(content, container=container))


def test_compressed_entries_are_refused(written):
    assert 'compressed' in refused(
        written({'x': Tensor.of(np.zeros(10000, np.float32))}, compression=zipfile.ZIP_DEFLATED)
    )


def test_torchscript_and_other_orders_of_bytes_are_named(written):
    content = {'x': Tensor.of(numbers(2))}
    assert 'TorchScript' in refused(written(content, extra=[('constants.pkl', b'')]))
    assert 'order of bytes' in refused(written(content, extra=[('byteorder', b'big')]))


def test_changed_bytes_are_seen(written):
    path = written({'x': Tensor.of(numbers(1000))})
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)
    assert 'damaged' in refused(path)


@pytest.mark.parametrize('data', [b'', b'PK', b'\x80\x02', b'hello ' * 100, bytes(1000)])
def test_other_files(tmp_path, data):
    for ending in ('pth', 'pt', 'safetensors', 'npz'):
        path = tmp_path / f'file.{ending}'
        path.write_bytes(data)
        refused(path)


def test_other_zip_files(tmp_path):
    path = tmp_path / 'file.pth'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('readme.txt', 'hello')
    assert 'holds no PyTorch weights' in refused(path)


def test_missing_files_folders_and_endings(tmp_path):
    assert 'No such file' in refused(tmp_path / 'none.pth')
    (tmp_path / 'folder.pth').mkdir()
    assert 'cannot be read' in refused(tmp_path / 'folder.pth')
    assert 'end in .pth, .pt, .safetensors, .npz' in refused(tmp_path / 'weights.h5')


def test_safetensors(tmp_path):
    arrays = {
        'a.weight': numbers(4, 3),
        'half': numbers(3, dtype=np.float16),
        'double': numbers(2, dtype=np.float64),
        'count': np.array([3], np.int64),
    }
    path = tmp_path / 'weights.safetensors'
    safetensors.numpy.save_file(arrays, path)
    assert_same(read_arrays(path), arrays)
    size = path.stat().st_size
    data = path.read_bytes()
    for cut in (3, 20, size - 1):
        path.write_bytes(data[:cut])
        refused(path)
    path.write_bytes(struct.pack('<Q', 2**60) + data[8:])
    refused(path)


def test_safetensors_of_bfloat16(tmp_path):
    path = tmp_path / 'weights.safetensors'
    header = b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack('<Q', len(header)) + header + b'\x80\x3f\x20\xc0')
    assert_same(read_arrays(path), {'x': np.float32([1, -2.5])})


def test_npz_without_pickles(tmp_path):
    arrays = {'a.weight': numbers(4, 3), 'count': np.array(3)}
    path = tmp_path / 'weights.npz'
    np.savez(path, **arrays)
    assert_same(read_arrays(path), arrays)
    path.write_bytes(path.read_bytes()[:-30])
    refused(path)
    mark = tmp_path / 'executed'
    np.savez(path, x=np.array([Attack(mark)], object))
    refused(path)
    assert not mark.exists()
    with open(path, 'wb') as file:
        np.save(file, arrays['a.weight'])
    assert 'no .npz file' in refused(path)


@pytest.mark.parametrize('suffix', ['pth', 'pt', 'safetensors', 'npz'])
@pytest.mark.parametrize(
    'content, kind',
    [
        (b'<!DOCTYPE html><html>', r'a web page \(HTML\)'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n', 'a pointer of Git LFS'),
        (b'', 'empty'),
    ],
)
def test_a_page_or_pointer_in_place_of_weights_is_named(tmp_path, suffix, content, kind):
    path = tmp_path / f'weights.{suffix}'
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf'weights\.{suffix}: this is no file of weights: it is {kind}'):
        read_arrays(path)


@CONTAINERS
def test_nested_keys_are_refused_before_they_are_hashed(written, container, monkeypatch):
    """With some more of it, in pairs, hashing would have no end."""
    nested = b'\x80\x02})\x85\x85Ns.'
    monkeypatch.setattr(torch_writer, '_pickled', lambda content, protocol, rest: (nested, {}))
    assert 'one of its keys is of type tuple' in refused(written({}, container=container))
