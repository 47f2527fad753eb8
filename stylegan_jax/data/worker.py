"""The main module of processes that read ahead, and how these and those that prepare end.

A spawned process first imports the main module of the one that started it, which for a command that trains means JAX
and the flags; `pipeline` names this module to it instead. Grain does without JAX where it finds none.
"""

import multiprocessing
import os
import sys
import threading

from absl import logging

if __name__ == '__mp_main__':  # the name that multiprocessing gives to the main module in a spawned process
    sys.modules['jax'] = None  # importing it raises ImportError from here on
    logging.set_verbosity(logging.ERROR)  # Grain warns that it misses JAX's profiler


def end_with_parent(*_: object) -> None:
    """Ends this process as soon as the one that started it is no more; otherwise it might wait for work for ever.

    Grain passes the number of this process and of all; neither matters here.
    """

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
