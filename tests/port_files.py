"""Files of PyTorch ports, made from the names and shapes that `tests/reference/ports` recorded."""

import functools
import json
import pathlib
import zlib

import numpy as np

import torch_writer

BLUR = np.outer((1, 2, 1), (1, 2, 1)).astype(np.float32) / 16  # the filter that ports keep copies of
FOLDER = pathlib.Path(__file__).parent / 'reference' / 'ports'


@functools.cache
def recorded(name):
    """Returns (arrays, {case: what the networks are made of}) of a file of recorded numbers."""
    with np.load(FOLDER / f'{name}.npz') as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays.pop('names')))


def numbers(name, shape):
    """The numbers that an array of this name had when the images were recorded."""
    return np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)


def latents(width):
    return np.random.RandomState(1).standard_normal((2, width)).astype(np.float32)


def tensors(state):
    """A state dict as PyTorch would pickle it."""
    return {name: torch_writer.Tensor.of(array) for name, array in state.items()}


def picked(images):
    """The pixels that were recorded of [N, H, W, C]: those near the edges and every fifth (41st), as [N, C, h, w]."""
    size = images.shape[1]
    step = 5 if size < 1024 else 41
    places = sorted({place % size for place in (*range(0, size, step), 1, 2, 3, -1, -2, -3, -4)})
    return np.transpose(np.asarray(images)[:, places][:, :, places], (0, 3, 1, 2))
