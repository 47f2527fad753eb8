"""Compiling in threads, so that what is needed soon is there in time.

A compilation cannot be broken off. Python cannot end in good order while XLA compiles in one of its threads: it would
abort, or wait. Commands therefore leave by way of `stylegan_jax.runtime.compile_cache`; whoever
else ends meanwhile waits.
"""

import atexit
import threading
import time

import jax

_POLL = 0.1  # seconds between two looks at what may end a wait

_running = set()  # threads


class Compilation:
    """What a thread compiles, from now on."""

    def __init__(self, compile_it):
        """Starts.

        Args:
          compile_it: takes nothing, and returns what was compiled.
        """
        self._compile, self._done = compile_it, threading.Event()
        self._result = self._error = self.seconds = None
        # Whether numbers are of double precision is a setting of each thread.
        self._x64 = jax.config.jax_enable_x64
        thread = threading.Thread(target=self._run, name='compilation', daemon=True)
        _running.add(thread)
        thread.start()

    @property
    def is_done(self):
        """Whether it ended, well or not."""
        return self._done.is_set()

    def result(self, poll=lambda: None):
        """Waits for what was compiled, and returns it.

        Args:
          poll: called meanwhile; what it raises ends the wait, not the compilation.

        Raises:
          Whatever compiling raised.
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
        except BaseException as error:  # it belongs to whoever asks for the result
            self._error = error
        finally:
            self._compile, self.seconds = None, time.monotonic() - start
            self._done.set()
            _running.discard(threading.current_thread())


def is_compiling():
    """Whether a thread compiles."""
    return any(thread.is_alive() for thread in _running.copy())


@atexit.register  # later than JAX's own, and so called before it
def _wait():
    for thread in _running.copy():
        thread.join()
