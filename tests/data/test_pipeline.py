"""The order of images, labels for the generator, and the batches: functions of seed and position alone."""

import contextlib
import itertools
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import stylegan_jax
from stylegan_jax.config import Config, DiscriminatorConfig, ImageConfig, ScheduleConfig, TrainConfig
from stylegan_jax.config.schedule import Iterations, resolve
from stylegan_jax.data import pipeline
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.data.pipeline import Batches, epoch_order, indices_at, random_labels
from stylegan_jax.data.staged_images import StagedImages
from stylegan_jax.errors import UserError

COUNT = 10


class NumberedImages(StagedImages):
    """Image i is filled with i, and its label is class i % 3."""

    image = ImageConfig(resolution=8, label_dim=3)
    signature = 'numbered'

    def __init__(self, count=COUNT):
        self.pixels = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], [count, 8, 8, 3])
        self.labels = np.eye(3, dtype=np.float32)[np.arange(count) % 3]

    def full_size(self, index):
        return self.pixels[index]


@pytest.fixture
def dataset():
    return Dataset(NumberedImages())


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
    np.testing.assert_array_equal(indices_at(2, position, 10, COUNT), longer[min(position, 5) :][:10])


def test_random_labels_are_a_piece_of_one_sequence(dataset):
    whole = random_labels(dataset, 0, 0, 40)
    assert whole.shape == (40, 3) and whole.dtype == np.float32
    np.testing.assert_array_equal(random_labels(dataset, 0, 13, 9), whole[13:22])
    assert (random_labels(dataset, 1, 0, 40) != whole).any()


def test_random_labels_follow_the_data_set(dataset):
    frequency = random_labels(dataset, 0, 10**6, 20_000).mean(axis=0)
    np.testing.assert_allclose(frequency, [0.4, 0.3, 0.3], atol=0.02)  # 5 standard deviations


def test_random_labels_are_not_the_shuffle():
    numbered = Dataset(NumberedImages(3))
    drawn = random_labels(numbered, 0, 0, 300).argmax(axis=1)
    shown = numbered.labels[indices_at(0, 0, 300, 3)].argmax(axis=1)
    assert 0.15 < (drawn == shown).mean() < 0.55


@pytest.fixture
def iterations():
    """From 4x4 through a fade to 8x8, with batches of 4 and then of 6."""
    return iterations_of(160)


def iterations_of(nimg):
    config = Config(
        replicas=1,
        image=NumberedImages.image,
        train=TrainConfig(total_kimg=nimg / 1000),
        discriminator=DiscriminatorConfig(mbstd_group_size=1),
        schedule=ScheduleConfig(
            initial_resolution=4, batch=4, batch_by_resolution={8: 6}, stage_kimg=0.032, fade_kimg=0.032
        ),
    )
    return Iterations(resolve(config), 0, 0)


def batches_of(*args, **kwargs):
    """All batches, or the first so many."""
    first = kwargs.pop('first', None)
    with contextlib.closing(Batches(*args, **kwargs)) as batches:
        return list(itertools.islice(batches, first))


def readers():
    return [child for child in multiprocessing.active_children() if child.name.startswith('grain')]


@pytest.mark.parametrize('workers', [0, 1, 2, 3])
def test_batches_are_those_of_the_iterations(dataset, iterations, workers):
    """In every way to read them, also where their number is no multiple of the processes."""
    batches = batches_of(dataset, iterations, 5, workers=workers)
    assert len(batches) == len(iterations) and len(iterations) % 3
    for batch, (position, setting) in zip(batches, iterations, strict=True):
        expected, side = indices_at(5, position, setting.batch, COUNT), 4 * 2**setting.stage
        assert batch.images.shape == (setting.batch, side, side, 3) and batch.images.dtype == np.uint8
        np.testing.assert_array_equal(batch.images[:, 0, 0, 0], expected)
        np.testing.assert_array_equal(batch.labels.argmax(axis=1), expected % 3)
        np.testing.assert_array_equal(batch.g_labels, random_labels(dataset, 5, position, setting.batch))
    assert {(setting.batch, setting.stage) for _, setting in iterations} == {(4, 0), (6, 1)}


