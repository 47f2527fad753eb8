"""The cores and the memory that a process may use, and threads for work that Pillow and NumPy do."""

import concurrent.futures
import math
import os

from stylegan_jax.runtime.progress import progress_bar

MEMORY_BUDGET = 4 << 30  # bytes that one array of a data set's pixels may take
# The cores that this process may use, which clusters limit; only Linux can say.
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
NUM_THREADS = min(16, _CORES)
_CHUNK = 4096  # tasks queued at once; millions would cost gigabytes


def fits_memory(count, shape):
    """Says whether `count` uint8 images of `shape` are within the memory budget."""
    return count * math.prod(shape) <= MEMORY_BUDGET


def in_threads(function, count, title=None):
    """Calls function(0), ..., function(count - 1) in threads.

    Args:
      function: what to call; Pillow and NumPy release the GIL in the parts that matter.
      count: how many calls.
      title: of a progress bar; None = no bar.

    Returns:
      The results in order.

    Raises:
      The first exception that `function` raises; what has not started by then is dropped.
    """
    results = []
    with concurrent.futures.ThreadPoolExecutor(NUM_THREADS) as pool, progress_bar(count, title) as bar:
        for start in range(0, count, _CHUNK):
            for result in pool.map(function, range(start, min(start + _CHUNK, count))):
                results.append(result)
                bar.update()
    return results
