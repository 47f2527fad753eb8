"""The cores and the memory that a process may use, and threads for work that Pillow and NumPy do."""

import concurrent.futures
import math
import os
import typing
from collections.abc import Callable, Sequence

from stylegan_jax.runtime.progress import progress_bar

MEMORY_BUDGET = 4 << 30  # bytes that one array of a data set's pixels may take
# The cores that this process may use, which clusters limit; only Linux tells their number.
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
NUM_THREADS = min(16, _CORES)
_CHUNK = 4096  # tasks queued at once; millions would cost gigabytes


def fits_memory(count: int, shape: Sequence[int]) -> bool:
    """Says whether `count` uint8 images of `shape` are within the memory budget."""
    return count * math.prod(shape) <= MEMORY_BUDGET


def in_threads(
    function: Callable[[int], typing.Any], count: int, title: str | None = None, threads: int = NUM_THREADS
) -> list[typing.Any]:
    """Calls function(0), ..., function(count - 1) in threads.

    Args:
      function: the work; Pillow and NumPy release Python's global lock in the parts that take long.
      count: how many calls.
      title: of a progress bar; None = no bar.
      threads: how many.

    Returns:
      The results in order.

    Raises:
      Exception: the first one that `function` raises; calls that have not started by then are dropped.
    """
    results = []
    with concurrent.futures.ThreadPoolExecutor(threads) as pool, progress_bar(count, title) as bar:
        for start in range(0, count, _CHUNK):
            for result in pool.map(function, range(start, min(start + _CHUNK, count))):
                results.append(result)
                bar.update()
    return results