def test_little_shared_memory_changes_nothing(dataset, iterations, monkeypatch):
    expected = batches_of(dataset, iterations, 5, workers=0)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(1, 1, 0))
    monkeypatch.setattr(pipeline.np, 'array', lambda array: array)  # as the process gets them
    batches = batches_of(dataset, iterations, 5, workers=2)
    assert {type(array) for batch in batches for array in batch} == {np.ndarray}
    for batch, other in zip(batches, expected, strict=True):
        np.testing.assert_array_equal(batch.images, other.images)


@pytest.mark.parametrize('workers', [0, 2])
def test_parts_of_batches_make_up_the_whole(dataset, iterations, workers):
    whole = batches_of(dataset, iterations, 5, workers=0, first=12)
    parts = [
        batches_of(
            dataset,
            iterations,
            5,
            workers=workers,
            first=12,
            part=lambda size, number=number: (number * size // 2, size // 2),
        )
        for number in range(2)
    ]
    for batch, *halves in zip(whole, *parts, strict=True):
        for array, *pieces in zip(batch, *halves, strict=True):
            np.testing.assert_array_equal(np.concatenate(pieces), array)


def test_reading_is_ahead_but_not_far(iterations):
    made = []

    class Watched(Dataset):
        def images(self, indices, stage):
            made.append(threading.current_thread())
            return super().images(indices, stage)

    with contextlib.closing(Batches(Watched(NumberedImages()), iterations, 0, workers=0)) as batches:
        next(batches)
        end = time.monotonic() + 30
        while len(made) < 3 and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.05)
    assert len(made) == 3 and threading.main_thread() not in made


class BrokenImages(NumberedImages):
    """Where full-size images are read one by one and some are not there."""

    pixels = None

    def __init__(self):
        super().__init__()
        self.pixels = None

    def full_size(self, index):
        raise UserError(f'{index}.png: this is no picture')


