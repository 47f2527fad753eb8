"""The interface to data sets: the pyramid of stages, its cache, toy faces, and what cannot be opened."""

import dataclasses
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from stylegan_jax.config import Config, DataConfig, ImageConfig
from stylegan_jax.data.dataset import Dataset, open_dataset, with_found_labels
from stylegan_jax.data.staged_images import StagedImages
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.data.toy_faces import kept, pool
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import threads


class ArrayImages(StagedImages):
    """Full-size images from an array, in memory or as if read on demand."""

    signature = 'array'

    def __init__(self, pixels, base_shape=(4, 4), in_memory=True):
        self.image = ImageConfig(max(pixels.shape[1:3]), base_shape, pixels.shape[3])
        self.labels = np.zeros([len(pixels), 0], np.float32)
        self.pixels = pixels if in_memory else None
        self.reads = []
        self._pixels = pixels

    def full_size(self, index):
        self.reads.append(int(index))
        return self._pixels[index]


def random_images(count, height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, [count, height, width, channels], np.uint8)


def pyramid_level(images, height, width):
    """The definition, in float64."""
    count, full_height, full_width, channels = images.shape
    boxes = images.reshape(count, height, full_height // height, width, full_width // width, channels)
    return np.rint(boxes.astype(float).mean(axis=(2, 4))).astype(np.uint8)


@pytest.mark.parametrize('in_memory', [True, False])
@pytest.mark.parametrize('base_shape', [(4, 4), (3, 4)])
def test_stages_are_means_of_full_size(base_shape, in_memory):
    images = random_images(5, 8 * base_shape[0], 8 * base_shape[1])
    dataset = Dataset(ArrayImages(images, base_shape, in_memory))
    for stage in range(4):
        height, width = dataset.image.stage_shape(stage)
        found = dataset.images([3, 0, 3], stage)
        assert found.dtype == np.uint8 and found.shape == (3, height, width, 3)
        np.testing.assert_array_equal(found, pyramid_level(images, height, width)[[3, 0, 3]])


def test_stages_are_rounded_once():
    # Three boxes of 2x2 with mean 0.5 and one with mean 1: 0.625 at once; by levels 0, 0, 0, 1 give 0.25.
    box = np.ones([4, 4], np.uint8)
    box[0, [0, 2]] = box[1, [1, 3]] = box[2, 0] = box[3, 1] = 0
    image = np.tile(box, (4, 4))[None, ..., None]
    assert (pyramid_level(pyramid_level(image, 8, 8), 4, 4) == 0).all()
    assert (Dataset(ArrayImages(image)).images([0], 0) == 1).all()


def test_a_stage_is_computed_once():
    source = ArrayImages(random_images(6, 16, 16))
    dataset = Dataset(source)
    dataset.images([0, 1, 1], 1)
    first = dataset.images([1, 2], 1)
    assert sorted(source.reads) == [0, 1, 2]
    first[:] = 0  # the caller's own copy
    np.testing.assert_array_equal(dataset.images([1, 2], 1), pyramid_level(source.pixels, 8, 8)[1:3])
    dataset.images([0], 2)  # full size is in memory: the cache stays
    dataset.images([0], 1)
    assert len(source.reads) == 3
    dataset.images([0], 0)  # another stage beside it: it may be read ahead
    dataset.images([0], 1)
    assert len(source.reads) == 4


def test_beyond_the_budget_nothing_is_kept(monkeypatch):
    images = random_images(6, 16, 16)
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', 6 * 4 * 4 * 3)  # enough for stage 0 only
    source = ArrayImages(images, in_memory=False)
    dataset = Dataset(source)
    for _ in range(2):
        np.testing.assert_array_equal(dataset.images([4, 2], 1), pyramid_level(images, 8, 8)[[4, 2]])
        np.testing.assert_array_equal(dataset.images([4, 2], 2), images[[4, 2]])
        np.testing.assert_array_equal(dataset.images([4, 2], 0), pyramid_level(images, 4, 4)[[4, 2]])
    assert len(source.reads) == 2 * 2 + 2 * 2 + 2


def test_folder_of_images(tmp_path):
    images = random_images(3, 16, 16)
    for index, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / f'{index}.png')
    dataset = open_dataset(DataConfig(path=str(tmp_path), count=2), ImageConfig(16))
    assert len(dataset) == 2 and dataset.labels.shape == (2, 0) and dataset.label_names is None
    np.testing.assert_array_equal(dataset.images(np.arange(2), 2), images[:2])
    np.testing.assert_array_equal(dataset.images(np.arange(2), 1), pyramid_level(images[:2], 8, 8))


def test_empty_path_is_a_user_error():
    with pytest.raises(UserError, match=r'^data\.path: it is empty.*folder or a zip'):
        open_dataset(DataConfig(), ImageConfig())


# Toy faces.


def test_toy_faces():
    dataset = open_dataset(DataConfig(source='toy_faces', count=5), ImageConfig(16))
    expected = np.stack([toy_faces.draw(index, 16) for index in range(5)])
    np.testing.assert_array_equal(dataset.images(range(5), 2), expected)
    np.testing.assert_array_equal(dataset.images([4], 0), pyramid_level(expected, 4, 4)[[4]])
    assert dataset.labels.shape == (5, 0) and dataset.label_names is None


