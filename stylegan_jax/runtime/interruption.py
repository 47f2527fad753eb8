"""Stopping in good order: the first SIGINT or SIGTERM asks, the second one insists.

Python runs signal handlers only between two instructions of the main thread, so not during a minute-long
compilation. The byte that the interpreter's own handler writes to the wakeup file descriptor comes at once, and
the thread that reads it can end the process whatever the main thread does, as long as that lets go of the GIL.
"""

import contextlib
import os
import select
import signal
import threading
import time

_SIGNALS = signal.SIGINT, signal.SIGTERM
_END = 0  # the byte that ends the thread; no signal has this number
_PATIENCE = 1.0  # seconds for which a message waits for a reader of stderr
_ECHO = 1.0  # seconds in which a second SIGTERM is the first one's echo: Slurm sends it by two ways

_entered = []  # interruptions that hold this process's signals, innermost last


class Interrupted(Exception):
    """Long work was left in the middle because of a signal to stop."""


class Interruption:
    """Context, for the main thread, in which a signal to stop is noted rather than obeyed; the second one ends all.

    Attributes:
      signal: number of the signal that came, or None.
    """

    def __init__(self, at_once=None):
        """Does nothing yet.

        Args:
          at_once: saves; then the first signal already ends the process, from another thread and in whatever the main
            thread is doing. None where the main thread ends by itself, after the signal was noted.
        """
        self._at_once = at_once

    def __enter__(self):
        self.signal = None
        with contextlib.ExitStack() as stack:
            reader, writer = os.pipe()
            stack.callback(os.close, reader)
            stack.callback(os.close, writer)
            os.set_blocking(writer, False)
            thread = threading.Thread(target=self._watch, args=[reader], name='interruption', daemon=True)
            thread.start()
            stack.callback(_end, thread, writer)
            stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer, warn_on_full_buffer=False))
            for number in _SIGNALS:
                stack.callback(signal.signal, number, signal.signal(number, self._handle))
            _entered.append(self)
            stack.callback(_entered.remove, self)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.close()

    @property
    def exit_code(self):
        """128 + the signal's number, as shells have it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.signal

    def poll(self):
        """Raises `Interrupted` if a signal was noted; for long work between steps."""
        if self.signal is not None:
            raise Interrupted(signal.Signals(self.signal).name)

    def _handle(self, number, frame):
        # The thread would do, only later: what follows `signal.raise_signal` may rely on the signal being noted.
        if self.signal is None:
            self.signal = number

    def _end_at_once(self, code):
        try:
            self._at_once()
            _say('stopped; what was done is kept, and the same command goes on from here')
        except Exception as error:
            _say(f'stopped; what was done could not be kept ({error})')
        finally:
            os._exit(code)

    def _watch(self, reader):
        """Counts signals, in a thread, until the byte that ends it."""
        first = None  # when the first one came
        while True:
            for number in os.read(reader, 1024):
                if number == _END:
                    return
                if number not in _SIGNALS:  # the descriptor gets every signal that Python handles
                    continue
                if first is None:
                    first = time.monotonic()
                    self._handle(number, None)
                    if self._at_once:
                        self._end_at_once(128 + number)
                    _say('stopping after this step and saving; once more stops at once')
                elif number != signal.SIGTERM or time.monotonic() > first + _ECHO:
                    os._exit(128 + number)


def _end(thread, writer):
    if thread.is_alive():  # not in a forked child: its pipe is the parent's, and so would be the thread that ends
        os.write(writer, bytes([_END]))
        thread.join()


def _say(message):
    # Past Python's buffers, whose locks the main thread may hold; and a terminal that stands still, or a stderr that
    # was closed, must not keep the thread from the second signal.
    with contextlib.suppress(OSError):
        if select.select([], [2], [], _PATIENCE)[1]:
            os.write(2, f'\n{message}\n'.encode())


def _leave_to_parent():
    """Gives a forked child its signals back: its bytes would go down the parent's pipe and count there."""
    for interruption in reversed(_entered[:]):
        interruption.__exit__()


os.register_at_fork(after_in_child=_leave_to_parent)
