"""The images of a run in words."""

import dataclasses
import json

import numpy as np
import pytest

from stylegan_jax.config import Config, DataConfig, ImageConfig
from stylegan_jax.data.held_out import held_out
from stylegan_jax.run.images import describe_images

CONFIG = Config(image=ImageConfig(8))


@pytest.mark.parametrize(
    'labels, text',
    [
        (np.zeros([1200, 0]), '1,200 images, no labels'),
        (np.eye(2), '2 images, 2 classes'),
        (np.eye(4)[[1, 2]], '2 images, 4 classes, of which 2 without an image (class 0, class 3)'),
        (np.eye(1), '1 image, 1 class'),
    ],
)
def test_images_and_labels_are_counted(labels, text):
    assert describe_images(CONFIG, labels, None) == text


def test_images_that_are_held_out_are_counted():
    held = int(held_out(40, 0.2).sum())
    config = dataclasses.replace(CONFIG, data=DataConfig(validation=0.2))
    assert describe_images(config, np.eye(40), None) == f'40 images ({held} of them held out), 40 classes'
    assert 2 < held < 16


@pytest.mark.parametrize(
    'length, words', [(3, ' (the set has labels of 3 entries; data.find_labels=True takes them)'), (0, '')]
)
def test_labels_of_a_prepared_set_that_are_left_out_are_named(tmp_path, length, words):
    info = {'format': 'stylegan_jax prepared data', 'version': 1, 'image': {'label_dim': length}}
    (tmp_path / 'prepared.json').write_text(json.dumps(info))
    config = dataclasses.replace(CONFIG, data=DataConfig(path=str(tmp_path)))
    assert describe_images(config, np.zeros([40, 0]), None) == f'40 images, no labels{words}'
