"""Images as uint8, as one grid, and as PNG files that appear whole or not at all."""

import collections
import concurrent.futures
import os
import typing
from collections.abc import Callable

import numpy as np
import PIL.Image

from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.threads import NUM_THREADS

_COMPRESSION = 1  # zlib's; its default of 6 takes four times as long for files about a seventh smaller
_MOST_WAITING = 4  # images for each thread


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts [-1, 1] to 0..255 in NumPy, as the official code does for metrics: x * 127.5 + 128, truncated.

    `sampling.engine.to_uint8_on_device` does the same in compiled functions, equal to the bit.

    Args:
      images: floats [..., H, W, C]; values outside [-1, 1] are clipped.

    Returns:
      uint8 [..., H, W, C].
    """
    return np.clip(np.asarray(images, np.float32) * 127.5 + 128, 0, 255).astype(np.uint8)


def image_grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Lays images out row by row.

    Args:
      images: uint8 [N, H, W, C].
      columns: images in a row; the last row is filled up with black.

    Returns:
      uint8 [rows * H, columns * W, C].
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    grid = np.zeros((rows * columns, height, width, channels), np.uint8)
    grid[:count] = images
    grid = grid.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)


def save_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes a PNG, which appears whole or not at all.

    Args:
      path: of the file.
      image: uint8 [H, W, C] with 1 (grey), 3 (RGB) or 4 (RGBA) channels. PNG has no other numbers of channels; of such
        an image the first channel is written as grey.
    """
    with atomic.writing(path, 'wb') as file:
        write_png(file, image)


def write_png(file: typing.BinaryIO, image: np.ndarray) -> None:
    """Writes the bytes of a PNG to an open file; see `save_png`."""
    if image.shape[-1] not in (3, 4):
        image = image[..., 0]
    PIL.Image.fromarray(image).save(file, format='PNG', compress_level=_COMPRESSION)


class PngWriter:
    """Context in which threads write PNG files, each thread a file at a time; it ends when all files are there.

    An error in a thread is raised by a later `save`, or at the end of the context. After an exception, Ctrl-C included,
    no more files are begun.
    """

    def __init__(self, written: Callable[[], object] = lambda: None):
        """Starts no thread yet.

        Args:
          written: called after each file, in the thread that calls `save`.
        """
        self._written, self._waiting = written, collections.deque()
        self._threads = concurrent.futures.ThreadPoolExecutor(NUM_THREADS, thread_name_prefix='png')

    def save(self, path: str | os.PathLike, image: np.ndarray) -> None:
        """Has a thread write a file, see `save_png`; waits while too many images are waiting.

        No two files under way may have the same path.
        """
        while len(self._waiting) >= _MOST_WAITING * NUM_THREADS:
            self._await_first()
        self._waiting.append(self._threads.submit(save_png, path, image))

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, kind, *error):
        try:
            while self._waiting and kind is None:
                self._await_first()
        finally:
            self._threads.shutdown(cancel_futures=True)

    def _await_first(self):
        self._waiting.popleft().result()
        self._written()


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Repeats every pixel of [..., H, W, C] in both directions."""
    return np.repeat(np.repeat(image, factor, axis=-3), factor, axis=-2)
