"""Access to the numbers under tests/reference; see the README there."""

import functools
import json
import pathlib
import re

import numpy as np

FOLDER = pathlib.Path(__file__).parent / 'reference' / 'networks'
CASES = ('a32', 'b32', 'c32', 'f32-labels', 'f128')


@functools.cache
def open_case(name):
    """Returns (arrays, settings) of a case."""
    with np.load(FOLDER / f'{name}.npz') as file:
        arrays = dict(file)
    return arrays, json.loads((FOLDER / f'{name}.json').read_text())


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


def parameter(tree, variable):
    """Finds an official variable in parameters of ours, and returns it as the official code lays it out.

    Args:
      tree: parameters of a generator or of a discriminator, or gradients in their form.
      variable: official name with its component, such as 'G_synthesis/8x8/Conv1/bias'.
    """
    path = re.sub('^G_(mapping|synthesis)/', r'\1/', variable)
    if 'synthesis' in tree and not path.startswith(('mapping/', 'synthesis/')):
        path = 'synthesis/' + path  # Progressive GAN has no components
    top = max(int(name.split('x')[0]) for name in tree.get('synthesis', tree))
    colours = re.search(r'(To|From)RGB_lod(\d+)', path)
    if colours:
        side = top >> int(colours[2])
        path = path.replace(colours[0], f'{side}x{side}/{colours[1]}_rgb')
    for part, name in (('LabelConcat/', 'label_'), ('Noise/weight', 'noise_strength'), ('StyleMod', 'style')):
        path = path.replace(part, name)
    array = functools.reduce(dict.__getitem__, path.lower().split('/'), tree)
    return np.transpose(array, (0, 3, 1, 2)) if path.endswith('/const') else np.asarray(array)
