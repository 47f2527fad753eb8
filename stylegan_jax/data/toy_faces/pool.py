"""Many toy faces at once, drawn by several processes.

Drawing is mostly Python code, which threads do not speed up. `multiprocessing` would import the user's
main script and the whole of stylegan_jax, and so JAX, in every child; these children import neither.
"""

import math
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.runtime.progress import progress_bar
from stylegan_jax.runtime.threads import NUM_THREADS

SMALL = 200  # faces, which are drawn here in the time that processes take to start

# An empty package stands in for stylegan_jax, whose __init__ imports JAX. Ctrl-C is for the parent.
_CHILD = """
import array, signal, sys, types
signal.signal(signal.SIGINT, signal.SIG_IGN)
package, resolution = sys.argv[1], int(sys.argv[2])
sys.modules['stylegan_jax'] = types.ModuleType('stylegan_jax')
sys.modules['stylegan_jax'].__path__ = [package]
from stylegan_jax.data.toy_faces import faces as toy_faces
assert 'jax' not in sys.modules
for index in array.array('q', sys.stdin.buffer.read()):
    sys.stdout.buffer.write(toy_faces.draw(index, resolution).tobytes())
"""


def draw_some(indices: Sequence[int], resolution: int) -> np.ndarray:
    """Draws faces, with a progress bar.

    Args:
      indices: which faces, [n].
      resolution: R, in pixels.

    Returns:
      uint8 [n, R, R, 3].
    """
    faces = np.empty([len(indices), resolution, resolution, 3], np.uint8)
    with progress_bar(len(indices), 'drawing toy faces') as bar:
        drawn = _draw_here if len(indices) <= SMALL or NUM_THREADS == 1 else _draw_in_processes
        for place, face in enumerate(drawn(indices, resolution)):
            faces[place] = face
            bar.update()
    return faces


def _draw_here(indices, resolution):
    for index in indices:
        yield toy_faces.draw(index, resolution)


def _draw_in_processes(indices, resolution):
    package = pathlib.Path(__file__).parents[2]
    # There is a child for every core, so BLAS threads in each would only be in the way.
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'}
    shape = [resolution, resolution, 3]
    size = math.prod(shape)
    children = []
    try:
        for first in range(NUM_THREADS):
            child = subprocess.Popen(
                [sys.executable, '-c', _CHILD, str(package), str(resolution)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
            children.append(child)
            # A child reads all of its indices before it draws, so that neither side waits for the other.
            child.stdin.write(np.asarray(indices[first::NUM_THREADS], np.int64).tobytes())
            child.stdin.close()
        for place, index in enumerate(indices):  # the children take turns, so they are read in turn
            child = children[place % NUM_THREADS]
            content = child.stdout.read(size)
            if len(content) < size:
                raise RuntimeError(
                    f'drawing toy face {index} failed: exit code {child.wait()}; its error is printed above'
                )
            yield np.frombuffer(content, np.uint8).reshape(shape)
    finally:
        for child in children:
            child.kill()
            child.stdout.close()
            child.wait()
