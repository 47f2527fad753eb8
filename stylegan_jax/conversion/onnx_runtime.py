"""ONNX files that `onnx_file` wrote, in use: `draw` runs one with onnxruntime, `describe` says what it is."""

import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Array, Float, Real

from stylegan_jax.conversion.onnx_file import NAME
from stylegan_jax.errors import UserError, in_one_line
from stylegan_jax.networks.labels import Labels, as_label

# Largest difference of an image of a network that draws in [-1, 1]. Weights of float16 are rounded: images of the
# network of toy faces were 0.004 away at most.
BOUNDS = {'float32': 1e-4, 'float16': 0.02}
AnyArray = Array | np.ndarray


def draw(
    path: str | os.PathLike,
    latents: Real[AnyArray, '...'],
    label: Labels | None = None,
    psi: float | None = None,
    noise: Sequence[Real[AnyArray, '_ h w 1']] | None = None,
) -> Float[np.ndarray, 'N h w C']:
    """Makes images with the network of an ONNX file.

    Args:
      path: of the file.
      latents: z [N, Z] or ws [N, L, W], as the file takes them.
      label: vectors [N, K], class indices [N], or None for zeros, where the file takes labels.
      psi: truncation, where the file takes it.
      noise: a list of arrays [1 or N, h, w, 1], one for each layer of the file, where it takes noise.

    Returns:
      images [N, H, W, C], nominally in [-1, 1], not clipped.

    Raises:
      UserError: the file is damaged or is none of this package, an input is missing or does not fit, or the package
        `onnxruntime` is missing.
    """
    _open(path, 'ORT_DISABLE_ALL')  # says whether it is one of ours
    session, _ = _open(path, 'ORT_ENABLE_ALL')
    shapes = {value.name: value.shape for value in session.get_inputs()}
    values = {'ws' if 'ws' in shapes else 'z': latents}
    if 'label' in shapes or label is not None:
        values['label'] = as_label(label, len(latents), shapes.get('label', [0, 0])[1])
    values |= {} if psi is None else {'psi': psi}
    # Noise of one feature: [N, h, w, 1] and [N, 1, h, w] are the same in memory.
    noise = {} if noise is None else {f'noise{layer}': np.moveaxis(array, 3, 1) for layer, array in enumerate(noise)}
    feeds = _fitting(values | noise, shapes)
    try:
        return np.moveaxis(session.run(['images'], feeds)[0], 1, 3)
    except Exception as error:  # onnxruntime raises errors of many types, without a base of their own
        raise UserError(f'{os.fspath(path)}: onnxruntime cannot run it ({in_one_line(error)})') from None


def describe(path: str | os.PathLike) -> list[str]:
    """Returns lines that say what an ONNX file is.

    Args:
      path: of the file.

    Raises:
      UserError: as of `draw`.
    """
    session, about = _open(path, 'ORT_DISABLE_ALL')
    values = [*session.get_inputs(), *session.get_outputs()]
    lines = [f'{value.name} [{", ".join(map(str, value.shape))}]' for value in values]
    truncation = 'none' if about['psi'] is None else f'psi {about["psi"]}, in the first {about["cutoff"]} layers'
    return [
        f'inputs: {", ".join(lines[:-1])}; result: {lines[-1]}',
        f'level of detail {about["lod"]:g}; noise: {about["noise"]}; truncation: {truncation}',
        f'weights: {about["dtype"]}',
    ]


def _open(path, optimization):
    """Returns (onnxruntime.InferenceSession, what `export` wrote about the network).

    Optimising computes all that depends on no input: in somebody else's file that may be anything.
    """
    path = os.fspath(path)
    try:
        import onnxruntime  # an optional package
    except ImportError:
        raise UserError(
            'to run ONNX files needs the package onnxruntime', remedy="python -m pip install 'stylegan_jax[onnx]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, optimization)
    options.log_severity_level = 4  # its warnings and errors would go to the terminal beside our own
    try:
        session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
        about = json.loads(session.get_modelmeta().custom_metadata_map.get(NAME, 'null'))
    except Exception as error:
        if not os.path.isfile(path):
            raise UserError(f'{path}: no such file') from None
        raise UserError(f'{path}: not an ONNX file, or a damaged one ({in_one_line(error)})') from None
    if not isinstance(about, Mapping) or about.get('format') != NAME or about.get('version') != 1:
        raise UserError(f'{path}: this ONNX file is not one of stylegan_jax')
    return session, about


def _fitting(values, shapes):
    """Returns {name: float32 array} for the inputs of these shapes, in which words are free sizes."""
    extra = sorted(values.keys() - shapes.keys())
    if extra:
        raise UserError(f'this ONNX file takes no {extra[0]}; its inputs are {", ".join(shapes)}')
    missing = [name for name in shapes if name not in values]
    if missing:
        raise UserError(f'this ONNX file takes {missing[0]}', remedy='give it')
    arrays = {name: np.asarray(value, np.float32) for name, value in values.items()}
    for name, array in arrays.items():
        shape = shapes[name]
        if array.ndim != len(shape) or any(
            isinstance(size, int) and size != own for size, own in zip(shape, array.shape)
        ):
            raise UserError(f'{name} has shape {list(array.shape)}; give [{", ".join(map(str, shape))}]')
    return arrays
