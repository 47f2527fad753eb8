"""The layout of sample grids."""
import dataclasses

import numpy as np
import pytest

import tiny_run
from stylegan_jax.config import DataConfig, ImageConfig, LogConfig
from stylegan_jax.data import toy_faces
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.samples import SampleGrid


class Labelled:
    """A data set of flat images, the brightness of which is their number."""

    def __init__(self, labels):
        self.labels = np.asarray(labels, np.float32)

    def __len__(self):
        return len(self.labels)

    def images(self, indices, stage):
        return np.asarray(indices, np.uint8)[:, None, None, None] * np.ones([1, 8, 8, 3], np.uint8)


def sample_grid(dataset, **fields):
    image = ImageConfig(8, label_dim=dataset.labels.shape[1])
    return SampleGrid(tiny_run.run_config(image=image, **fields), dataset)


def first_pixels(picture):
    return picture[::64, ::64, 0]          # 8x8 images are enlarged to 64x64


def test_a_class_has_a_row():
    dataset = Labelled(np.eye(3)[[2, 2, 0, 2]])          # none of class 1
    samples = sample_grid(dataset, log=LogConfig())
    np.testing.assert_array_equal(samples.labels, np.repeat(np.eye(3), 32, axis=0))
    reals = first_pixels(samples.reals(dataset))
    assert reals.shape == (3, 32)
    assert list(reals[0, :3]) == [2, 2, 2] and list(reals[2, :4]) == [0, 1, 3, 0]


def test_grid_size_limits_rows_of_classes():
    assert sample_grid(Labelled(np.eye(3)), log=LogConfig(grid_size=(5, 2))).labels.shape == (10, 3)


def test_unlabelled_images_fill_the_grid_in_order():
    dataset = Labelled(np.zeros([5, 0]))
    reals = sample_grid(dataset, log=LogConfig(grid_size=(4, 2))).reals(dataset)
    np.testing.assert_array_equal(first_pixels(reals), [[0, 1, 2, 3], [4, 0, 1, 2]])


def test_attributes_are_those_of_the_real_images():
    config = tiny_run.run_config(image=ImageConfig(8, label_dim=len(toy_faces.ATTRIBUTES)))
    dataset = open_dataset(DataConfig(source='toy_faces', count=40), config.image)
    np.testing.assert_array_equal(SampleGrid(config, dataset).labels, dataset.labels[:8])


@pytest.mark.parametrize('resolution, expected', [(8, (32, 32)), (256, (7, 4)), (1024, (3, 2))])
def test_the_default_grid_fits_a_screen_within_reason(resolution, expected):
    config = tiny_run.run_config(image=ImageConfig(resolution), log=LogConfig())
    samples = SampleGrid(config, Labelled(np.zeros([5, 0])))
    assert (samples.columns, len(samples.labels) // samples.columns) == expected


def test_latents_are_those_of_the_seed():
    config, dataset = tiny_run.run_config(), Labelled(np.zeros([5, 0]))
    one, same = SampleGrid(config, dataset), SampleGrid(config, dataset)
    other = SampleGrid(dataclasses.replace(config, seed=1), dataset)
    assert np.array_equal(one.z, same.z) and not np.array_equal(one.z, other.z)
