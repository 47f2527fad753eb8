"""Network files of other projects, and pages and pointers in place of files, are named for what they are."""

import gzip
import io
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest
import safetensors.numpy

import reference_case
import stylegan_jax as sgj
import tiny
from stylegan_jax.feature_networks.classifier import Classifier
from stylegan_jax.storage import foreign_networks, official_pickle


def torch_zip(state):
    """As torch.save has written since PyTorch 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps(state, 2))
        archive.writestr('archive/data/0', bytes(16))
        archive.writestr('archive/version', b'3\n')
    return file.getvalue()


def torch_stream(state):
    """As torch.save wrote before: a number, a version, facts of the machine, the state, storages."""
    parts = (0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}, state, [])
    return b''.join(pickle.dumps(part, 2) for part in parts)


def persistent(monkeypatch, source):
    """As NVIDIA's PyTorch code pickles networks: with the source code of their module."""
    module = types.ModuleType('torch_utils.persistence')

    def _reconstruct_persistent_obj(meta):
        raise AssertionError('executed')

    _reconstruct_persistent_obj.__module__, _reconstruct_persistent_obj.__qualname__ = (
        module.__name__,
        ('_reconstruct_persistent_obj'),
    )
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    monkeypatch.setitem(sys.modules, 'torch_utils', types.ModuleType('torch_utils'))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    class Network:
        def __reduce__(self):
            meta = {'type': 'class', 'version': 6, 'module_src': source, 'class_name': 'Generator', 'state': {}}
            return _reconstruct_persistent_obj, (meta,)

    return pickle.dumps({'G': Network(), 'D': None, 'G_ema': None}, 4)


def contents(monkeypatch):
    weights = {'weight': 0}
    return {
        'stylegan3': (persistent(monkeypatch, 'class SynthesisInput(torch.nn.Module):'), 'a network of StyleGAN3'),
        'stylegan2-ada': (persistent(monkeypatch, 'class SynthesisBlock(torch.nn.Module):'), 'a network of StyleGAN2'),
        'built upon it': (persistent(monkeypatch, 'class Other:'), "a network of NVIDIA's PyTorch code"),
        'rosinality 2': (torch_zip({'g': weights, 'g_ema': weights, 'latent_avg': 0}), 'rosinality/stylegan2-pytorch'),
        'lucidrains': (torch_zip({'GAN': {'GE.initial_block': 0}}), 'lucidrains/stylegan2-pytorch'),
        'lernapparat': (torch_stream({'g_synthesis.blocks.4x4.const': 0}), "lernapparat's PyTorch port"),
        'weights': (torch_zip({'features.0.weight': weights}), 'a file of PyTorch'),
        'old weights': (torch_stream({'features.0.weight': weights}), 'a file of PyTorch'),
        'safetensors': (safetensors.numpy.save({'weight': np.zeros(3, np.float32)}), 'a file of safetensors'),
        'keras': (b'\x89HDF\r\n\x1a\n' + bytes(100), 'a file of HDF5'),
        'picture': (b'\x89PNG\r\n\x1a\n' + bytes(100), r'a picture \(PNG\)'),
        'page': (b'<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title>', r'a web page \(HTML\)'),
        'pointer': (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n', 'a pointer of Git LFS'),
        'gzip': (gzip.compress(b'text'), 'a file that is packed with gzip; unpack it first'),
        'empty': (b'', 'a file that is empty'),
    }


with pytest.MonkeyPatch.context() as patch:
    NAMES = list(contents(patch))


@pytest.mark.parametrize('name', NAMES)
def test_a_file_is_named_for_what_it_is(tmp_path, monkeypatch, name):
    content, kind = contents(monkeypatch)[name]
    path = tmp_path / 'network.pkl'
    path.write_bytes(content)
    for call in (sgj.load, lambda path: sgj.load(path, 'D'), Classifier.load):
        with pytest.raises(sgj.UserError, match=rf'network\.pkl: this is .*{kind}.*; give'):
            call(path)


@pytest.mark.parametrize('name', ['network.onnx', 'network.stablehlo'])
def test_programs_are_named_and_networks_are_known_by_their_contents(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b'\x08\x08\x12\x0cstylegan_jax')
    with pytest.raises(sgj.UserError, match=rf'{name}: this is an? .*, which is run by others; .*; give an official'):
        sgj.load(path)
    network = tiny.generator(tiny.generator_config())
    for form in '.npz', '.safetensors':
        network.save(tmp_path / 'network')
        sgj.conversion.convert(tmp_path / 'network', tmp_path / f'network{form}')
        (tmp_path / f'network{form}').replace(path)
        assert tiny.trees_equal(sgj.load(path).params, network.params)


def test_networks_that_can_be_read_are_not_foreign(tmp_path):
    tiny.generator(tiny.generator_config()).save(tmp_path / 'network.npz')
    for path in (tmp_path / 'network.npz', reference_case.pickle_path('c32')):
        assert foreign_networks.kind_of(path) is None
    for content in (
        torch_stream({'generator': 0, 'g_running': {}}),
        torch_zip({'generator.to_rgb.0.conv.weight_orig': 0}),
        torch_zip({'models': {'generator_smooth': {}}}),
    ):
        (tmp_path / 'port.pth').write_bytes(content)
        assert foreign_networks.kind_of(tmp_path / 'port.pth') is None
    np.savez(tmp_path / 'other.npz', a=np.zeros(3))
    assert foreign_networks.kind_of(tmp_path / 'other.npz') is None
    with pytest.raises(sgj.UserError, match='this archive is not a network saved by stylegan_jax'):
        sgj.load(tmp_path / 'other.npz')


@pytest.mark.parametrize('which', ['ema', 'D'])
def test_networks_of_stylegan2_in_tensorflow_are_named(tmp_path, monkeypatch, which):
    network = official_pickle.OfficialNetwork()
    name = 'D_stylegan2' if which == 'D' else 'G_main'
    network.state = {'version': 4, 'build_func_name': name, 'static_kwargs': {}, 'variables': []}
    monkeypatch.setattr(official_pickle, 'read', lambda path: (network,) * 3)
    path = tmp_path / 'network.pkl'
    path.write_bytes(b'\x80\x02N.')
    with pytest.raises(sgj.UserError, match=r'network\.pkl: this is a network of StyleGAN2 \(state of version 4\)'):
        sgj.load(path, which)
