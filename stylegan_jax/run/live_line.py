"""The sign of life of a run: one line that is rewritten where there is a terminal, a line a minute where there is none.

It is called from the host loop between dispatches, and while the loop waits for something. It looks at numbers of the
host alone, and never waits for a device.
"""

import collections
import sys
import time
from collections.abc import Callable

import tqdm

from stylegan_jax.run.time_left import TimeLeft
from stylegan_jax.runtime.progress import duration

_EVERY = 60.0  # seconds between two lines, or other signs of life, without a terminal
_REWRITTEN_EVERY = 0.5  # seconds, in a terminal
_WINDOW = 60.0  # seconds that the speed is an average over
_SHORTEST = 1.0  # seconds from which on there is a speed


class LiveLine:
    """Shows where a run is, how fast it is, and when it will end; or what it waits for, and for how long so far."""

    def __init__(
        self,
        nimg: int,
        total_nimg: int,
        time_left: TimeLeft | None,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        """Shows nothing yet.

        Args:
          nimg: images shown so far.
          total_nimg: images shown at the end of the run.
          time_left: knows the schedule and the speeds of other resolutions; None for no time at all.
          say: prints a line, where there is no terminal.
          clock: returns seconds.
        """
        self._total, self._time_left, self._say, self._clock = total_nimg, time_left, say, clock
        self._bar = tqdm.tqdm(
            total=total_nimg,
            initial=nimg,
            dynamic_ncols=True,
            disable=None,  # That is, where stderr is not a terminal.
            bar_format='{percentage:3.0f}% |{bar:10}| {desc}',
            file=sys.stderr,
        )
        self._pace, self._next_picture = _Pace(clock), None
        self._place, self._activity, self._began = None, None, clock()
        self._last = clock()  # time of the newest sign of life

    def expect_picture(self, nimg: float) -> None:
        """Tells after how many images the next sample picture comes."""
        self._next_picture = nimg

    def progress(self, shown: int, resolution: str, alpha: float, nimg: int) -> None:
        """Counts `shown` images more, `nimg` in all; see `beat`."""
        if self._activity or not self._place or self._place[0] != resolution:
            self._pace.forget()
        self._pace.count(nimg)
        self._place, self._activity = (resolution, alpha, nimg), None
        self._bar.n += shown  # `update` would redraw with an old text
        self.beat()

    def activity(self, text: str) -> None:
        """Shows what the run does, or waits for, between iterations."""
        self._activity, self._began = text, self._clock()
        self._rewrite()

    def beat(self) -> None:
        """Shows a sign of life if it is time for one. It is called often, and takes no time."""
        now = self._clock()
        if not self._bar.disable:
            if now - self._last >= _REWRITTEN_EVERY:
                self._rewrite()
        elif now - self._last >= _EVERY and (text := self.text()):
            self._last = now
            self._say(text)

    def spoken(self) -> None:
        """Notes that another line was printed, which is a sign of life as well."""
        if self._bar.disable:
            self._last = self._clock()

    def text(self) -> str:
        """Returns the line."""
        if self._activity:
            return f'{self._activity} ({duration(self._clock() - self._began)})'
        if not self._place:
            return ''
        resolution, alpha, nimg = self._place
        words = [f'{resolution} alpha {alpha:.2f}', f'{nimg / 1000:g} of {self._total / 1000:g} kimg']
        if speed := self._pace.speed:
            words.append(f'{speed:.1f} img/s')
            if self._time_left:
                self._time_left.measure(resolution, 1 / speed)
                words.append(f'{self._time_left.until_end(nimg)} left')
            if self._next_picture is not None:
                left = min(self._next_picture, self._total) - nimg  # there is one at the end as well
                words.append(f'picture in {duration(max(0.0, left) / speed)}')
        return ', '.join(words)

    def close(self) -> None:
        """Ends the line of the terminal."""
        self._bar.close()

    def _rewrite(self):
        self._last = self._clock()
        if not self._bar.disable:
            self._bar.set_description_str(self.text())


class _Pace:
    """Images per second, an average over the last minute without a pause."""

    def __init__(self, clock):
        self._clock, self._counts, self._speed = clock, collections.deque(), None

    def forget(self):
        """Begins anew after a pause."""
        self._counts.clear()

    def count(self, nimg):
        now = self._clock()
        self._counts.append((now, nimg))
        while len(self._counts) > 2 and now - self._counts[1][0] >= _WINDOW:
            self._counts.popleft()

    @property
    def speed(self):
        """None until enough time has passed since the run, or this resolution, began."""
        (first, before), (last, nimg) = self._counts[0], self._counts[-1]
        return (nimg - before) / (last - first) if last - first >= _SHORTEST else None
