"""ONNX files, run by onnxruntime: they draw what the network draws, official numbers included; no part is dead."""

import collections
import json

import jax
import numpy as np
import pytest

import reference_case
import tiny
from stylegan_jax import ImageConfig, UserError
from stylegan_jax.conversion import onnx_file, onnx_graph, onnx_runtime
from stylegan_jax.storage import official

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

MOST = 1e-4
GREY = ImageConfig(16, base_shape=(3, 4), channels=1)
LABELLED = ImageConfig(8, label_dim=3)
# name: (configuration, fields of the generator, arguments of both sides)
NETWORKS = {
    'own truncation': ('F', {}, {}),
    'another truncation': ('F', {}, {'psi': 0.4, 'cutoff': 3}),
    'no truncation': ('F', {}, {'psi': 1}),
    'average w': ('F', {}, {'psi': 0, 'cutoff': 6}),
    'no noise': ('F', {}, {'noise': 'none', 'psi': 0.6}),
    'lowest stage': ('F', {}, {'lod': 2}),
    'fade of a lower stage': ('F', {}, {'lod': 1.3}),
    'labels': ('F', {'image': LABELLED}, {}),
    'labels without mapping layers': ('F', {'image': LABELLED, 'mapping_layers': 0}, {}),
    'latents as they are': ('F', {'image': ImageConfig(8), 'normalize_latents': False}, {'psi': 0.9}),
    'grey and non-square': ('F', {'image': GREY}, {'lod': 0.25}),
    'B': ('B', {'image': ImageConfig(8)}, {}),
    'C': ('C', {'image': ImageConfig(8)}, {}),
    'D': ('D', {}, {'lod': 0.5}),
    'A': ('A', {}, {'lod': 0.75}),
    'A with labels, grey and non-square': ('A', {'image': ImageConfig(8, (2, 4), 1, 3)}, {}),
    'no blur': ('F', {'image': ImageConfig(8), 'blur_filter': ()}, {}),
    'long blur': ('F', {'image': ImageConfig(8), 'blur_filter': (1, 3, 5, 2, 4)}, {}),
    'up convolutions reversed': ('F', {'flip_from': 8}, {}),
    'plain rectifiers': ('F', {'image': ImageConfig(8), 'nonlinearity': 'relu', 'mapping_nonlinearity': 'relu'}, {}),
    'pixel norm': ('F', {'image': ImageConfig(8), 'use_pixel_norm': True, 'use_instance_norm': False}, {}),
}


def latents(G, count=3):
    label = np.arange(count) % G.label_dim if G.label_dim else None
    return np.asarray(tiny.normal(count, G.z_dim)), label


