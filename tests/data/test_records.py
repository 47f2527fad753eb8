"""Records: what comes back is what was stored."""

import subprocess
import sys

import numpy as np
import pytest

from stylegan_jax.data.records import RecordFormat
from stylegan_jax.errors import UserError


def smooth(shape, seed=0):
    """Pixels that JPEG keeps nearly."""
    coarse = np.random.default_rng(seed).integers(0, 256, (2, 2, shape[2]))
    rows, columns = (np.linspace(0, 1, side)[:, None] for side in shape[:2])
    mixed = (coarse[0, 0] * (1 - rows)[:, None] + coarse[1, 0] * rows[:, None]) * (1 - columns) + coarse[0, 1] * columns
    return (mixed / mixed.max() * 255).astype(np.uint8)


@pytest.mark.parametrize(
    'encoding, channels',
    [('raw', 1), ('raw', 2), ('raw', 3), ('png', 1), ('png', 3), ('png', 4), ('webp', 3), ('webp', 4)],
)
def test_nothing_is_lost(encoding, channels):
    if channels == 2:
        with pytest.raises(UserError, match='no images of 2 channels; choose raw'):
            RecordFormat((6, 8, channels), encoding)
        return
    form = RecordFormat((6, 8, channels), encoding)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, channels), np.uint8)
    np.testing.assert_array_equal(form.pixels_of(form.serialize(pixels, [])), pixels)


@pytest.mark.parametrize('channels', [1, 3])
def test_jpeg_loses_little(channels):
    form, pixels = RecordFormat((32, 32, channels), 'jpeg'), smooth((32, 32, channels))
    assert np.abs(form.pixels_of(form.serialize(pixels, [])).astype(int) - pixels).max() <= 8


@pytest.mark.parametrize('encoding, channels, others', [('webp', 1, 'png or raw'), ('jpeg', 4, 'png or raw')])
def test_what_an_encoding_cannot_hold_is_refused(encoding, channels, others):
    with pytest.raises(UserError, match=f'encoding={encoding}: .* {channels} channels; choose {others}'):
        RecordFormat((8, 8, channels), encoding)


@pytest.mark.parametrize(
    'form, label, expected',
    [
        (RecordFormat((4, 4, 3), 'raw', 3), [0, 0, 1], 2),
        (RecordFormat((4, 4, 3), 'png', 2, label_names=('cat', 'dog')), [1, 0], 0),
        (RecordFormat((4, 4, 3), 'raw', 3, is_class=False), [1, 0, 1], [1, 0, 1]),
    ],
)
def test_labels_are_features_of_their_kind(form, label, expected):
    record = form.serialize(np.zeros((4, 4, 3), np.uint8), np.array(label, np.float32))
    example = form.features.deserialize_example_np(record)
    np.testing.assert_array_equal(example['label'], expected)
    if form.label_names:
        assert form.features['label'].names == list(form.label_names)


@pytest.mark.parametrize('encoding', ['raw', 'png'])
def test_an_image_of_another_shape_is_noticed(encoding):
    record = RecordFormat((4, 4, 3), encoding).serialize(np.zeros((4, 4, 3), np.uint8), [])
    with pytest.raises(ValueError):
        RecordFormat((8, 8, 3), encoding).pixels_of(record)


def test_reading_imports_neither_jax_nor_tfds_itself():
    code = 'import sys, numpy as np; from stylegan_jax.data import prepared; print(*sys.modules)'
    loaded = subprocess.run([sys.executable, '-c', code], text=True, capture_output=True, check=True).stdout.split()
    assert not {'jax', 'tensorflow_datasets', 'tensorflow', 'torch'} & set(loaded)