class KilledImages(BrokenImages):
    def full_size(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize('workers', [0, 2])
def test_an_image_that_cannot_be_read_is_named(iterations, workers):
    with pytest.raises(UserError, match=r'^\d.png: this is no picture$'):
        batches_of(Dataset(BrokenImages()), iterations, 0, workers=workers)
    assert not readers()


def test_a_reader_that_is_killed_is_said(iterations):
    with pytest.raises(UserError, match='one of the 2 processes that read images was killed; .*data.workers'):
        batches_of(Dataset(KilledImages()), iterations, 0, workers=2)
    assert not readers()


class TellingImages(NumberedImages):
    """Image values say whether JAX is there, where they are made."""

    def __init__(self):
        super().__init__()
        self.pixels = None

    def full_size(self, index):
        return np.full([8, 8, 3], sys.modules.get('jax') is not None, np.uint8)


@pytest.mark.parametrize('workers, expected', [(0, 1), (2, 0)])
def test_readers_do_without_jax(iterations, workers, expected):
    assert sys.modules['jax']  # as a training has
    batches = batches_of(Dataset(TellingImages()), iterations, 0, workers=workers)
    assert {value for batch in batches for value in np.unique(batch.images)} == {expected}


def test_readers_leave_signals_to_their_parent(dataset, iterations, capfd):
    with contextlib.closing(Batches(dataset, iterations, 0, workers=2)) as batches:
        next(batches)
        for child in readers():
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(child.pid, number)
        assert len(list(batches)) == len(iterations) - 1
    assert not readers() and capfd.readouterr().err == ''
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize('first', [1, 3])
def test_closing_ends_the_readers(dataset, first):
    """Also those whose turn has not come; soon, though they are far from the end."""
    with contextlib.closing(Batches(dataset, iterations_of(10**6), 0, workers=3)) as batches:
        for _ in range(first):
            next(batches)
        assert len(readers()) == 3
        start = time.monotonic()
    assert not readers() and time.monotonic() - start < 10


VANISHING = """
import contextlib, os, sys
import numpy as np
import test_pipeline
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.data.pipeline import Batches
from stylegan_jax.errors import UserError

class Vanishing(test_pipeline.BrokenImages):
    def full_size(self, index):
        if not os.path.exists('data'):
            return super().full_size(index)
        return np.full([8, 8, 3], index, np.uint8)

def main():
    os.mkdir('data')
    iterations = test_pipeline.iterations_of(10 ** 6)
    try:
        with contextlib.closing(Batches(Dataset(Vanishing()), iterations, 0, workers=int(sys.argv[1]))) as batches:
            for number, batch in enumerate(batches):
                if number == 10:
                    prefix = batches._memory
                    os.rmdir('data')
    except UserError as error:
        print(error)
    assert not [name for name in os.listdir('/dev/shm') if name.startswith(prefix)]

if __name__ == '__main__':
    main()
"""


@pytest.mark.skipif(not os.path.isdir('/dev/shm'), reason='needs shared memory that can be listed')
@pytest.mark.parametrize('workers', [1, 3])
def test_nothing_of_readers_is_left_where_their_images_vanish(tmp_path, workers):
    """Python would warn of leaked shared memory, below the error."""
    (tmp_path / 'program.py').write_text(VANISHING)
    path = os.pathsep.join([os.path.dirname(__file__), os.path.dirname(os.path.dirname(stylegan_jax.__file__))])
    done = subprocess.run(
        [sys.executable, 'program.py', str(workers)],
        cwd=tmp_path,
        env=os.environ | {'PYTHONPATH': path},
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stderr == ''
    assert re.fullmatch(r'\d.png: this is no picture\n', done.stdout)


PROGRAM = """
import multiprocessing, os, sys
import jax
import test_pipeline
from stylegan_jax.data.pipeline import Batches

if __name__ == '__main__':
    batches = Batches(test_pipeline.dataset_of(), test_pipeline.iterations_of(10 ** 6), 0, workers=2)
    next(batches), next(batches), next(batches)
    print(*[child.pid for child in test_pipeline.readers()], flush=True)
    {end}
"""


@pytest.mark.parametrize('end', ['pass', 'os._exit(3)', 'os.kill(os.getpid(), 9)', 'raise ValueError'])
def test_readers_end_with_their_parent(tmp_path, end):
    """However it ends, without having closed them."""
    (tmp_path / 'program.py').write_text(PROGRAM.format(end=end))
    path = os.pathsep.join([os.path.dirname(__file__), os.path.dirname(os.path.dirname(stylegan_jax.__file__))])
    done = subprocess.run(
        [sys.executable, tmp_path / 'program.py'],
        env=os.environ | {'PYTHONPATH': path},
        text=True,
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    children = [int(pid) for pid in done.stdout.split()]
    assert len(children) == 2
    limit = time.monotonic() + 10
    while any(map(is_running, children)):
        assert time.monotonic() < limit, 'readers outlive their parent'
        time.sleep(0.02)


def is_running(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def dataset_of():
    return Dataset(NumberedImages())


def test_processes_read_where_images_do_not_fit_memory(dataset, monkeypatch):
    monkeypatch.setattr(pipeline, 'NUM_THREADS', 4)
    assert pipeline.default_workers(dataset) == 0
    monkeypatch.setattr(pipeline, 'fits_memory', lambda count, shape: False)
    assert pipeline.default_workers(dataset) == 3
    monkeypatch.setattr(pipeline, 'NUM_THREADS', 16)
    assert pipeline.default_workers(dataset) == 8


def test_nothing_to_read(dataset):
    for workers in (0, 2):
        assert batches_of(dataset, iterations_of(0), 0, workers=workers) == []