def test_toy_faces_are_drawn_when_they_are_asked_for(monkeypatch):
    """So that a mistake is found, and a finished run knows that it is, before anything is drawn."""
    drawn, draw = [], kept.draw_some
    monkeypatch.setattr(kept, 'draw_some', lambda *args: drawn.append(args) or draw(*args))
    dataset = open_dataset(DataConfig(source='toy_faces', count=5), ImageConfig(16, label_dim=16))
    assert len(dataset) == 5 and dataset.labels.shape == (5, 16) and dataset.in_memory and dataset.signature
    assert not drawn
    dataset.images([0], 2)
    assert len(drawn) == 1
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.images(range(5), 0), dataset.images(range(5), 0))
    assert len(drawn) == 1


def test_toy_faces_with_attributes():
    names = tuple(toy_faces.ATTRIBUTES)
    dataset = open_dataset(DataConfig(source='toy_faces', count=4), ImageConfig(4, label_dim=len(names)))
    assert dataset.label_names == names and dataset.labels.dtype == np.float32
    np.testing.assert_array_equal(dataset.labels, [toy_faces.attributes(index) for index in range(4)])


def test_toy_faces_beyond_the_budget_are_drawn_on_demand(monkeypatch):
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    dataset = open_dataset(DataConfig(source='toy_faces', count=10**6), ImageConfig(16))
    np.testing.assert_array_equal(dataset.images([999_999], 2), toy_faces.draw(999_999, 16)[None])


def test_processes_draw_the_same_faces(monkeypatch):
    monkeypatch.setattr(pool, 'SMALL', 0)
    monkeypatch.setattr(pool, 'NUM_THREADS', 2)
    expected = np.stack([toy_faces.draw(index, 8) for index in range(5)])
    np.testing.assert_array_equal(pool.draw_some(range(5), 8), expected)


def test_failing_process_is_reported(monkeypatch, capfd):
    monkeypatch.setattr(pool, 'SMALL', 0)
    monkeypatch.setattr(pool, 'NUM_THREADS', 2)
    with pytest.raises(RuntimeError, match='drawing toy face 0 failed: exit code 1'):
        pool.draw_some(range(5), toy_faces.MAX_RESOLUTION + 1)
    assert 'ValueError' in capfd.readouterr().err


@pytest.mark.parametrize(
    'image, message',
    [
        (ImageConfig(16, base_shape=(3, 4)), r'image\.base_shape=\(3, 4\)'),
        (ImageConfig(16, channels=1), r'image\.channels=1'),
        (ImageConfig(16, label_dim=len(toy_faces.ATTRIBUTES) + 1), r'image\.label_dim='),
        (ImageConfig(2 * toy_faces.MAX_RESOLUTION), r'image\.resolution='),
    ],
)
def test_toy_faces_refuse_other_shapes(image, message):
    with pytest.raises(UserError, match=message):
        open_dataset(DataConfig(source='toy_faces', count=1), image)


@pytest.mark.parametrize('image', [ImageConfig(16), ImageConfig(16, label_dim=len(toy_faces.ATTRIBUTES))])
def test_toy_faces_count_has_a_default(monkeypatch, image):
    monkeypatch.setattr('stylegan_jax.data.dataset.TOY_FACES_COUNT', 7)
    assert len(open_dataset(DataConfig(source='toy_faces'), image)) == 7


def test_data_does_not_import_jax():
    """Readers may run where JAX would take the accelerator; the package's own __init__ is not theirs."""
    code = (
        'import sys, types\n'
        "package = sys.modules['stylegan_jax'] = types.ModuleType('stylegan_jax')\n"
        'package.__path__ = [sys.argv[1]]\n'
        'import stylegan_jax.data.dataset, stylegan_jax.data.pipeline\n'
        "sys.exit('jax' in sys.modules)\n"
    )
    package = pathlib.Path(pool.__file__).parents[2]
    assert subprocess.run([sys.executable, '-c', code, str(package)], check=False).returncode == 0


@pytest.mark.parametrize('label_dim, find_labels, expected', [(0, True, 1), (0, False, 0), (4, True, 4)])
def test_label_dim_is_found_where_it_is_asked_for(tmp_path, label_dim, find_labels, expected):
    Image.fromarray(random_images(1, 8, 8)[0]).save(tmp_path / 'a.png')
    (tmp_path / 'dataset.json').write_text('{"labels": [["a.png", 0]]}')
    config = Config(
        image=ImageConfig(resolution=8, label_dim=label_dim),
        data=DataConfig(path=str(tmp_path), find_labels=find_labels),
    )
    found = with_found_labels(config)
    assert found.image.label_dim == found.generator.image.label_dim == expected


def test_labels_of_toy_faces_are_found():
    config = Config(image=ImageConfig(32), data=DataConfig(source='toy_faces', count=4, find_labels=True))
    found = with_found_labels(config)
    assert found.image.label_dim == found.generator.image.label_dim == 16
    assert open_dataset(found.data, found.image).labels.shape == (4, 16)
    left_out = dataclasses.replace(config, data=DataConfig(source='toy_faces', count=4))
    assert with_found_labels(left_out).image.label_dim == 0


def test_two_stages_are_kept_and_no_third():
    source = ArrayImages(random_images(3, 32, 32))
    source.image = ImageConfig(32)
    dataset = Dataset(source)
    for stage in (0, 1, 0, 1, 2, 1, 2, 0):
        dataset.images([0], stage)
    assert source.reads == [0, 0, 0, 0]  # the third stage took the place of stage 0
