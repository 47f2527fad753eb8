"""Toy faces: an endless set of cartoon portraits drawn by code, with binary attributes.

It lets a first training run start with nothing to download. Coarse attributes (pose, head shape, hair
style), middle ones (features, glasses) and fine ones (colours) vary separately, as style mixing separates
them, and freckles and strands of hair fall at random, as noise inputs carry such details. It
is not a substitute for photographs: no number measured on it compares with one from a paper.
"""

import operator

import numpy as np

from stylegan_jax.data.toy_faces.drawing import render
from stylegan_jax.data.toy_faces.parameters import Face, sample_face

MIN_RESOLUTION = 4
MAX_RESOLUTION = 1024

# Name -> whether a face has it. Left is the viewer's left. Hair attributes are those of visible hair: a
# bald head with dark brows has no dark hair.
_TESTS = {
    'facing_left': lambda face: face.turn < 0.0,
    'wide_head': lambda face: face.head_width / face.head_height > 0.825,
    'bald': lambda face: face.hair_style == 'bald',
    'long_hair': lambda face: face.hair_style == 'long',
    'curly_hair': lambda face: face.curly,
    'fringe': lambda face: face.fringe,
    'dark_hair': lambda face: face.dark_hair_colour and face.hair_style != 'bald',
    'hat': lambda face: face.hat != 'none',
    'glasses': lambda face: face.glasses != 'none',
    'smiling': lambda face: face.smiling,
    'open_mouth': lambda face: face.open_mouth,
    'beard': lambda face: face.beard,
    'earrings': lambda face: face.earrings,
    'freckles': lambda face: face.freckles,
    'blush': lambda face: face.blush,
    'dark_skin': lambda face: face.dark_skin,
}

ATTRIBUTES: tuple[str, ...] = tuple(_TESTS)


def attributes_of(face: Face) -> np.ndarray:
    """Say which attributes a face has.

    Args:
        face: the parameters of the face.

    Returns:
        Array [len(ATTRIBUTES)], float32, 0 or 1, in the order of `ATTRIBUTES`.
    """
    return np.array([test(face) for test in _TESTS.values()], dtype=np.float32)


def attributes(index: int) -> np.ndarray:
    """Say which attributes the face that `draw` draws for this index has.

    Args:
        index: which face, 0 or more.

    Returns:
        Array [len(ATTRIBUTES)], float32, 0 or 1, in the order of `ATTRIBUTES`.

    Raises:
        ValueError: the index is negative.
    """
    return attributes_of(sample_face(operator.index(index)))


def draw(index: int, resolution: int) -> np.ndarray:
    """Draw one face. The bytes depend on the arguments and the version of Pillow only.

    Args:
        index: which face, 0 or more; the same face at every resolution.
        resolution: R, the width and height in pixels, 4 to 1024.

    Returns:
        Array [R, R, 3], uint8, RGB.

    Raises:
        ValueError: the index is negative, or the resolution is out of range.
    """
    resolution = operator.index(resolution)
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise ValueError(f'the resolution of a toy face must be {MIN_RESOLUTION} to {MAX_RESOLUTION}, got {resolution}')
    return render(sample_face(operator.index(index)), resolution)
