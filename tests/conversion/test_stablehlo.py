"""Exported programs against the networks themselves, also in a process that has JAX alone, and damaged files."""

import dataclasses
import hashlib
import pathlib
import random
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy

import tiny
from damaged_files import damaged
from stylegan_jax import UserError, load
from stylegan_jax.config import ImageConfig

pytest.importorskip('flatbuffers')

from stylegan_jax.conversion import stablehlo

# A program and the images that it drew, as JAX 0.10.2 wrote them.
WRITTEN_BEFORE = pathlib.Path(__file__).parent / 'written_by_jax_0_10_2.stablehlo'
PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'stablehlo.md'
# Runs a program as users do, in a process to which this package does not exist.
ALONE = """
import sys


class Refusing:
    def find_spec(self, name, *_):
        if name.partition('.')[0] in ('stylegan_jax', 'flax', 'jaxtyping'):
            raise ImportError(f'{name} is not here')


sys.meta_path.insert(0, Refusing())
"""


def images_differ(path, generator, lod=0.0, count=3, psi=None, **arguments):
    """Largest difference of images of a program and of the network, relative to the largest value."""
    latents, label = inputs_of(generator, count)
    expected = np.asarray(generator(latents, label, lod=lod, psi=psi, **arguments))
    found = np.asarray(stablehlo.draw(path, latents, label))
    assert found.shape == expected.shape and found.dtype == expected.dtype
    return np.max(np.abs(found - expected)) / np.max(np.abs(expected))


def inputs_of(generator, count):
    label = np.eye(count, generator.label_dim, dtype=np.float32) if generator.label_dim else None
    return tiny.normal(count, generator.z_dim), label


