"""The order of images, labels for the generator, and the loader: functions of seed and position alone."""
import contextlib
import threading

import numpy as np
import pytest

from stylegan_jax.config import ImageConfig
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.data.pipeline import Loader, epoch_order, indices_at, random_labels

COUNT = 10


class NumberedSource:
    """Image i is filled with i, and its label is class i % 3."""
    image = ImageConfig(resolution=8, label_dim=3)
    label_names = None

    def __init__(self, count=COUNT):
        self.pixels = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], [count, 8, 8, 3])
        self.labels = np.eye(3, dtype=np.float32)[np.arange(count) % 3]

    def __len__(self):
        return len(self.labels)

    def full_size(self, index):
        return self.pixels[index]


@pytest.fixture
def dataset():
    return Dataset(NumberedSource())


def assert_same_batch(batch, other):
    for array, expected in zip(batch, other, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_epoch_order_is_a_permutation_of_its_arguments_alone():
    order = epoch_order(3, 5, 1000).copy()
    epoch_order.cache_clear()
    np.testing.assert_array_equal(epoch_order(3, 5, 1000), order)
    assert sorted(order) == list(range(1000))
    for other in (epoch_order(4, 5, 1000), epoch_order(3, 6, 1000), epoch_order(5, 3, 1000)):
        assert (other != order).mean() > 0.9


def test_every_image_once_an_epoch():
    indices = indices_at(0, 0, 5 * COUNT, COUNT)
    for epoch in indices.reshape(5, COUNT):
        assert sorted(epoch) == list(range(COUNT))


@pytest.mark.parametrize('sizes', [[4] * 12, [1] * 48, [48], [7, 16, 2, 23]])
def test_any_batch_sizes_cut_the_same_sequence(sizes):
    whole = indices_at(1, 0, 48, COUNT)
    starts = np.cumsum([0, *sizes[:-1]])
    parts = [indices_at(1, int(start), size, COUNT) for start, size in zip(starts, sizes)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize('position', [0, 1, 9, 10, 11, 10**9 + 3])
def test_resume_at_any_position(position):
    longer = indices_at(2, max(position - 5, 0), 20, COUNT)
    np.testing.assert_array_equal(indices_at(2, position, 10, COUNT), longer[min(position, 5):][:10])


def test_random_labels_are_a_piece_of_one_sequence(dataset):
    whole = random_labels(dataset, 0, 0, 40)
    assert whole.shape == (40, 3) and whole.dtype == np.float32
    np.testing.assert_array_equal(random_labels(dataset, 0, 13, 9), whole[13:22])
    assert (random_labels(dataset, 1, 0, 40) != whole).any()


def test_random_labels_follow_the_data_set(dataset):
    frequency = random_labels(dataset, 0, 10**6, 20_000).mean(axis=0)
    np.testing.assert_allclose(frequency, [0.4, 0.3, 0.3], atol=0.02)      # 5 standard deviations


def test_random_labels_are_not_the_shuffle():
    numbered = Dataset(NumberedSource(3))
    drawn = random_labels(numbered, 0, 0, 300).argmax(axis=1)
    shown = numbered.labels[indices_at(0, 0, 300, 3)].argmax(axis=1)
    assert 0.15 < (drawn == shown).mean() < 0.55


def test_batch_holds_matching_images_and_labels(dataset):
    with contextlib.closing(Loader(dataset, seed=5)) as loader:
        batch = loader.batch(7, 6, 0)
    expected = indices_at(5, 7, 6, COUNT)
    assert batch.images.shape == (6, 4, 4, 3) and batch.images.dtype == np.uint8
    np.testing.assert_array_equal(batch.images[:, 0, 0, 0], expected)
    np.testing.assert_array_equal(batch.labels.argmax(axis=1), expected % 3)
    np.testing.assert_array_equal(batch.g_labels, random_labels(dataset, 5, 7, 6))


def test_prefetching_changes_nothing(dataset):
    requests = [(0, 4, 0), (4, 4, 0), (8, 8, 0), (16, 8, 1), (24, 2, 1)]
    with contextlib.closing(Loader(dataset, seed=0)) as loader:
        expected = [loader.batch(*request) for request in requests]
        for i, request in enumerate(requests):
            loader.prefetch(requests[i:i + 3])
            assert_same_batch(loader.batch(*request), expected[i])
        loader.prefetch(requests)                   # announced, and then something else is asked for
        assert_same_batch(loader.batch(8, 8, 0), expected[2])
        loader.prefetch([])
        assert_same_batch(loader.batch(0, 4, 0), expected[0])


def test_prefetching_works_in_the_background(dataset):
    made = []
    done = threading.Event()

    class Watched(Dataset):
        def images(self, indices, stage):
            result = super().images(indices, stage)
            made.append(threading.current_thread())
            done.set()
            return result

    with contextlib.closing(Loader(Watched(NumberedSource()), seed=0)) as loader:
        loader.prefetch([(0, 4, 0)])
        assert done.wait(timeout=30)
        loader.batch(0, 4, 0)
    assert len(made) == 1 and made[0] is not threading.main_thread()


def test_error_in_the_background_surfaces(dataset):
    class Broken(Dataset):
        def images(self, indices, stage):
            raise OSError(f'no disk for stage {stage}')

    with contextlib.closing(Loader(Broken(NumberedSource()), seed=0)) as loader:
        loader.prefetch([(0, 4, 0), (4, 4, 1)])
        with pytest.raises(OSError, match='no disk for stage 1'):
            loader.batch(4, 4, 1)
        with pytest.raises(OSError, match='no disk for stage 0'):
            loader.batch(0, 4, 0)


def test_close_drops_what_was_announced(dataset):
    loader = Loader(dataset, seed=0)
    loader.prefetch([(position, 2, 0) for position in range(0, 40, 2)])
    loader.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('loader')]
