"""Which images and labels a step sees, and getting them ready ahead of time.

Everything is a function of the seed and of the position, which is the number of images shown so far: a run may
stop anywhere, resume, and change its batch size, and still shows every image once an epoch.
"""

from __future__ import annotations

import contextlib
import functools
import math
import multiprocessing
import os
import secrets
import shutil
import signal
import sys
import time
import typing
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker, util

import numpy as np
from absl import flags

from stylegan_jax.data import worker
from stylegan_jax.data.batch import Batch
from stylegan_jax.data.held_out import held_out
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.threads import NUM_THREADS, fits_memory

if typing.TYPE_CHECKING:
    from stylegan_jax.config.schedule import Iterations
    from stylegan_jax.data.dataset import Dataset

_PATIENCE = 5.0  # seconds for a process that was killed to end
_READ_AHEAD = 2  # batches, where a thread reads
_HELD_BY_WORKER = 4  # batches in shared memory: those being made, queued, and taken from the queue
_MOST_WORKERS = 8  # where data.workers is None
_SHARED_MEMORY = '/dev/shm'  # of Linux
_ASYNC_PATIENCE = 0.3  # seconds for a thread to free shared memory
# Purposes keep streams of random numbers apart that share a seed.
_SHUFFLE = 1
_GENERATOR_LABELS = 2


@functools.lru_cache(maxsize=2)  # successive batches are of the same epoch, or of two
def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Returns the order in which an epoch shows `count` images: a read-only permutation, int64 [count]."""
    bits = np.random.PCG64(np.random.SeedSequence([_SHUFFLE, seed, epoch]))
    order = np.random.Generator(bits).permutation(count)
    order.setflags(write=False)
    return order


def indices_at(seed: int, position: int, size: int, count: int) -> np.ndarray:
    """Returns which images are at some positions of the endless sequence of epochs.

    Args:
      seed: of the run.
      position: images shown so far.
      size: how many images follow.
      count: of images in the data set.

    Returns:
      int64 [size].
    """
    epochs, places = np.divmod(np.arange(position, position + size), count)
    indices = np.empty(size, np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        indices[here] = epoch_order(seed, int(epoch), count)[places[here]]
    return indices


def random_labels(dataset: Dataset, seed: int, position: int, size: int, among: np.ndarray | None = None) -> np.ndarray:
    """Draws labels for a generator's step uniformly from the data set, with replacement.

    The draws at [position, position + size) are a piece of one endless sequence, so they do not depend
    on how it is cut into batches.

    Args:
      dataset: the real images.
      seed: of the run.
      position: images shown so far.
      size: how many.
      among: numbers of the images whose labels are drawn from; None for all.

    Returns:
      float32 [size, K].
    """
    bits = np.random.PCG64(np.random.SeedSequence([_GENERATOR_LABELS, seed]))
    bits.advance(position)  # drawing a float64 takes one step of PCG64
    drawn = np.random.Generator(bits).random(size) * (len(dataset) if among is None else len(among))
    drawn = drawn.astype(np.int64)
    return dataset.labels[drawn if among is None else among[drawn]]


class Batches:
    """The batches of a run in order, read ahead by Grain in a thread or in processes; an iterator to be closed.

    They are the same whoever reads them. Each reader is at most a handful of batches ahead.
    """

    def __init__(
        self,
        dataset: Dataset,
        iterations: Iterations,
        seed: int,
        *,
        part: Callable[[int], tuple[int, int]] = lambda size: (0, size),
        workers: int | None = None,
        validation: float = 0.0,
    ):
        """Prepares to read; nothing is read before the first batch is asked for.

        Args:
          dataset: the real images.
          iterations: the iterations of the run, or a sequence like them.
          seed: of the run.
          part: from the size of a batch to (first, number) of the images of it that are wanted here.
          workers: processes that read; 0 = a thread does; None = `default_workers`.
          validation: share of the images that is held out.

        Raises:
          UserError: no image would be held out, or none would be left.
        """
        import grain  # imports JAX where there is one, which those who need only the functions above do without
        from grain.experimental import DatasetOptions, WithOptionsIterDataset

        workers = default_workers(dataset) if workers is None else workers
        self._workers = min(workers, len(iterations))
        self._memory = f'sgj{secrets.token_hex(4)}'  # the beginning of the names of the readers' shared memory
        used = np.flatnonzero(~held_out(len(dataset), validation)) if validation else None
        parts = {size: part(size) for size in iterations.batches}
        batches = _BatchesByIteration(dataset, iterations, seed, parts, used)
        # A process reads one batch after another in any case, and has a queue of its own.
        options = (
            grain.ReadOptions(num_threads=1, prefetch_buffer_size=_READ_AHEAD)
            if not self._workers
            else (grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
        )
        made = grain.MapDataset.source(batches).to_iter_dataset(options)
        if self._workers:
            _answer_for_flags('grain_')
            if not _fits_shared_memory(dataset, iterations.batches, self._workers):
                # Arrays below the least size for shared memory go through pipes.
                made = WithOptionsIterDataset(made, DatasetOptions(min_shm_size=sys.maxsize))
            begin = functools.partial(worker.begin, self._memory)
            made = made.mp_prefetch(grain.MultiprocessingOptions(num_workers=self._workers), begin)
        self._iterator = iter(made)
        self._started, self._others = False, set(multiprocessing.active_children())

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Returns the part wanted here of the next `Batch`.

        Raises:
          UserError: images cannot be read, or a process that reads them was killed.
          StopIteration: the run is over.
        """
        with contextlib.nullcontext() if self._started or not self._workers else _starting_workers():
            self._started = True
            batch = self._next()
        # The arrays of a process lie in shared memory, of which containers have little; a copy sets it free.
        return Batch(*map(np.array, batch)) if self._workers else batch

    def close(self) -> None:
        """Ends the readers; batches that they read ahead are dropped."""
        try:
            self._iterator.close()
        finally:
            # Grain ends only the processes that it has asked for a batch, and may lose sight of others.
            for child in self._own_children():
                child.kill()
                child.join(_PATIENCE)
            # Batches that were read ahead go with the iterator, and with them most of the shared memory.
            self._iterator = iter(())
            _free_shared_memory(self._memory)

    def _next(self):
        try:
            return next(self._iterator)
        except UserError as error:
            raise UserError(str(error)) from None  # drops the note about its frames that Grain adds
        except RuntimeError as error:
            if 'terminated unexpectedly' not in str(error):
                raise
            raise UserError(
                f'one of the {self._workers} processes that read images was killed',
                remedy='memory, or shared memory (/dev/shm), may have run out: give a lower data.workers',
            ) from error

    def _own_children(self):
        """Returns the processes that were started since the iterator was made."""
        return [child for child in multiprocessing.active_children() if child not in self._others]


