"""Generators as ONNX files: `export` writes one with operators of the standard alone, for every runtime.

Values are float32. The file takes 'z' [N, Z] and 'label' [N, K], or 'ws' [N, L, W], and where it is asked to, 'psi' (a
number) and 'noise0', 'noise1', ... [1 or N, 1, h, w]. It returns 'images' [N, C, H, W], nominally in [-1, 1]. There is
no input that the images do not depend on.
"""

import json
import math
import numbers
import os

import jax
import numpy as np

from stylegan_jax.config import serialization
from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.conversion.onnx_graph import Graph
from stylegan_jax.conversion.onnx_layers import GeneratorGraph
from stylegan_jax.errors import UserError, require, require_choice
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runtime import atomic

# Operators are those of 2022, with the version of the file format that came with them: every runtime that is in use
# reads them, onnxruntime-web included.
_OPSET, _FORMAT = 17, 8
_MOST_BYTES = 2**31 - 2**20  # protobuf allows 2 GiB in one piece; the operators take less than 1 MiB of it
NAME = 'stylegan_jax'  # of the entry in the file's metadata


def export(
    generator: Generator,
    path: str | os.PathLike,
    *,
    lod: float = 0.0,
    inputs: str = 'z',
    psi: float | str | None = None,
    cutoff: int | None = None,
    noise: str = 'const',
    dtype: str = 'float32',
) -> None:
    """Writes a generator as an ONNX file; it appears whole or not at all.

    Args:
      generator: the network.
      path: of the file; an existing one is replaced.
      lod: level of detail, see `Generator.synthesize`.
      inputs: 'z' for latents (and labels, where the network has some), or 'ws' for intermediate latents.
      psi: truncation, see `Generator.truncate`; 'input' makes it an input of the file.
      cutoff: see `Generator.truncate`.
      noise: 'const' (the stored inputs), 'inputs' (inputs of the file), or 'none'.
      dtype: of large arrays in the file; 'float16' halves it. Values are float32 in any case.

    Raises:
      UserError: an argument does not fit the network, or the package `onnx` is missing.
    """
    onnx = _library()
    _check(generator, inputs, noise, dtype)
    config = generator.config
    require(isinstance(lod, numbers.Real), 'lod', lod, 'give a number')
    stage, alpha = stage_and_alpha(config.image, lod)
    psi, cutoff = _truncation(config, inputs, psi, cutoff)
    graph = _graph(generator, stage, alpha, inputs, psi, cutoff, noise, dtype)
    about = {'format': NAME, 'version': 1, 'kind': 'generator', 'config': serialization.to_dict(config)}
    about |= {'lod': float(lod), 'inputs': inputs, 'psi': psi, 'cutoff': cutoff, 'noise': noise, 'dtype': dtype}
    if generator.label_meaning is not None:
        about['labels'] = generator.label_meaning.to_dict()
    nbytes = sum(array.nbytes for array in graph.arrays.values())
    if nbytes > _MOST_BYTES:
        remedy = 'store weights in float16' if dtype == 'float32' else None
        raise UserError(f'{nbytes / 2**30:.1f} GiB of weights do not fit into an ONNX file of 2 GiB', remedy=remedy)
    shape = 'N', config.image.channels, *config.image.stage_shape(stage)
    content = _model(onnx, graph, shape, about).SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    with atomic.writing(path, 'wb') as file:
        file.write(content)


def _library():
    try:
        import onnx  # an optional package
        import onnx.checker
    except ImportError:
        raise UserError(
            'ONNX files need the package onnx', remedy="python -m pip install 'stylegan_jax[onnx]'"
        ) from None
    return onnx


def _check(generator, inputs, noise, dtype):
    """Raises a UserError about what no ONNX file can be made of."""
    require_choice('inputs', inputs, ('z', 'ws'))
    require_choice('noise', noise, ('const', 'inputs', 'none'))
    require_choice('dtype', dtype, ('float32', 'float16'))
    if not isinstance(generator, Generator):
        raise UserError(f'an ONNX file holds a generator, not a {type(generator).__name__.lower()}')
    config = generator.config
    if config.architecture not in ('stylegan', 'progan'):
        raise UserError(f'networks of the architecture {config.architecture!r} cannot be written as ONNX files')
    if config.const_input and not config.use_styles:
        raise UserError('this network has a constant input and no styles: its images depend on no latent')
    if noise == 'inputs' and not config.use_noise:
        raise UserError('this network has no noise inputs', field='noise', value='inputs', remedy='leave it out')
    if inputs == 'ws' and config.is_progan:
        problem = 'a Progressive GAN generator has no intermediate latents'
        raise UserError(problem, field='inputs', value='ws', remedy='leave it out')
    if not all(np.all(np.isfinite(array)) for array in jax.tree.leaves(generator)):
        raise UserError('this network has weights that are not finite')