NETWORKS = {
    'labels': (tiny.generator_config(image=ImageConfig(8, label_dim=3)), 0.0),
    'grey': (tiny.generator_config(image=ImageConfig(8, channels=1)), 0.0),
    'not square': (tiny.generator_config(image=ImageConfig(8, base_shape=(3, 4))), 0.0),
    'fade': (tiny.generator_config(), 1.4),
    'A': (tiny.generator_config('A', 8, image=ImageConfig(8, label_dim=2)), 0.6),
    'B': (tiny.generator_config('B', 8), 0.0),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_program_draws_what_its_network_draws(name, tmp_path):
    config, lod = NETWORKS[name]
    generator = tiny.generator(config)
    stablehlo.export(generator, tmp_path / 'network', lod=lod)
    assert images_differ(tmp_path / 'network', generator, lod) < 1e-5


def test_program_of_wide_layers_takes_batches_of_any_size(tmp_path):
    """The number of features and of pixels decides on the form of a convolution."""
    generator = tiny.generator(tiny.generator_config(resolution=8, fmap_base=4096, fmap_max=128))
    stablehlo.export(generator, tmp_path / 'network', psi=0.7, cutoff=2)
    for count in (1, 5):
        assert images_differ(tmp_path / 'network', generator, count=count, psi=0.7, cutoff=2) < 1e-5


def test_inputs_of_all_kinds(tmp_path):
    generator = tiny.generator(tiny.generator_config(resolution=8, image=ImageConfig(8, label_dim=3)))
    latents, label = inputs_of(generator, 2)
    noise = [tiny.normal(2, *generator.config.noise_shape(layer)[1:], seed=layer) for layer in range(2)]
    path = tmp_path / 'network'
    stablehlo.export(generator, path, lod=1.0, psi='input', noise='inputs')
    for psi in (1.0, 0.3):
        expected = generator(latents, label, psi=psi, noise=noise, lod=1.0)
        np.testing.assert_allclose(stablehlo.draw(path, latents, label, psi=psi, noise=noise), expected, atol=1e-5)
    assert stablehlo.describe(path) == [
        'for cpu, cuda, rocm, tpu',
        'takes label: float32[batch, 3]',
        'takes noise: float32[batch, 4, 4, 1] float32[batch, 4, 4, 1]',
        'takes psi: float32[]',
        'takes z: float32[batch, 6]',
        'returns images: float32[batch, 4, 4, 3]',
    ]
    for arguments in ({}, {'psi': 0.5}, {'psi': 0.5, 'noise': noise[:1]}, {'psi': 0.5, 'noise': noise[0]}):
        with pytest.raises(UserError, match='takes an input|cannot be run with these inputs'):
            stablehlo.draw(path, latents, label, **arguments)


def test_weights_as_arguments_may_be_those_of_another_network(tmp_path):
    config = tiny.generator_config(resolution=8)
    generator, path = tiny.generator(config), tmp_path / 'network'
    ws = generator.truncate(generator.map(tiny.normal(2, 6)))
    stablehlo.export(generator, path, inputs='ws', noise='none', weights='arguments')
    stored = safetensors.numpy.load_file(stablehlo.weights_path(path))
    assert stored.keys() == generator.named_arrays().keys()
    np.testing.assert_allclose(stablehlo.draw(path, ws), generator.synthesize(ws, noise='none'), atol=1e-5)
    other = tiny.filled(generator, seed=5)
    arrays = {name: np.asarray(array) for name, array in other.named_arrays().items()}
    safetensors.numpy.save_file(arrays, stablehlo.weights_path(path))
    np.testing.assert_allclose(stablehlo.draw(path, ws), other.synthesize(ws, noise='none'), atol=1e-5)
    weights = next(line for line in stablehlo.describe(path) if 'weights' in line)
    assert weights == f'takes weights: {len(stored)} arrays of {sum(a.size for a in stored.values()):,} numbers'
    with pytest.raises(UserError, match='takes no input label|takes no label'):
        stablehlo.draw(path, ws, [0, 1])
    pathlib.Path(stablehlo.weights_path(path)).write_bytes(b'\0' * 20)
    with pytest.raises(UserError, match='damaged .safetensors file'):
        stablehlo.draw(path, ws)
    pathlib.Path(stablehlo.weights_path(path)).unlink()
    with pytest.raises(UserError, match='No such file'):
        stablehlo.draw(path, ws)


def test_example_of_the_page_runs_with_jax_alone(tmp_path):
    generator = load('toyfaces')
    stablehlo.export(generator, tmp_path / 'toyfaces.stablehlo')
    example = re.search(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)[1]
    code = ALONE + example + "\nimport numpy\nnumpy.savez('drawn.npz', z=z, images=images)\n"
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, text=True, capture_output=True)
    assert not done.returncode, done.stderr
    drawn = np.load(tmp_path / 'drawn.npz')
    np.testing.assert_allclose(drawn['images'], generator(drawn['z']), atol=1e-4)


def test_program_tells_nothing_about_the_machine(tmp_path):
    stablehlo.export(tiny.generator(tiny.generator_config(resolution=8)), tmp_path / 'network')
    content = (tmp_path / 'network').read_bytes()
    assert not re.search(rb'\w\.py\b', content)
    assert str(pathlib.Path(stablehlo.__file__).parent).encode() not in content


def test_program_contains_what_jax_promises_to_read_again(tmp_path):
    """`jax.export` refuses other custom calls by itself; this has the operations that depend on the platform."""
    generator = tiny.generator(tiny.generator_config(resolution=8))
    stablehlo.export(generator, tmp_path / 'network')
    exported = stablehlo._read(tmp_path / 'network')
    assert exported.platforms == stablehlo.PLATFORMS and not exported.disabled_safety_checks
    assert set(re.findall(r'custom_call @(\w+)', exported.mlir_module())) <= {'shape_assertion'}
    assert re.search(r'stablehlo\.case', exported.mlir_module())


def test_program_of_an_older_jax_draws_what_it_drew():
    expected = np.load(WRITTEN_BEFORE.with_suffix('.npz'))
    images = stablehlo.draw(WRITTEN_BEFORE, expected['z'], [0, 1])
    np.testing.assert_allclose(images, expected['images'], atol=1e-5 * np.max(np.abs(expected['images'])))


