"""LMDBs of encoded pictures, as LSUN comes in."""

import contextlib
import io
import os
import pathlib
import weakref
from collections.abc import Sequence

import numpy as np
from PIL import Image

from stylegan_jax.data.sources.base import (
    PREPARATION,
    PerProcess,
    PictureSource,
    SettingNames,
    check_count,
    check_labels_choice,
    digest_of,
    names_and_sizes,
    sample_of,
    stamp_of,
)
from stylegan_jax.data.sources.pictures import decode, failing_as_unusable, upright_size
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.stand_ins import stand_in_at


class PictureLMDB(PictureSource):
    """The pictures of an LMDB, in the order of their keys."""

    kind = 'lmdb'
    max_skipped = 1.0  # LSUN has many that are too small
    resize_filter = 'lanczos'  # as the official tool reduces LSUN

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        labels: str = 'auto',
        count: int = 0,
        settings: SettingNames = PREPARATION,
    ):
        """Lists the keys.

        Args:
          path: the folder that has data.mdb in it.
          labels: 'auto' or 'none', both none.
          count: use only the first `count` pictures; 0 = all.
          settings: the names of the caller's settings, for messages.

        Raises:
          UserError: there is no LMDB, nothing in it, or the package lmdb is missing.
        """
        check_labels_choice(labels, ('auto', 'none'), path, settings)
        folder = pathlib.Path(path).expanduser()
        self.path = str(folder)
        self._file = folder / 'data.mdb'
        self._environment = PerProcess(_open, self._file)
        environment = self._environment.get()
        with _failing_as_user_error(self._file), environment.begin() as transaction:
            entries = transaction.stat()['entries']
            count = check_count(count, entries, self._file, settings)
            # LSUN has up to three million keys. They are joined into one array of bytes, with an array of their ends,
            # because an object for each would take many times as much memory.
            self._keys, ends = bytearray(), np.zeros(count + 1, np.int64)
            for row, key in zip(range(count), transaction.cursor().iternext(values=False)):
                self._keys += key
                ends[row + 1] = len(self._keys)
        self._ends = ends
        self.labels = np.zeros([count, 0], np.float32)

    def _key(self, index):
        return bytes(self._keys[self._ends[index] : self._ends[index + 1]])

    def name(self, index: int) -> str:
        return self._key(index).decode('ascii', 'backslashreplace')

    def picture(self, index: int) -> Image.Image:
        return decode(self._content(index))

    def size(self, index: int) -> tuple[int, int]:
        return upright_size(io.BytesIO(self._content(index)))

    def _content(self, index):
        with failing_as_unusable(), self._environment.get().begin() as transaction:
            return transaction.get(self._key(index)) or b''

    def fingerprints(self) -> dict[str, str]:
        return {str(self._file): stamp_of(self._file)}

    def signature(self, indices: Sequence[int]) -> str:
        # The file grows by whole pages, and keys may be numbers alone.
        contents = [self._content(index) for index in sample_of(indices)]
        return digest_of(names_and_sizes([self._file]), *(self._key(index) for index in indices), *contents)


_environments = weakref.WeakValueDictionary()  # LMDB allows one open environment of each file in a process


def _open(path):
    """Opens the folder of data.mdb for reading only; returns the same environment as before while that is in use."""
    try:
        import lmdb  # optional
    except ImportError:
        raise UserError(f'{path}: reading it needs the package lmdb; pip install "stylegan_jax[lsun]"') from None
    if not path.exists():
        raise UserError(f'{path}: there is no such file; give the folder of a whole LMDB, unpacked')
    key = os.getpid(), os.path.realpath(path), stamp_of(path)
    environment = _environments.get(key)
    if environment is None:
        with _failing_as_user_error(path):
            environment = lmdb.open(str(path.parent), readonly=True, lock=False, create=False, readahead=False)
            pages = environment.info()['last_pgno'] + 1
            page_size = environment.stat()['psize']
        if pages * page_size > path.stat().st_size:  # reading beyond the end of a mapped file kills the process
            environment.close()
            raise UserError(
                f'{path}: it is cut off: {path.stat().st_size} of {pages * page_size} bytes; copy or download it again'
            )
        _environments[key] = environment
    return environment


@contextlib.contextmanager
def _failing_as_user_error(path):
    """Turns the errors of LMDB into a UserError that names the file."""
    import lmdb

    try:
        yield
    except lmdb.Error as error:
        raise UserError(
            f'{path}: cannot be read as an LMDB ({stand_in_at(path) or error}); copy or download it again'
        ) from error
