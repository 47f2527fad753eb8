"""Drawing with ONNX files: wrong arguments, damaged and foreign files. What they draw is in test_onnx_file.py."""

import sys

import numpy as np
import pytest

import tiny
from stylegan_jax import ImageConfig, UserError
from stylegan_jax.conversion import onnx_file, onnx_runtime

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp('onnx') / 'faces.onnx'
    G = tiny.generator(tiny.generator_config(image=ImageConfig(8, label_dim=3)))
    onnx_file.export(G, path, psi='input')
    return path


Z = np.zeros((2, 6), np.float32)
WRONG = [
    ((Z[:, :5],), {'psi': 1}, r'^z has shape \[2, 5\]; give \[N, 6\]'),
    ((Z[0],), {'psi': 1}, '^z has shape'),
    ((Z,), {}, '^this ONNX file takes psi; give it'),
    ((Z, [0, 3]), {'psi': 1}, '^class 3 does not exist'),
    ((Z, [0]), {'psi': 1}, '^label has shape'),
    ((Z,), {'psi': 1, 'noise': [np.zeros((1, 4, 4, 1))]}, '^this ONNX file takes no noise0; its inputs are'),
]


@pytest.mark.parametrize('arguments, named, message', WRONG)
def test_wrong_arguments(path, arguments, named, message, unchecked_shapes):
    with pytest.raises(UserError, match=message):
        onnx_runtime.draw(path, *arguments, **named)


def test_a_label_for_a_network_without_any(tmp_path):
    onnx_file.export(tiny.generator(tiny.generator_config('A', 8)), tmp_path / 'faces.onnx')
    with pytest.raises(UserError, match='network without labels'):
        onnx_runtime.draw(tmp_path / 'faces.onnx', Z, [0, 1])


def test_description(path):
    inputs, drawing, weights = onnx_runtime.describe(path)
    assert inputs == 'inputs: z [N, 6], label [N, 3], psi []; result: images [N, 3, 8, 8]'
    assert drawing == 'level of detail 0; noise: const; truncation: psi input, in the first 4 layers'
    assert weights == 'weights: float32'


def damaged(content):
    yield b''
    yield b'not a network'
    yield bytes(1000)
    yield b'PK\x03\x04' + content
    for share in (0.01, 0.5, 0.99):
        yield content[: int(share * len(content))]
    yield content[:1000] + content[3000:]
    yield content[2000:] + content[:2000]


def test_damaged_files_are_one_line_each(path, tmp_path, capfd):
    content, other = path.read_bytes(), tmp_path / 'other.onnx'
    for number, wrong in enumerate(damaged(content)):
        other.write_bytes(wrong)
        for function in (onnx_runtime.describe, lambda path: onnx_runtime.draw(path, Z, psi=1)):
            with pytest.raises(UserError) as error:
                function(other)
            assert str(error.value).startswith(f'{other}: ') and '\n' not in str(error.value), number
    assert capfd.readouterr() == ('', '')


def test_foreign_and_missing_files(tmp_path):
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    values = [helper.make_tensor_value_info(name, floats, ['N', 6]) for name in ('z', 'images')]
    node = helper.make_node('Relu', ['z'], ['images'])
    opset = [helper.make_opsetid('', 17)]
    model = helper.make_model(helper.make_graph([node], 'g', values[:1], values[1:]), opset_imports=opset, ir_version=8)
    onnx.save(model, tmp_path / 'foreign.onnx')
    with pytest.raises(UserError, match='not one of stylegan_jax'):
        onnx_runtime.draw(tmp_path / 'foreign.onnx', Z)
    with pytest.raises(UserError, match='no such file'):
        onnx_runtime.describe(tmp_path / 'none.onnx')


def test_without_the_package_the_error_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(UserError, match=r'package onnxruntime; .*stylegan_jax\[onnx\]'):
        onnx_runtime.describe(path)


def test_a_foreign_file_is_not_computed(tmp_path, monkeypatch):
    """Optimising a file computes what depends on no input; that is done to files of this package only."""
    node = onnx.helper.make_node('ConstantOfShape', ['shape'], ['images'])
    result = onnx.helper.make_tensor_value_info('images', onnx.TensorProto.FLOAT, [4])
    shape = onnx.helper.make_tensor('shape', onnx.TensorProto.INT64, [1], [4])
    graph = onnx.helper.make_graph([node], 'other', [], [result], [shape])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, tmp_path / 'other.onnx')
    levels, session = [], onnxruntime.InferenceSession

    def opened(path, options, **others):
        levels.append(options.graph_optimization_level)
        return session(path, options, **others)

    monkeypatch.setattr(onnxruntime, 'InferenceSession', opened)
    for use in onnx_runtime.describe, lambda path: onnx_runtime.draw(path, np.zeros((1, 2))):
        with pytest.raises(UserError, match='is not one of stylegan_jax'):
            use(tmp_path / 'other.onnx')
    assert levels == [onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL] * 2
