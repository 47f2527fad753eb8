"""Access to the numbers under tests/reference, which the official implementation computed (see the README there)."""
import json
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent / 'reference' / 'networks'
CASES = ('a32', 'b32', 'c32', 'f32-labels', 'f128')


def open_case(name):
    """Returns (arrays, settings) of a case."""
    return np.load(FOLDER / f'{name}.npz'), json.loads((FOLDER / f'{name}.json').read_text())


def pickle_path(name):
    return str(FOLDER / f'{name}.pkl')


def channels_last(images):
    return np.transpose(images, (0, 2, 3, 1))


def shrink(images, factor):
    """Averages pixels: [N, H, W, C] -> [N, H / factor, W / factor, C]."""
    n, h, w, c = images.shape
    return images.reshape(n, h // factor, factor, w // factor, factor, c).mean((2, 4))


def repeat(images, factor):
    return np.repeat(np.repeat(images, factor, axis=1), factor, axis=2)


def relative_error(value, reference):
    """Norm of the difference over norm of the reference; the plain norm where the reference is zero."""
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    assert value.shape == reference.shape, (value.shape, reference.shape)
    return np.linalg.norm(value - reference) / (np.linalg.norm(reference) or 1.0)
