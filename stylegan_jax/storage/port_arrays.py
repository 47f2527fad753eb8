"""What readers of PyTorch ports share: arrays by the port's names and by ours, and the errors of such files.

A table of `Entry`s says for each array of a port where it is in a network of ours, and how its numbers differ.
"""

import contextlib
import os
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from stylegan_jax.errors import UserError, in_one_line
from stylegan_jax.runtime import torch_pickle

BLUR = np.outer((1, 2, 1), (1, 2, 1)) / np.float32(16)  # the low-pass filter that ports keep a copy of for each channel


class Entry(typing.NamedTuple):
    """An array of a port, and what it is here.

    Attributes:
      theirs: its name in the port.
      ours: its name in `named_arrays`.
      kind: how its numbers are arranged; one of `_TO_OURS`.
      shape: in the port.
      factor: ours is theirs times this.
    """

    theirs: str
    ours: str
    kind: str
    shape: tuple[int, ...]
    factor: float = 1.0


def _less_one(bias):
    """Turns the bias of a style (y_s, y_b) into that of (y_s - 1, y_b); see `ops.stylize`."""
    return bias - np.repeat(np.float32([1, 0]), len(bias) // 2)


def _dense_of_convolution(weight):
    """Turns [O, I, h, w], applied to one padded pixel, into the dense [I, O * h * w]: convolutions reverse images."""
    return weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(weight.shape[1], -1)


# Kinds of arrays. PyTorch has outputs before inputs, and channels before pixels.
_TO_OURS = {
    'vector': lambda a: a.reshape(-1),
    'matrix': lambda a: a,
    'style_bias': _less_one,
    'dense': lambda a: a.reshape(len(a), -1).T,  # also a convolution of all of an image to one pixel
    'dense_input': _dense_of_convolution,
    'image': lambda a: a.transpose(0, 2, 3, 1),
    'conv': lambda a: a.transpose(2, 3, 1, 0),
    'conv_reversed': lambda a: a[:, :, ::-1, ::-1].transpose(2, 3, 1, 0),
    'transposed_conv': lambda a: a.transpose(2, 3, 0, 1),
    'transposed_conv_reversed': lambda a: a[:, :, ::-1, ::-1].transpose(2, 3, 0, 1),
}
# The way back, to the shape in the port; for the kinds that are written.
_TO_THEIRS = {
    'vector': lambda a, shape: a.reshape(shape),
    'style_bias': lambda a, shape: -_less_one(-a),
    'dense': lambda a, shape: a.T.reshape(shape),
    'image': lambda a, shape: a.transpose(0, 3, 1, 2),
    'conv': lambda a, shape: a.transpose(3, 2, 0, 1),
    'conv_reversed': lambda a, shape: a.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1],
    'transposed_conv': lambda a, shape: a.transpose(2, 3, 0, 1),
    'transposed_conv_reversed': lambda a, shape: a.transpose(2, 3, 0, 1)[:, :, ::-1, ::-1],
}


def to_ours(entries: Sequence[Entry], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns {our name: array} of a port's arrays.

    Raises:
      UserError: an array is missing or has another shape than its entry says.
    """
    found = {}
    for entry in entries:
        if entry.theirs not in arrays:
            raise UserError(f'it lacks {entry.theirs}')
        array = arrays[entry.theirs]
        if array.shape != entry.shape:
            raise UserError(f'its {entry.theirs} has shape {array.shape}, where the code has {entry.shape}')
        if array.dtype.kind != 'f':
            raise UserError(f'its {entry.theirs} has values of type {array.dtype}, which are no weights')
        found[entry.ours] = _TO_OURS[entry.kind](array.astype(np.float32)) * np.float32(entry.factor)
    return found


def to_theirs(entry: Entry, array: np.ndarray) -> np.ndarray:
    """Returns the port's array of one of ours.

    Raises:
      UserError: it has another shape in the port's code.
    """
    theirs = _TO_THEIRS[entry.kind](np.asarray(array, np.float32) / np.float32(entry.factor), entry.shape)
    if theirs.shape != entry.shape:
        raise UserError(f'{entry.ours} would have shape {theirs.shape}, where the code has {entry.shape}')
    return theirs


def fmap_fields(widths: Sequence[int], first_level: int = 1) -> dict[str, int]:
    """Returns the fields of a config that has these numbers of feature maps (see `config.network.num_fmaps`).

    Args:
      widths: feature maps at each level from `first_level` on.
      first_level: 1 for stage 0.

    Raises:
      UserError: no config has them.
    """
    largest = max(widths)
    base = max(width << (first_level + place) for place, width in enumerate(widths))
    if any(width != min(base >> (first_level + place), largest) or width < 1 for place, width in enumerate(widths)):
        raise UserError(f'its feature maps, {list(widths)} from the smallest size up, do not halve with each size')
    return {'fmap_base': base, 'fmap_max': largest}


def check_names(found: Collection[str], known: Collection[str]) -> None:
    """Raises a UserError if an array has a name that is not known."""
    others = sorted(set(found) - set(known))
    if others:
        raise UserError(f'it has {len(others)} arrays that its code does not explain, first {others[0][:80]!r}')


def check_blur(name: str, kernel: np.ndarray) -> None:
    """Raises a UserError unless an array is the filter (1, 2, 1) along both axes, once for each channel."""
    if kernel.shape[1:] != (1, 3, 3) or not np.allclose(kernel, BLUR, atol=1e-6):
        raise UserError(f'its {name} is another filter than (1, 2, 1), which cannot be expressed here')


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[torch_pickle.TorchFile]:
    """Opens a file of PyTorch that holds a dict; puts its path before errors.

    Raises:
      UserError: it cannot be read, is damaged, or asks for anything but data.
    """
    try:
        with torch_pickle.opened(path) as file:
            if not isinstance(file.content, dict):
                raise UserError('it holds no dict')
            yield file
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror or error})') from None
    except Exception as error:  # damaged files fail in every way there is
        raise UserError(f'{path}: damaged file of PyTorch ({in_one_line(error)})') from error


def arrays_of(file: torch_pickle.TorchFile, path: str | os.PathLike, state: Mapping[str, object]) -> dict:
    """Returns {name: array} of a state dict.

    Raises:
      UserError: it has anything but tensors, or these claim more numbers than the file has.
    """
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch_pickle.Tensor):
            raise UserError(f'its {str(name)[:80]!r} is no tensor')
    arrays = file.arrays(state)
    # Tensors may be views of one storage, which the arrays that are made of them are not.
    if sum(array.size * torch_pickle.itemsize(state[name]) for name, array in arrays.items()) > os.path.getsize(path):
        raise UserError('its arrays are larger than the file')
    return arrays


def is_state(value: object) -> bool:
    """Says whether a value is a dict of tensors by name, as modules of PyTorch save them."""
    return isinstance(value, dict) and any(isinstance(tensor, torch_pickle.Tensor) for tensor in value.values())
