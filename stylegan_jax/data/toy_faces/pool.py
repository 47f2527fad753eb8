"""Many toy faces at once, drawn by several processes.

Drawing is mostly Python code, which threads do not speed up. `multiprocessing` would import the user's
main script and the whole of stylegan_jax, and so JAX, in every child; these children import neither.
"""

import math
import os
import pathlib
import subprocess
import sys

import numpy as np

from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.runtime.progress import progress_bar
from stylegan_jax.runtime.threads import NUM_THREADS

SMALL = 200  # faces, which are drawn here in the time that processes take to start

# An empty package stands in for stylegan_jax, whose __init__ imports JAX. Ctrl-C is for the parent.
_CHILD = """
import signal, sys, types
signal.signal(signal.SIGINT, signal.SIG_IGN)
package, first, count, step, resolution = sys.argv[1], *map(int, sys.argv[2:])
sys.modules['stylegan_jax'] = types.ModuleType('stylegan_jax')
sys.modules['stylegan_jax'].__path__ = [package]
from stylegan_jax.data.toy_faces import faces as toy_faces
assert 'jax' not in sys.modules
for index in range(first, count, step):
    sys.stdout.buffer.write(toy_faces.draw(index, resolution).tobytes())
"""


def draw_all(count: int, resolution: int) -> np.ndarray:
    """Draws the faces 0 to count - 1, with a progress bar.

    Args:
      count: how many faces.
      resolution: R, in pixels.

    Returns:
      uint8 [count, R, R, 3].
    """
    faces = np.empty([count, resolution, resolution, 3], np.uint8)
    with progress_bar(count, 'drawing toy faces') as bar:
        drawn = _draw_here if count <= SMALL or NUM_THREADS == 1 else _draw_in_processes
        for index, face in enumerate(drawn(count, resolution)):
            faces[index] = face
            bar.update()
    return faces


def _draw_here(count, resolution):
    for index in range(count):
        yield toy_faces.draw(index, resolution)


def _draw_in_processes(count, resolution):
    package = pathlib.Path(__file__).parents[2]
    # There is a child for every core, so BLAS threads in each would only be in the way.
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'}
    shape = [resolution, resolution, 3]
    size = math.prod(shape)
    children = []
    try:
        for first in range(NUM_THREADS):
            arguments = [package, first, count, NUM_THREADS, resolution]
            children.append(
                subprocess.Popen(
                    [sys.executable, '-c', _CHILD, *map(str, arguments)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    env=environment,
                )
            )
        for index in range(count):  # child k draws the faces k, k + NUM_THREADS, ..., so they are read in turn
            child = children[index % NUM_THREADS]
            content = child.stdout.read(size)
            if len(content) < size:
                raise RuntimeError(
                    f'drawing toy face {index} failed: exit code {child.wait()}; its error is printed above'
                )
            yield np.frombuffer(content, np.uint8).reshape(shape)
    finally:
        for child in children:
            child.kill()
            child.communicate()
