"""The toy faces: the same face for the same index, at every resolution, with the attributes it claims."""

import dataclasses
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.data.toy_faces.drawing import render

COMMONEST = 0.6
RAREST = {'bald': 0.1}  # 0.15 for the others
SAME_NAME = ('smiling', 'open_mouth', 'beard', 'earrings', 'freckles', 'blush', 'dark_skin', 'fringe')
VISIBLE = 12  # levels of 255 by which a channel must change for a pixel to count as changed


def box_reduced(image, factor):
    size = image.shape[0] // factor
    return image.reshape(size, factor, size, factor, 3).mean(axis=(1, 3))


@pytest.mark.parametrize('resolution', [4, 7, 32, 100, 256])
def test_shape_and_dtype(resolution):
    image = toy_faces.draw(3, resolution)
    assert image.shape == (resolution, resolution, 3)
    assert image.dtype == np.uint8
    values = toy_faces.attributes(3)
    assert values.shape == (len(toy_faces.ATTRIBUTES),)
    assert values.dtype == np.float32
    assert set(values.tolist()) <= {0.0, 1.0}


def test_largest_resolution():
    assert toy_faces.draw(0, toy_faces.MAX_RESOLUTION).shape == (1024, 1024, 3)


def test_deterministic_whatever_was_drawn_before():
    first = toy_faces.draw(11, 48)
    toy_faces.draw(12, 32)
    np.testing.assert_array_equal(toy_faces.draw(11, 48), first)
    np.testing.assert_array_equal(toy_faces.draw(np.int64(11), 48), first)
    assert toy_faces.sample_face(11) == toy_faces.sample_face(11)


@pytest.mark.parametrize('index', range(0, 60, 5))
def test_same_face_at_every_resolution(index):
    large, small = toy_faces.draw(index, 256), toy_faces.draw(index, 64).astype(float)
    difference = np.abs(box_reduced(large, 4) - small).mean()
    other = np.abs(box_reduced(toy_faces.draw(index + 1, 256), 4) - small).mean()
    assert difference < 4.0
    assert difference < 0.25 * other


def test_attributes_are_those_of_the_face_drawn():
    for index in range(300):
        face = toy_faces.sample_face(index)
        values = dict(zip(toy_faces.ATTRIBUTES, toy_faces.attributes(index).astype(bool).tolist()))
        assert values['facing_left'] == (face.turn < 0.0)
        assert values['glasses'] == (face.glasses != 'none')
        assert values['hat'] == (face.hat != 'none')
        assert values['bald'] == (face.hair_style == 'bald')
        for name in SAME_NAME:
            assert values[name] == getattr(face, name), name
        if values['bald']:
            assert not any(values[name] for name in ('long_hair', 'curly_hair', 'fringe', 'dark_hair'))


def test_dark_attributes_are_dark():
    faces = [toy_faces.sample_face(index) for index in range(300)]
    dark = [sum(face.skin) for face in faces if face.dark_skin]
    light = [sum(face.skin) for face in faces if not face.dark_skin]
    assert max(dark) < min(light)
    dark = [sum(face.hair_colour) for face in faces if face.dark_hair_colour]
    light = [sum(face.hair_colour) for face in faces if not face.dark_hair_colour]
    assert max(dark) < min(light)


def test_attributes_are_neither_rare_nor_universal():
    frequencies = np.mean([toy_faces.attributes(index) for index in range(2000)], axis=0)
    for name, frequency in zip(toy_faces.ATTRIBUTES, frequencies.tolist()):
        assert RAREST.get(name, 0.15) < frequency < COMMONEST, name


def replaced(face, attribute):
    """Return the face with one attribute the other way round."""
    changes = {
        'facing_left': {'turn': -face.turn},
        'wide_head': {'head_width': 0.222 if face.head_width > 0.83 * face.head_height else 0.268},
        'bald': {'hair_style': 'bald', 'curly': False, 'fringe': False},
        'long_hair': {'hair_style': 'short' if face.hair_style == 'long' else 'long'},
        'curly_hair': {'curly': not face.curly},
        'dark_hair': {
            'dark_hair_colour': not face.dark_hair_colour,
            'hair_colour': (232, 184, 104) if face.dark_hair_colour else (43, 36, 48),
        },
        'hat': {'hat': 'beanie' if face.hat == 'none' else 'none'},
        'glasses': {'glasses': 'round' if face.glasses == 'none' else 'none'},
        'dark_skin': {
            'dark_skin': not face.dark_skin,
            'skin': (240, 190, 155) if face.dark_skin else (144, 88, 58),
        },
    }
    if attribute not in changes:
        return dataclasses.replace(face, **{attribute: not getattr(face, attribute)})
    return dataclasses.replace(face, **changes[attribute])


@pytest.mark.parametrize('attribute', toy_faces.ATTRIBUTES)
def test_attribute_is_visible(attribute):
    place = toy_faces.ATTRIBUTES.index(attribute)
    changed = []
    for index in range(40):
        face = toy_faces.sample_face(index)
        if face.hair_style == 'bald' or abs(face.turn) < 0.2:
            continue  # no hair to change, or no side to change to
        other = replaced(face, attribute)
        assert toy_faces.attributes_of(face)[place] != toy_faces.attributes_of(other)[place]
        difference = np.abs(render(face, 64).astype(int) - render(other, 64)).max(axis=-1)
        changed.append((difference > VISIBLE).sum())
    assert min(changed) >= 4
    assert np.median(changed) >= 16


def test_faces_vary():
    images = np.stack([toy_faces.draw(index, 16) for index in range(100)]).astype(float)
    distances = np.abs(images[:, None] - images).mean(axis=(2, 3, 4))[np.triu_indices(100, 1)]
    assert distances.min() > 8.0
    assert np.median(distances) > 30.0


def test_texture_moves_details_only():
    face = dataclasses.replace(toy_faces.sample_face(0), freckles=True, hat='none')
    other = dataclasses.replace(face, texture=toy_faces.sample_face(1).texture)
    difference = np.abs(render(face, 128).astype(int) - render(other, 128)).max(axis=-1)
    assert 0.0 < (difference > VISIBLE).mean() < 0.2


@pytest.mark.parametrize('resolution', [3, 1025, 0, -32])
def test_resolution_out_of_range(resolution):
    with pytest.raises(ValueError, match=f'got {resolution}$'):
        toy_faces.draw(0, resolution)


def test_negative_index():
    with pytest.raises(ValueError, match='got -1$'):
        toy_faces.draw(-1, 32)
    with pytest.raises(ValueError, match='got -1$'):
        toy_faces.attributes(-1)


def test_same_bytes_in_another_process():
    code = (
        'import hashlib; from stylegan_jax.data.toy_faces import faces as toy_faces; '
        'print(hashlib.sha256(toy_faces.draw(5, 32).tobytes() + toy_faces.draw(9, 40).tobytes()).hexdigest())'
    )
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(path for path in sys.path if path)}
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    here = hashlib.sha256(toy_faces.draw(5, 32).tobytes() + toy_faces.draw(9, 40).tobytes()).hexdigest()
    assert run.stdout.strip() == here
