"""Forms in which outputs for many samples are kept in a folder, so that a stopped pass can go on: moments, or all rows.

Both forms count the samples that they have, and ignore samples that they are given again. Files appear whole, or are
cut back to their last whole row when they are opened.
"""

import errno
import os
import zipfile

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.moments import Moments
from stylegan_jax.runtime import atomic

_PIECE = 512  # samples in one update of the moments; a signal may have to wait for one update


class KeptMoments:
    """Moments of samples [D], whose size is D^2 whatever the number of samples.

    Attributes:
      done: number of samples so far.
    """

    def __init__(self, folder: str, name: str):
        """Continues with the file of an output in the folder, if there is one."""
        self._path = os.path.join(folder, f'{name}.moments.npz')
        self._moments, self._waiting = None, []
        if os.path.exists(self._path):
            try:
                with np.load(self._path, allow_pickle=False) as file:
                    self._waiting = [file['waiting']]
                    self._moments = Moments.from_arrays(dict(file), where=self._path) if 'count' in file else None
            except (ValueError, OSError, KeyError, UserError, zipfile.BadZipFile):
                # The file is damaged, as after a failure of the disk, so that the pass begins anew.
                self._moments, self._waiting = None, []
        self.done = (self._moments.count if self._moments else 0) + sum(map(len, self._waiting))

    def add(self, start: int, rows: np.ndarray) -> None:
        """Adds samples [n, D], the first of which is number `start`."""
        rows = rows[max(self.done - start, 0) :]
        self._waiting.append(rows)
        self.done += len(rows)
        if sum(map(len, self._waiting)) >= _PIECE:
            self._merge()

    def save(self) -> None:
        """Writes all rows so far. Those that wait to be merged are written as they are, because that is faster."""
        if self.done:
            moments = self._moments.to_arrays() if self._moments else {}
            waiting = np.concatenate(self._waiting) if self._waiting else np.zeros((0, 0), np.float32)
            with atomic.writing(self._path, 'wb') as file:
                np.savez(file, waiting=waiting, **moments)

    def value(self) -> Moments:
        """Returns the moments of all samples."""
        self._merge()
        return self._moments

    def _merge(self):
        waiting, self._waiting = [rows for rows in self._waiting if len(rows)], []
        if waiting:
            rows = np.concatenate(waiting)
            self._moments = Moments.of(rows) if self._moments is None else self._moments.add(rows)


class KeptRows:
    """All samples [D], float32, in a file of rows; its name ends with the number of columns, D.

    Attributes:
      done: number of samples so far.
    """

    def __init__(self, folder: str, name: str):
        """Continues with the file of an output in the folder, if there is one."""
        self._folder, self._prefix, self._file, self.done = folder, f'{name}.rows.', None, 0
        for entry in os.listdir(folder):
            if entry.startswith(self._prefix) and entry[len(self._prefix) :].isdecimal():
                self._open(int(entry[len(self._prefix) :]))

    def _open(self, columns):
        self._path, self._columns = os.path.join(self._folder, f'{self._prefix}{columns}'), columns
        self._file = open(self._path, 'ab', buffering=0)
        self.done = self._file.tell() // (4 * columns)
        self._file.truncate(self.done * 4 * columns)

    def add(self, start: int, rows: np.ndarray) -> None:
        """Adds samples [n, D], the first of which is number `start`."""
        if self._file is None:
            self._open(rows.shape[1])
        rows = np.ascontiguousarray(rows[max(self.done - start, 0) :], '<f4')
        # The file is unbuffered, so that written rows are there even if this process is killed.
        if rows.size and self._file.write(rows) != rows.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.done += len(rows)

    def save(self) -> None:
        """Does nothing, because all rows are written when they are added."""

    def value(self) -> np.ndarray:
        """Returns the samples [N, D], float32, mapped from the file."""
        return np.memmap(self._path, '<f4', 'r', shape=(self.done, self._columns))


FORMS = {'moments': KeptMoments, 'rows': KeptRows}
