"""Seconds per call, after a warm-up, with synchronisation, and repeated."""

import math
import time
from collections.abc import Callable

REPEATS = 5
SECONDS = 1.0  # that each repeat takes at least


def seconds_per_call(
    run: Callable[[int], None], *, repeats: int = REPEATS, seconds: float | None = None
) -> list[float]:
    """Measures a repeated call.

    Args:
      run: makes the given number of calls, and waits for the results of the last one.
      repeats: how many measurements to make.
      seconds: that each measurement takes at least; it makes as many calls as fit, and at least one. None for SECONDS.

    Returns:
      Seconds per call, one number for each repeat.
    """
    run(1)  # the first call also loads code and data
    count = max(1, math.ceil((SECONDS if seconds is None else seconds) / _timed(run, 1)))
    return [_timed(run, count) / count for _ in range(repeats)]


def _timed(run, count):
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start
