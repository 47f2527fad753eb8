"""What a process that reads ahead runs instead of the command that started it; for `data.pipeline` alone.

A spawned process first imports the main module of the one that started it, which for a command means JAX and the
flags; this module is named to it instead. Grain does without JAX where it finds none.
"""
import multiprocessing
import os
import sys
import threading

from absl import logging

if __name__ == '__mp_main__':
    sys.modules['jax'] = None       # importing it raises ImportError from here on
    logging.set_verbosity(logging.ERROR)        # Grain warns that it misses JAX's profiler


def end_with_parent(number, count):
    """Ends this process as soon as the one that started it is no more, which Grain's would outlive for ever.

    Args:
      number, count: which process of how many this is; Grain says so.
    """
    del number, count

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)
    threading.Thread(target=wait, daemon=True).start()
