"""The main module of processes that read ahead, and how these and those that prepare begin and end.

A spawned process first imports the main module of the one that started it, which for a command that trains means JAX
and the flags; `pipeline` names this module to it instead. Grain does without JAX where it finds none.
"""

import multiprocessing
import os
import secrets
import sys
import threading
from multiprocessing import shared_memory

from absl import logging

if __name__ == '__mp_main__':  # the name that multiprocessing gives to the main module in a spawned process
    sys.modules['jax'] = None  # importing it raises ImportError from here on
    logging.set_verbosity(logging.ERROR)  # Grain warns that it misses JAX's profiler


def end_with_parent() -> None:
    """Ends this process as soon as the one that started it is no more; otherwise it might wait for work for ever."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def begin(prefix: str, *_: object) -> None:
    """Begins a process that reads: it ends with the one that started it, and its shared memory has names of its own.

    A process that is killed leaves memory behind that only the one that started it can free, by its name
    (`pipeline`).

    Args:
      prefix: the beginning of the names.
      *_: the number of this process and of all, which Grain passes.
    """
    # Python has no public way to choose the names. If its private one changes, the names are merely unknown.
    shared_memory._make_filename = lambda: f'/{prefix}{secrets.token_hex(4)}'
    end_with_parent()
