"""Stopping in good order: the first SIGINT or SIGTERM asks, the second one insists.

Python runs signal handlers only between two instructions of the main thread, and so not during a call that takes
minutes, such as a compilation. But the interpreter's own handler, in C, at once writes a byte to the wakeup file
descriptor. A thread that reads this byte can end the process whatever the main thread does, as long as the main thread
releases the GIL.
"""

import collections.abc
import contextlib
import os
import select
import signal
import threading
import time
import types

_SIGNALS = signal.SIGINT, signal.SIGTERM
_END = 0  # the byte that ends the thread; no signal has this number
_PATIENCE = 1.0  # seconds for which a message waits for a reader of stderr
_ECHO = 1.0  # seconds during which a second SIGTERM does not count, because Slurm sends the first one twice

_entered = []  # interruptions that handle this process's signals, innermost last


class Interrupted(Exception):
    """A signal to stop ended long work before it was done."""


class Interruption:
    """Context, for the main thread, in which the first signal to stop is only noted; the second one ends the process.

    Attributes:
      signal: the number of the first signal, or None.
    """

    def __init__(self, at_once: collections.abc.Callable[[], object] | None = None):
        """Does nothing yet.

        Args:
          at_once: a function that saves. With it already the first signal ends the process: another thread calls the
            function and exits, whatever the main thread is doing. None if the main thread ends by itself after a
            signal was noted.
        """
        self._at_once = at_once

    def __enter__(self) -> 'Interruption':
        """Takes over the signals."""
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

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: types.TracebackType | None = None,
    ):
        """Puts everything back as it was before."""
        self._stack.close()

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, by the convention of shells: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.signal

    def poll(self) -> None:
        """Raises `Interrupted` if a signal was noted; long work calls it again and again."""
        if self.signal is not None:
            raise Interrupted(signal.Signals(self.signal).name)

    def _handle(self, number, frame):
        # The thread would note the signal as well, but later; code after `signal.raise_signal` may rely on it.
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
        """Counts signals, in a thread, until it reads the byte _END."""
        first = None  # time of the first signal
        while True:
            for number in os.read(reader, 1024):
                if number == _END:
                    return
                if number not in _SIGNALS:  # The descriptor receives every signal that Python handles.
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
    # A forked child has no such thread, and shares the pipe with its parent, whose thread the byte would end.
    if thread.is_alive():
        os.write(writer, bytes([_END]))
        thread.join()


def _say(message):
    # This bypasses Python's buffers, whose locks the main thread may hold. A terminal that was stopped, or a stderr
    # that was closed, must not keep the thread from reading the second signal.
    with contextlib.suppress(OSError):
        if select.select([], [2], [], _PATIENCE)[1]:
            os.write(2, f'\n{message}\n'.encode())


def _leave_to_parent():
    """Restores the signal handlers in a forked child, whose signals would otherwise be counted in its parent."""
    for interruption in reversed(_entered[:]):
        interruption.__exit__()


os.register_at_fork(after_in_child=_leave_to_parent)