def test_forms_for_accelerators_draw_the_same(tmp_path, monkeypatch):
    """A program for another platform alone holds its forms of the operations, and a CPU computes them as well."""
    generator = tiny.generator(tiny.generator_config(resolution=8))
    stablehlo.export(generator, tmp_path / 'network', platforms=['cuda'])
    with pytest.raises(UserError, match='cannot be run with these inputs here'):
        stablehlo.draw(tmp_path / 'network', tiny.normal(1, 6))
    exported = dataclasses.replace(stablehlo._read(tmp_path / 'network'), platforms=('cpu',))
    monkeypatch.setattr(stablehlo, '_read', lambda path: exported)
    assert images_differ(tmp_path / 'network', generator) < 1e-5


@pytest.mark.parametrize(
    'letter, arguments, match',
    [
        ('F', {'inputs': 'w'}, "inputs='w': choose one of 'z', 'ws'"),
        ('F', {'psi': 'yes'}, "psi='yes': give a number or 'input'"),
        ('F', {'psi': float('nan')}, 'psi=nan: give a number'),
        ('F', {'inputs': 'ws', 'psi': 0.7}, 'psi=0.7: leave it out: a program that takes ws'),
        ('F', {'platforms': ('cpu', 'abacus')}, 'abacus.*give some of'),
        ('F', {'platforms': 'cpu'}, 'give some of'),
        ('F', {'lod': 9.0}, 'lod=9.0'),
        ('A', {'inputs': 'ws'}, "takes 'z' only"),
        ('A', {'psi': 'input'}, 'psi: a Progressive GAN'),
        ('C', {'psi': 'input'}, 'truncates no layers'),
        ('B', {'noise': 'inputs'}, 'no noise inputs'),
    ],
)
def test_wrong_arguments(letter, arguments, match, tmp_path):
    fields = {'truncation_cutoff': None} if letter == 'C' else {}
    generator = tiny.generator(tiny.generator_config(letter, 8, **fields))
    with pytest.raises(UserError, match=match):
        stablehlo.export(generator, tmp_path / 'network', **arguments)
    assert not list(tmp_path.iterdir())


def test_without_flatbuffers(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'flatbuffers', None)
    with pytest.raises(UserError, match=r'package flatbuffers; pip install "stylegan_jax\[export\]"'):
        stablehlo.export(tiny.generator(tiny.generator_config(resolution=8)), tmp_path / 'network')


def forged(content):
    """Puts the right digest into a file that has another content."""
    place = content.rfind(stablehlo._NAME) + len(stablehlo._NAME)
    blank = content[:place] + b'0' * 64 + content[place + 64 :]
    return content[:place] + hashlib.sha256(blank).hexdigest().encode() + content[place + 64 :]


def test_damaged_and_foreign_files_are_one_line(tmp_path):
    path = tmp_path / 'network'
    stablehlo.export(tiny.generator(tiny.generator_config(resolution=8)), path, platforms=['cpu'])
    content, chance = path.read_bytes(), random.Random(1)
    exported = jax.export.export(jax.jit(jax.numpy.sin))(jax.ShapeDtypeStruct((2,), np.float32))
    (tmp_path / 'foreign').write_bytes(exported.serialize())
    (tmp_path / 'empty').write_bytes(b'')
    (tmp_path / 'folder').mkdir()
    cases = [content[:-1], content[1:], content[: len(content) // 2], content + b'\0', content * 2]
    cases += [damaged(content, range(len(content)), chance) for _ in range(100)]
    for number, case in enumerate(cases):
        if case != content:
            (tmp_path / f'{number}').write_bytes(case)
    # A digest alone makes no program: the parser sees these.
    name = content[content.rfind(stablehlo._NAME) :][: len(stablehlo._NAME) + 64]
    (tmp_path / 'digest').write_bytes(forged(b'\x10\0\0\0' * 50 + name))
    path.unlink()
    for file in [*tmp_path.iterdir(), tmp_path / 'missing']:
        for reader in (stablehlo.describe, lambda file: stablehlo.draw(file, tiny.normal(1, 6))):
            with pytest.raises(UserError) as error:
                reader(file)
            assert '\n' not in str(error.value) and len(str(error.value)) < 400
