"""Names network files that other projects wrote, and what comes in place of a file. Nothing of them is loaded."""

import os
import zipfile

from stylegan_jax.runtime.stand_ins import stand_in
from stylegan_jax.storage import safetensors_file

_LOOKED_AT = 1 << 20  # bytes of a pickle; names come before numbers
TORCH_STREAM = b'l\xfc\x9cF\xf9 j\xa8P\x19.'  # the end of the number at the start of files of torch.save until 1.6
_PERSISTENT = b'torch_utils.persistence'  # NVIDIA's module that pickles networks with their source code
# Bytes that only some project's files have, and what they are then.
_TORCH_PORTS = (
    (b'g_synthesis', "a network of lernapparat's PyTorch port of StyleGAN"),
    (b'synthesis.b4.', 'a network of StyleGAN2 or StyleGAN3, as weights of PyTorch'),
    (b'GE.initial_block', 'a network of lucidrains/stylegan2-pytorch'),
    (b'g_ema', 'a network of the PyTorch port rosinality/stylegan2-pytorch, or of one of its kind'),
)
_TORCH = 'a file of PyTorch'
# Those that can be read, or whose readers say why not: `storage.rosinality` and `storage.genforce`.
_READ = (b'g_running', b'generator.to_rgb.', b'generator_smooth', b'from_rgb.0.0.conv.', b'from_rgb.0.conv.')
# What `convert` writes for other runtimes, and others write as well.
_PROGRAMS = {'.onnx': 'an ONNX program', '.stablehlo': 'a StableHLO program'}
_STARTS = (
    (b'\x89HDF\r\n\x1a\n', 'a file of HDF5, as Keras writes weights'),
    (b'\x89PNG', 'a picture (PNG)'),
    (b'\xff\xd8\xff', 'a picture (JPEG)'),
    (b'RIFF', 'a picture or sound (RIFF)'),
)


def kind_of(path: str | os.PathLike) -> str | None:
    """Says what a file is that holds no network which could be read here.

    Args:
      path: of a file that exists.

    Returns:
      Such as 'a network of StyleGAN3, in PyTorch' or 'a web page (HTML) ...'; None if it may be a network that can be
      read, or is nothing known.
    """
    with open(path, 'rb') as file:
        content = file.read(_LOOKED_AT)
    if kind := stand_in(content):
        return kind if kind.startswith('a ') else f'a file that is {kind}'
    if content.startswith(b'PK'):
        return _kind_of_zip(path)
    if content.startswith(b'\x80'):
        return _kind_of_pickle(content)
    if safetensors_file.is_one(content):
        return None
    if content[8:9] == b'{' and b'"data_offsets"' in content:
        return 'a file of safetensors, which this package did not write'
    if program := _PROGRAMS.get(os.path.splitext(path)[1].lower()):
        return f'{program}, which is run by others; its network cannot be read back'
    return next((kind for start, kind in _STARTS if content.startswith(start)), None)


def _kind_of_zip(path):
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickle = next((name for name in names if name.endswith('/data.pkl')), None)
            if pickle is None:
                is_keras = {'model.weights.h5', 'config.json'} <= set(names)
                return 'a model of Keras' if is_keras else None
            with archive.open(pickle) as file:
                return _port(file.read(_LOOKED_AT))
    except Exception:  # a damaged archive is for the reader of networks to name
        return None


def _kind_of_pickle(content):
    if TORCH_STREAM in content[:32]:
        return _port(content)
    if _PERSISTENT not in content:
        return None
    # The source code of a network comes with it, so that the names of its classes tell the project.
    if b'class SynthesisInput' in content:
        return 'a network of StyleGAN3, in PyTorch'
    if b'StyleGAN2' in content or b'networks_stylegan2' in content or b'class SynthesisBlock' in content:
        return "a network of StyleGAN2, in NVIDIA's PyTorch code (StyleGAN2-ADA, StyleGAN3)"
    return "a network of NVIDIA's PyTorch code (StyleGAN2-ADA, StyleGAN3 or one that is built upon them)"


def _port(content):
    if any(mark in content for mark in _READ):
        return None
    return next((kind for mark, kind in _TORCH_PORTS if mark in content), _TORCH)