def default_workers(dataset: Dataset) -> int:
    """Returns how many processes should read: none where all images fit memory, as those that are read once stay."""
    if dataset.in_memory or fits_memory(len(dataset), dataset.image.shape):
        return 0
    return max(1, min(_MOST_WORKERS, NUM_THREADS - 1, dataset.at_once))


def _fits_shared_memory(dataset, sizes, workers):
    """Says whether there is room for the batches that processes hand over; Docker's default of 64 MB is little."""
    batch = math.prod(dataset.image.shape) * max(sizes)
    return not os.path.isdir(_SHARED_MEMORY) or (
        shutil.disk_usage(_SHARED_MEMORY).free > workers * _HELD_BY_WORKER * batch
    )


def _free_shared_memory(prefix):
    """Frees the blocks whose names begin so, which processes that were killed, or batches that nobody took, left."""

    def names():
        return [name for name in os.listdir(_SHARED_MEMORY) if name.startswith(prefix)]

    if not os.path.isdir(_SHARED_MEMORY):
        return
    end = time.monotonic() + _ASYNC_PATIENCE
    while names() and time.monotonic() < end:  # a thread of Grain's frees what this process had opened
        time.sleep(0.01)
    for name in names():
        # The process that warns of leaks learns of a name when a block is made, but for one that was killed meanwhile.
        resource_tracker.register(f'/{name}', 'shared_memory')
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(_SHARED_MEMORY, name))
        resource_tracker.unregister(f'/{name}', 'shared_memory')


class _BatchesByIteration:
    """The sequence that Grain reads from: element i is the Batch of iteration i."""

    def __init__(self, dataset, iterations, seed, parts, used):
        self._dataset, self._iterations, self._seed, self._parts = dataset, iterations, seed, parts
        self._used = used  # numbers of the images that are not held out; None for all

    def __len__(self):
        return len(self._iterations)

    def __getitem__(self, index):
        position, setting = self._iterations[index]
        first, size = self._parts[setting.batch]
        position += first
        if self._used is None:
            indices = indices_at(self._seed, position, size, len(self._dataset))
        else:
            indices = self._used[indices_at(self._seed, position, size, len(self._used))]
        return Batch(
            self._dataset.images(indices, setting.stage),
            self._dataset.labels[indices],
            random_labels(self._dataset, self._seed, position, size, self._used),
        )


def _answer_for_flags(prefix):
    """Marks flags as present where nobody parses the command line; else absl raises an error when Grain reads them."""
    if not flags.FLAGS.is_parsed():
        for name in flags.FLAGS:
            if name.startswith(prefix):
                flags.FLAGS[name].present = True


@contextlib.contextmanager
def _starting_workers():
    """Lets processes that start in the context do without JAX and leave signals to this one.

    Ctrl-C and schedulers signal all processes of a group. A blocked signal stays blocked in the threads and processes
    that start from here, and so never reaches a reader, not even while it starts.
    """
    main = sys.modules['__main__']
    # Starting the resource tracker unblocks these signals, so that happens before they are blocked.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    sys.modules['__main__'] = worker
    try:
        yield
    finally:
        sys.modules['__main__'] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill_children():
    """Kills readers at the end of this process: multiprocessing would send SIGTERM, which they block, and wait."""
    for child in multiprocessing.active_children():
        if child.name.startswith('grain-process-prefetch'):
            child.kill()


util.Finalize(None, _kill_children, exitpriority=0)
