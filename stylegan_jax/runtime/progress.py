"""How work that takes long is shown to people: bars, and durations in words."""

import sys
import threading
from collections.abc import Callable

from tqdm import tqdm

_CLOSE = 1.1  # a range of times whose ends have a ratio below this is written as one time


def progress_bar(count: int, title: str | None) -> tqdm:
    """Returns a tqdm bar: shown after two seconds, moved seldom in a log file, absent without a title."""
    return tqdm(total=count, desc=title, delay=2, disable=title is None, mininterval=0.1 if sys.stderr.isatty() else 15)


class Heartbeat:
    """Context in which a thread calls a function every few seconds, while the caller computes or compiles."""

    def __init__(self, beat: Callable[[], object], seconds: float):
        """Names the function.

        Args:
          beat: takes no arguments; it is not called by two threads at the same time.
          seconds: from one call to the next.
        """
        self._beat, self._seconds, self._is_over = beat, seconds, threading.Event()
        self._thread = threading.Thread(target=self._run, name='heartbeat', daemon=True)

    def __enter__(self) -> 'Heartbeat':
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self):
        while not self._is_over.wait(self._seconds):
            self._beat()


def time_range(least: float, most: float) -> str:
    """Writes the shortest and the longest time that something may take [s]: '5m 00s to 1h 10m 00s', or one time."""
    low, high = duration(least), duration(most)
    return high if low == high or most < _CLOSE * least else f'{low} to {high}'


def duration(seconds: float) -> str:
    """Writes seconds as people do: '42s', '3m 07s', '5h 02m 11s', '2d 01h 10m'."""
    s = round(seconds)
    if s < 60:
        return f'{s}s'
    if s < 3600:
        return f'{s // 60}m {s % 60:02d}s'
    if s < 86400:
        return f'{s // 3600}h {s // 60 % 60:02d}m {s % 60:02d}s'
    return f'{s // 86400}d {s // 3600 % 24:02d}h {s // 60 % 60:02d}m'
