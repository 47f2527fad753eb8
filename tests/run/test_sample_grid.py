"""The layout of sample grids, and the images in them."""

import concurrent.futures
import dataclasses

import jax
import numpy as np
import pytest

import tiny
import tiny_run
from stylegan_jax import training
from stylegan_jax.config import DataConfig, ImageConfig, LogConfig
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.run.sample_grid import SampleGrid
from stylegan_jax.sampling import grid


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
    return picture[::64, ::64, 0]  # 8x8 images are enlarged to 64x64


def test_a_class_that_has_images_has_a_row():
    dataset = Labelled(np.eye(3)[[2, 2, 0, 2]])  # none of class 1
    samples = sample_grid(dataset, log=LogConfig())
    np.testing.assert_array_equal(samples.labels, np.repeat(np.eye(3)[[0, 2]], 32, axis=0))
    reals = first_pixels(samples.reals(dataset))
    assert reals.shape == (2, 32)
    assert list(reals[0, :3]) == [2, 2, 2] and list(reals[1, :4]) == [0, 1, 3, 0]


def test_classes_that_count_from_one_fill_the_rows_of_a_given_grid():
    samples = sample_grid(Labelled(np.eye(4)[[1, 2, 3]]), log=LogConfig(grid_size=(2, 3)))
    np.testing.assert_array_equal(samples.labels, np.repeat(np.eye(4)[1:], 2, axis=0))


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


# The generator's images.


def grid_and_state(letter='F', lod=0.0, columns=4, label_dim=0, **fields):
    """A grid of two rows, and a state whose averaged generator has something to show."""
    dataset = Labelled(np.eye(3, label_dim))
    image = ImageConfig(8, label_dim=label_dim)
    config = tiny_run.run_config(letter, image=image, log=LogConfig(grid_size=(columns, 2)), **fields)
    generator = tiny.generator(config.generator)
    ema = dataclasses.replace(tiny.filled(generator, seed=3), noise=generator.noise)
    return SampleGrid(config, dataset), training.create_state(config, generator=generator, ema=ema, lod=lod), ema


@pytest.mark.parametrize('letter', 'AF')
@pytest.mark.parametrize('lod', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('label_dim', [0, 3])
def test_fakes_are_those_of_the_averaged_generator_without_truncation(letter, lod, label_dim):
    samples, state, ema = grid_and_state(letter, lod, label_dim=label_dim)
    psi = {} if letter == 'A' else {'psi': 1.0}
    images = ema(samples.z, samples.labels if label_dim else None, lod=lod, **psi)
    expected = grid.enlarge(grid.image_grid(grid.to_uint8(images), 4), 64 // images.shape[1])
    picture = samples.fakes(state)
    assert picture.shape == (128, 256, 3)
    assert np.abs(picture.astype(int) - expected).max() <= 1 and np.mean(picture != expected) < 1e-3


@pytest.mark.parametrize('precision', ['float32', pytest.param('float64', marks=pytest.mark.full)])
@pytest.mark.parametrize(
    'lod, stage', [*(pytest.param(lod, 1, marks=pytest.mark.full) for lod in (0.0, 0.5)), (1.0, 0)]
)
def test_what_was_prepared_in_a_thread_is_not_compiled_again(precision, lod, stage):
    with jax.enable_x64(precision == 'float64'):
        # Graphs are kept, so the widths are those of this case alone.
        samples, state, _ = grid_and_state(lod=lod, precision=precision, generator={'w_dim': 11 + int(2 * lod)})
        compiled = []

        def note(event, duration, **kwargs):
            if event == '/jax/core/compile/backend_compile_duration':
                compiled.append(event)

        def prepare():
            with jax.enable_x64(precision == 'float64'):  # of this thread
                samples.prepare(stage)

        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            thread.submit(prepare).result()
        jax.monitoring.register_event_duration_secs_listener(note)
        samples.fakes(state)
        assert not compiled
        grid_and_state(lod=lod, precision=precision, generator={'w_dim': 21 + int(2 * lod)})[0].prepare(stage)
        assert compiled  # it would have been seen


def test_polling_comes_before_every_chunk_and_may_end_it():
    polls = []

    def poll():
        polls.append(None)
        if len(polls) == 5:
            raise InterruptedError

    samples, state, _ = grid_and_state(columns=16)
    samples.fakes(state, poll)
    assert len(polls) == 2
    with pytest.raises(InterruptedError):
        samples.fakes(state, poll)
        samples.fakes(state, poll)
