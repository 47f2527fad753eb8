"""Toy faces that were drawn before: kept in the cache folder, and drawn anew after a change of what draws them."""

import contextlib
import functools
import hashlib
import os
import pathlib

import numpy as np
import PIL

from stylegan_jax.data.toy_faces.pool import SMALL, draw_some
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.cache_folder import cache_folder

BLOCK = 500  # faces that are drawn, and kept in a file, together
_MOST_BYTES = 2 << 30  # of the faces of a set that are kept on disk
_DIGEST = 16  # bytes at the end of a file, by which a damaged one is known


class Faces:
    """The faces 0 to count - 1 at one resolution, brought into memory block by block as they are asked for.

    A set of more than a few is read from the cache folder where it was drawn before, and kept there once it is drawn.
    A folder that cannot be written, or has no room, is no matter. One thread at a time may use this.

    Attributes:
      pixels: uint8 [count, R, R, 3]; only blocks that were asked for are filled.
    """

    def __init__(self, count: int, resolution: int):
        """Draws nothing yet.

        Args:
          count: how many faces.
          resolution: R, in pixels.
        """
        self.pixels = np.empty([count, resolution, resolution, 3], np.uint8)
        self._is_there = np.zeros(-(-count // BLOCK), bool)
        self._folder = None
        if count > SMALL and self.pixels.nbytes <= _MOST_BYTES:
            self._folder = pathlib.Path(cache_folder(), 'toy_faces', version(), str(resolution))

    def bring(self, indices: np.ndarray) -> None:
        """Fills the blocks that some faces, int [n], are in."""
        blocks = np.unique(indices // BLOCK)
        missing = [block for block in blocks[~self._is_there[blocks]] if not self._read(block)]
        if missing:
            places = np.concatenate([np.arange(len(self.pixels))[self._part(block)] for block in missing])
            self.pixels[places] = draw_some(places.tolist(), self.pixels.shape[1])
            for block in missing:
                self._write(block)
        self._is_there[blocks] = True

    def _part(self, block):
        return slice(block * BLOCK, min((block + 1) * BLOCK, len(self.pixels)))

    def _path(self, block):
        part = self._part(block)
        return self._folder / f'{part.start:06d}-{part.stop:06d}'

    def _read(self, block):
        """Fills a block from its file; returns whether there is a whole one."""
        if self._folder is None:
            return False
        try:
            content = self._path(block).read_bytes()
        except OSError:
            return False
        faces, part = content[:-_DIGEST], self.pixels[self._part(block)]
        if len(faces) != part.nbytes or _digest_of(faces) != content[-_DIGEST:]:
            return False
        part[...] = np.frombuffer(faces, np.uint8).reshape(part.shape)
        return True

    def _write(self, block):
        if self._folder is None:
            return
        faces = self.pixels[self._part(block)].tobytes()
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            # Several processes may draw the same faces at the same time.
            with atomic.writing(self._path(block), 'wb', suffix=f'.{os.getpid()}.part') as file:
                file.write(faces + _digest_of(faces))


@functools.cache
def version() -> str:
    """Returns a name for the way in which faces are drawn, made from the code and the versions of its libraries."""
    code = b''.join(path.read_bytes() for path in sorted(pathlib.Path(__file__).parent.glob('*.py')))
    return f'pillow-{PIL.__version__}-numpy-{np.__version__}-{_digest_of(code).hex()[:8]}'


def _digest_of(content):
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()