def check_parts(path):
    """Every input, constant and result of an operator is used, and all operators are of the standard."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    used = collections.Counter(name for node in graph.node for name in node.input) + collections.Counter(['images'])
    made = [value.name for value in [*graph.input, *graph.initializer]] + [
        o for node in graph.node for o in node.output
    ]
    assert not set(made) - set(used) and len(set(made)) == len(made)
    assert {node.domain for node in graph.node} == {''} and [o.domain for o in model.opset_import] == ['']
    return {value.name for value in graph.input}


@pytest.mark.parametrize('name', NETWORKS)
def test_images_are_those_of_the_network(name, tmp_path):
    letter, fields, arguments = NETWORKS[name]
    G = tiny.generator(tiny.generator_config(letter, **fields))
    path = tmp_path / 'faces.onnx'
    onnx_file.export(G, path, **arguments)
    z, label = latents(G)
    np.testing.assert_allclose(onnx_runtime.draw(path, z, label), G(z, label, **arguments), rtol=0, atol=MOST)
    assert check_parts(path) == {'z'} | ({'label'} if G.label_dim else set())


def official_images():
    names = [(case, name) for case in reference_case.CASES for name in reference_case.open_case(case)[0]]
    return [(case, name) for case, name in names if name.startswith(('images_lod', 'images_psi'))]


@pytest.mark.parametrize('case, name', official_images())
def test_images_are_the_official_ones(case, name, tmp_path):
    arrays, _ = reference_case.open_case(case)
    G = official.load(reference_case.pickle_path(case))
    if name.startswith('images_lod'):
        arguments = {'lod': float(name.removeprefix('images_lod'))} | ({} if G.config.is_progan else {'psi': 1})
    else:
        psi, cutoff = name.removeprefix('images_psi').split('_cut')
        arguments = {'psi': float(psi), 'cutoff': int(cutoff)}
    onnx_file.export(G, tmp_path / 'faces.onnx', **arguments)
    images = onnx_runtime.draw(tmp_path / 'faces.onnx', arrays['latents'], arrays['labels'] if G.label_dim else None)
    images = reference_case.repeat(images, arrays[name].shape[-1] // images.shape[2])  # official ones are full size
    assert reference_case.relative_error(images, reference_case.channels_last(arrays[name])) <= 1e-5


@pytest.fixture
def G():
    return tiny.generator(tiny.generator_config())


def test_psi_and_noise_as_inputs(G, tmp_path):
    path = tmp_path / 'faces.onnx'
    onnx_file.export(G, path, psi='input', cutoff=2, noise='inputs', lod=1)
    assert check_parts(path) == {'z', 'psi', 'noise0', 'noise1', 'noise2', 'noise3'}
    z, _ = latents(G)
    for psi in (0.3, 1.0):
        noise = [np.asarray(tiny.normal(1 + 2 * (i % 2), *G.config.noise_shape(i)[1:], seed=i)) for i in range(4)]
        images = G(z, psi=psi, cutoff=2, noise=noise, lod=1)
        np.testing.assert_allclose(onnx_runtime.draw(path, z, psi=psi, noise=noise), images, rtol=0, atol=MOST)


@pytest.mark.parametrize('letter', 'FB')
def test_ws_as_inputs(letter, tmp_path):
    G, path = tiny.generator(tiny.generator_config(letter)), tmp_path / 'faces.onnx'
    onnx_file.export(G, path, inputs='ws', lod=0.5)
    assert check_parts(path) == {'ws'}
    ws = np.asarray(tiny.normal(2, G.num_ws, G.w_dim))
    np.testing.assert_allclose(onnx_runtime.draw(path, ws), G.synthesize(ws, lod=0.5), rtol=0, atol=MOST)


def test_batches_of_any_size_from_one_file(G, tmp_path):
    onnx_file.export(G, tmp_path / 'faces.onnx')
    z, _ = latents(G, 5)
    five = onnx_runtime.draw(tmp_path / 'faces.onnx', z)
    np.testing.assert_allclose(onnx_runtime.draw(tmp_path / 'faces.onnx', z[3:4]), five[3:4], rtol=0, atol=1e-5)


def test_float16_halves_the_file(tmp_path):
    G = tiny.generator(tiny.generator_config(fmap_base=256, fmap_max=32))
    sizes, images = {}, {}
    z, _ = latents(G)
    for dtype in ('float32', 'float16'):
        path = tmp_path / f'{dtype}.onnx'
        onnx_file.export(G, path, dtype=dtype)
        check_parts(path)
        sizes[dtype], images[dtype] = path.stat().st_size, onnx_runtime.draw(path, z)
    assert sizes['float16'] < 0.6 * sizes['float32']
    difference = np.abs(images['float16'] - images['float32']).max() / np.abs(images['float32']).max()
    assert 1e-5 < difference < onnx_runtime.BOUNDS['float16']


def test_a_weight_beyond_float16_is_refused(tmp_path):
    G = tiny.generator(tiny.generator_config(fmap_base=256, fmap_max=32))
    G = jax.tree.map(lambda x: x * 1e8, G)
    with pytest.raises(UserError, match='^dtype=float16: .*range'):
        onnx_file.export(G, tmp_path / 'faces.onnx', dtype='float16')
    assert not list(tmp_path.iterdir())


def test_file_says_what_it_is(tmp_path):
    G = tiny.generator(tiny.generator_config(image=LABELLED))
    onnx_file.export(G, tmp_path / 'faces.onnx', psi=0.5)
    model = onnx.load(tmp_path / 'faces.onnx')
    (about,) = (json.loads(entry.value) for entry in model.metadata_props)
    assert about['config']['z_dim'] == G.z_dim and (about['psi'], about['cutoff'], about['lod']) == (0.5, 4, 0)
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {'z': ['N', 6], 'label': ['N', 3], 'images': ['N', 3, 8, 8]}


def test_files_are_the_same_to_the_bit(G, tmp_path):
    for name in 'ab':
        onnx_file.export(G, tmp_path / name)
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()


WRONG = [
    ('F', {'inputs': 'w'}, "^inputs='w': choose"),
    ('F', {'noise': 'random'}, '^noise='),
    ('F', {'dtype': 'bfloat16'}, '^dtype='),
    ('F', {'psi': 'free'}, '^psi='),
    ('F', {'psi': float('nan')}, '^psi='),
    ('F', {'cutoff': -1}, '^cutoff='),
    ('F', {'cutoff': 1.5}, '^cutoff='),
    ('F', {'lod': 3}, '^lod='),
    ('F', {'lod': 'full'}, '^lod='),
    ('F', {'psi': 'input', 'cutoff': 0}, '^psi=input: no layer is truncated'),
    ('B', {'psi': 'input', 'cutoff': 0}, '^psi=input: no layer is truncated'),
    ('F', {'inputs': 'ws', 'psi': 0.5}, '^psi=0.5: ws are used as they are'),
    ('F', {'inputs': 'ws', 'cutoff': 2}, '^cutoff=2: ws'),
    ('D', {'noise': 'inputs'}, '^noise=inputs: this network has no noise'),
    ('A', {'noise': 'inputs'}, '^noise=inputs: this network has no noise'),
    ('A', {'psi': 0.5}, '^psi=0.5: a Progressive GAN'),
    ('A', {'inputs': 'ws'}, '^inputs=ws: a Progressive GAN'),
]


@pytest.mark.parametrize('letter, arguments, message', WRONG)
def test_wrong_arguments(letter, arguments, message, tmp_path):
    G = tiny.generator(tiny.generator_config(letter))
    with pytest.raises(UserError, match=message):
        onnx_file.export(G, tmp_path / 'faces.onnx', **arguments)
    assert not list(tmp_path.iterdir())


def test_networks_that_no_file_can_hold(G, tmp_path):
    path = tmp_path / 'faces.onnx'
    with pytest.raises(UserError, match='a generator, not a discriminator'):
        onnx_file.export(tiny.discriminator(tiny.discriminator_config()), path)
    with pytest.raises(UserError, match='depend on no latent'):
        onnx_file.export(tiny.generator(tiny.generator_config(use_styles=False)), path)
    with pytest.raises(UserError, match='not finite'):
        onnx_file.export(jax.tree.map(lambda x: x * np.float32('nan'), G), path)
    assert not list(tmp_path.iterdir())


def test_too_large_a_network_is_refused_before_it_is_written(G, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, '_MOST_BYTES', 1000)
    with pytest.raises(UserError, match='2 GiB; store weights in float16'):
        onnx_file.export(G, tmp_path / 'faces.onnx')


def test_two_values_may_not_have_one_name():
    graph = onnx_graph.Graph()
    graph.input('z', 'N', 3)
    with pytest.raises(AssertionError, match='name z'):
        graph.node('Relu', 'z', name='z')


def test_a_file_that_exists_is_kept_if_the_new_one_fails(G, tmp_path, monkeypatch):
    path = tmp_path / 'faces.onnx'
    path.write_bytes(b'older')

    def fails(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx.checker, 'check_model', fails)
    with pytest.raises(KeyboardInterrupt):
        onnx_file.export(G, path)
    assert path.read_bytes() == b'older' and len(list(tmp_path.iterdir())) == 1


def test_without_the_package_the_error_says_what_to_install(G, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'onnx', None)
    with pytest.raises(UserError, match=r'package onnx; .*stylegan_jax\[onnx\]'):
        onnx_file.export(G, tmp_path / 'faces.onnx')
