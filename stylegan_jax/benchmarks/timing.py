"""Seconds a call takes: warmed up, synchronised, repeated."""

import math
import time

REPEATS = 5
SECONDS = 1.0  # that each repeat takes at least, or one call


def seconds_per_call(run, *, repeats=REPEATS, seconds=None):
    """Measures a repeated call.

    Args:
      run: takes a number, makes that many calls and waits for the last one's results.
      repeats: how often to measure.
      seconds: that a repeat takes at least, unless a single call takes longer; None for SECONDS.

    Returns:
      A list of seconds per call, one for each repeat.
    """
    run(1)  # reads code and data for the first time
    count = max(1, math.ceil((SECONDS if seconds is None else seconds) / _timed(run, 1)))
    return [_timed(run, count) / count for _ in range(repeats)]


def _timed(run, count):
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start
