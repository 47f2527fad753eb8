"""Which images and labels a step sees, and getting them ready ahead of time.

Everything is a function of the seed and of the position, the number of images shown so far: a run may
stop anywhere, resume, and change its batch size, and still shows every image once an epoch.
"""
import concurrent.futures
import functools
import typing

import numpy as np

# Purposes keep streams of random numbers apart that share a seed.
_SHUFFLE = 1
_GENERATOR_LABELS = 2


@functools.lru_cache(maxsize=2)         # successive batches are of the same epoch, or of two
def epoch_order(seed, epoch, count):
    """Returns the order in which an epoch shows `count` images: a read-only permutation, int64 [count]."""
    bits = np.random.PCG64(np.random.SeedSequence([_SHUFFLE, seed, epoch]))
    order = np.random.Generator(bits).permutation(count)
    order.setflags(write=False)
    return order


def indices_at(seed, position, size, count):
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


def random_labels(dataset, seed, position, size):
    """Draws labels for a generator's step uniformly from the data set, with replacement.

    The draws at [position, position + size) are a piece of one endless sequence, so they do not depend
    on how it is cut into batches.

    Args:
      dataset: a `Dataset`.
      seed: of the run.
      position: images shown so far.
      size: how many.

    Returns:
      float32 [size, K].
    """
    bits = np.random.PCG64(np.random.SeedSequence([_GENERATOR_LABELS, seed]))
    bits.advance(position)              # a float64 takes one step of PCG64
    drawn = np.random.Generator(bits).random(size) * len(dataset)
    return dataset.labels[drawn.astype(np.int64)]


class Batch(typing.NamedTuple):
    """What one pair of D and G steps needs from the data set."""
    images: np.ndarray                  # uint8 [n, h, w, C]
    labels: np.ndarray                  # float32 [n, K], of the images
    g_labels: np.ndarray                # float32 [n, K], for the generator's step


class Loader:
    """Makes batches, ahead of time if it is told what comes next; that never changes a batch."""

    def __init__(self, dataset, seed, part=lambda size: (0, size)):
        """Prepares to make batches.

        Args:
          dataset: a `Dataset`.
          seed: of the run.
          part: from the size of a batch to (first, how many) of it that are wanted here.
        """
        self._dataset = dataset
        self._seed = seed
        self._part = part
        self._ahead = {}                # request -> Future
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix='loader')

    def prefetch(self, requests):
        """Starts on the next few batches in the background.

        Args:
          requests: (position, size, stage) of each, in the order of need. What was announced before and
            is not among them is dropped.
        """
        requests = [tuple(request) for request in requests]
        for request in set(self._ahead).difference(requests):
            self._ahead.pop(request).cancel()
        for request in requests:
            if request not in self._ahead:
                self._ahead[request] = self._thread.submit(self._make, *request)

    def batch(self, position, size, stage):
        """Returns the part wanted here of the `Batch` of the images at positions [position, position + size).

        Raises:
          Whatever went wrong when it was made, in the background or now.
        """
        future = self._ahead.pop((position, size, stage), None)
        return self._make(position, size, stage) if future is None else future.result()

    def close(self):
        """Stops the background thread; what was announced and not fetched is dropped."""
        self._ahead.clear()
        self._thread.shutdown(cancel_futures=True)

    def _make(self, position, size, stage):
        first, size = self._part(size)
        position += first
        indices = indices_at(self._seed, position, size, len(self._dataset))
        return Batch(self._dataset.images(indices, stage), self._dataset.labels[indices],
                     random_labels(self._dataset, self._seed, position, size))
