"""What processes that read ahead or prepare have in common, and what those that read ahead run as their main module.

A spawned process first imports the main module of the one that started it, which for a command that trains means JAX
and the flags; `pipeline` names this module to it instead. Grain does without JAX where it finds none.
"""

import multiprocessing
import os
import sys
import threading

from absl import logging

if __name__ == '__mp_main__':
    sys.modules['jax'] = None  # importing it raises ImportError from here on
    logging.set_verbosity(logging.ERROR)  # Grain warns that it misses JAX's profiler


def end_with_parent(*_):
    """Ends this process as soon as the one that started it is no more, which it might outlive for ever.

    Grain says which of how many processes this is; that does not matter here.
    """

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
