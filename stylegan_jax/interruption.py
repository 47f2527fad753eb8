"""Stopping in good order: the first SIGINT or SIGTERM asks, the second one insists."""
import os
import signal


class Interruption:
    """Context in which a signal to stop is noted rather than obeyed.

    Attributes:
      signal: number of the signal that came, or None.
    """

    def __enter__(self):
        self.signal = None
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self):
        """128 + the signal's number, as shells have it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.signal

    def _note(self, number, frame):
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        os.write(2, b'\nstopping after this step and saving; once more stops at once\n')      # safe in a handler
