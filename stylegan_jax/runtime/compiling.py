"""Compiling in threads, so that a program is ready when it is needed.

A compilation cannot be interrupted, and Python cannot end in good order while XLA compiles in one of its threads: it
would abort or wait. Commands therefore run inside `abandoned_at_exit`; any other program waits for the thread before
it ends. The folder that keeps compiled programs is the subject of `runtime.compile_cache`.
"""

import atexit
import collections.abc
import contextlib
import os
import sys
import threading
import time

import jax

_POLL = 0.1  # seconds between two calls of a function that may end a wait

# Held while the program of a stage is traced. Tracing is Python, of which one thread runs at a time, so that two traces
# side by side would both be late. In turn, XLA, which needs no Python, compiles the first one while the next is traced.
tracing = threading.Lock()

_running = set()  # the threads that compile

_HIT = '/jax/compilation_cache/cache_hits'  # the event of a program that the persistent cache had
_found = threading.local()  # `count`: programs that the cache had for this thread


def _listen(event, **_):
    if event == _HIT:  # JAX calls this in the thread that compiles
        _found.count = getattr(_found, 'count', 0) + 1


jax.monitoring.register_event_listener(_listen)


class Compilation:
    """One compilation, which runs in a thread of its own from the moment that this is made.

    Attributes:
      seconds: how long it took, with the wait for `tracing`; None until it is done.
      from_cache: whether the persistent cache had the program.
    """

    def __init__(self, compile_it: collections.abc.Callable[[], object]):
        """Starts the thread.

        Args:
          compile_it: takes no arguments, and returns the compiled program.
        """
        self._compile, self._done = compile_it, threading.Event()
        self._result = self._error = self.seconds = None
        self.from_cache = False
        # JAX keeps the setting for double precision per thread, so the new thread has to be told.
        self._x64 = jax.config.jax_enable_x64
        thread = threading.Thread(target=self._run, name='compilation', daemon=True)
        _running.add(thread)
        thread.start()

    @property
    def is_done(self) -> bool:
        """Whether it ended, with a program or with an error."""
        return self._done.is_set()

    def result(self, poll: collections.abc.Callable[[], object] = lambda: None) -> object:
        """Waits for the end of the compilation, and returns the program.

        Args:
          poll: called every tenth of a second meanwhile. An exception that it raises ends the wait, but not the
            compilation.

        Raises:
          Exception: any error that the compilation raised.
        """
        while not self._done.wait(_POLL):
            poll()
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self):
        start = time.monotonic()
        try:
            with jax.enable_x64(self._x64):
                self._result = self._compile()
        except BaseException as error:  # `result` raises it in the thread that needs the program.
            self._error = error
        finally:
            self._compile, self.seconds = None, time.monotonic() - start
            self.from_cache = getattr(_found, 'count', 0) > 0
            self._done.set()
            _running.discard(threading.current_thread())


def is_compiling() -> bool:
    """Tells whether any thread still compiles."""
    return any(thread.is_alive() for thread in _running.copy())


@contextlib.contextmanager
def abandoned_at_exit() -> collections.abc.Iterator[None]:
    """Context for a whole command. If a thread still compiles when the command ends, the process ends at once.

    The exit code and the last lines on stderr are the same as usual. Python's own steps at its end are skipped
    (handlers of `atexit`, the joining of threads), so all files that matter must be closed by then.
    """
    try:
        yield
    except BaseException as error:  # Commands end by SystemExit, with exit code 0 as well.
        if not is_compiling():
            raise
        code = _exit_code(error)
        if jax.distributed.is_initialized():
            jax.distributed.shutdown()  # Otherwise the other processes would report that this one was lost.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _exit_code(error):
    """Returns the exit code that Python would end with, after printing what Python would print."""
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


@atexit.register  # Handlers run in reverse order: this one was registered after JAX's own, and so runs before it.
def _wait():
    for thread in _running.copy():
        thread.join()