def _truncation(config, inputs, psi, cutoff):
    """Returns (psi, cutoff) as they apply: (None, 0) where nothing is truncated."""
    given = next(((name, value) for name, value in (('psi', psi), ('cutoff', cutoff)) if value is not None), None)
    if given and (inputs == 'ws' or config.is_progan):
        reason = 'ws are used as they are' if inputs == 'ws' else 'a Progressive GAN generator has no truncation'
        raise UserError(reason, field=given[0], value=given[1], remedy='leave it out')
    is_number = isinstance(psi, numbers.Real) and math.isfinite(psi)
    require(psi is None or is_number or psi == 'input', 'psi', psi, "give a number, or 'input'")
    is_count = isinstance(cutoff, numbers.Integral) and cutoff >= 0
    require(cutoff is None or is_count, 'cutoff', cutoff, 'give a number of layers')
    asked = psi
    psi = config.truncation_psi if psi is None else psi
    cutoff = config.truncation_cutoff if cutoff is None else cutoff
    if inputs == 'z' and psi not in (None, 1) and cutoff:
        return psi if psi == 'input' else float(psi), int(cutoff)
    if asked == 'input':
        raise UserError('no layer is truncated', field='psi', value='input', remedy='give a cutoff of 1 or more')
    return None, 0


def _graph(generator, stage, alpha, inputs, psi, cutoff, noise, dtype):
    """Returns the Graph of the network."""
    config, graph = generator.config, Graph(dtype)
    weights = {name: np.asarray(array, np.float32) for name, array in generator.named_arrays().items()}
    parts = GeneratorGraph(graph, config, weights)
    # Without styles there is a single w, which only the first layer reads.
    layers = 2 * (stage + 1) if config.use_styles else 1
    if inputs == 'ws':
        source = graph.input('ws', 'N', config.num_ws, config.mapped_dim)
        places = [graph.array(f'ws/place{layer}', np.int64(layer)) for layer in range(layers)]
        ws = [graph.node('Gather', source, place, name=f'ws/w{layer}', axis=1) for layer, place in enumerate(places)]
    else:
        ws = _ws_from_z(graph, parts, config, psi, cutoff, layers)

    def noise_of(layer):
        if noise == 'inputs':
            return graph.input(f'noise{layer}', f'1 or N of noise{layer}', 1, *config.noise_shape(layer)[1:3])
        return graph.array(f'noise{layer}', weights[f'noise/{layer}'].transpose(0, 3, 1, 2))

    has_noise = config.use_noise and noise != 'none'
    parts.synthesis(ws.__getitem__, noise_of if has_noise else None, stage, alpha)
    return graph


def _ws_from_z(graph, parts, config, psi, cutoff, layers):
    """Returns the name of the w of each layer; there are at most two different ones, truncated and not."""
    z, label = graph.input('z', 'N', config.z_dim), None
    if config.image.label_dim:
        label = graph.input('label', 'N', config.image.label_dim)
    w = parts.mapping(z, label)
    truncated = min(cutoff, layers)
    if not truncated:
        return [w] * layers
    return [parts.truncate(w, graph.input('psi') if psi == 'input' else psi)] * truncated + [w] * (layers - truncated)


def _model(onnx, graph, shape, about):
    """Returns the onnx.ModelProto of a graph whose 'images' have this shape."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = []
    for node in graph.nodes:
        attributes = {name: floats if value == 'float32' else value for name, value in node.attributes.items()}
        nodes.append(helper.make_node(node.operator, node.inputs, node.outputs, node.outputs[0], **attributes))
    values = [helper.make_tensor_value_info(name, floats, shape) for name, shape in graph.inputs.items()]
    images = helper.make_tensor_value_info('images', floats, shape)
    arrays = [onnx.numpy_helper.from_array(array, name) for name, array in graph.arrays.items()]
    model = helper.make_model(
        helper.make_graph(nodes, 'generator', values, [images], arrays),
        opset_imports=[helper.make_opsetid('', _OPSET)],
        ir_version=_FORMAT,
        producer_name=NAME,
    )
    helper.set_model_props(model, {NAME: json.dumps(about)})
    return model
