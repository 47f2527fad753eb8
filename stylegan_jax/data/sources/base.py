"""The one protocol of sources, full-size pictures from anywhere, and the small tools that all of them share."""

import abc
import hashlib
import os
import pathlib
import threading
import typing
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from stylegan_jax.errors import UserError

MAX_UNUSABLE = 0.01  # of the pictures; beyond this the set is wrong, not a picture


class SettingNames(typing.NamedTuple):
    """The names of the settings that asked for a source, so that messages name those that the user knows.

    Attributes:
      path: the setting that says where the pictures are.
      count: the setting that limits their number.
      labels: the setting that chooses among kinds of labels.
      without_labels: how to do without labels.
    """

    path: str
    count: str
    labels: str
    without_labels: str


PREPARATION = SettingNames('source', 'count', 'labels', 'leave labels out (labels=none)')
TRAINING = SettingNames(
    'data.path',
    'data.count',
    'data.find_labels',
    'train without labels (data.find_labels=False, image.label_dim=0)',
)


class PictureSource(abc.ABC):
    """Pictures of any size, in a fixed order, and their labels; picklable, and read by many processes and threads.

    Attributes:
      kind: 'folder', 'zip', 'tfrecords', 'lmdb', 'arrays', 'tfds' or 'toy_faces'.
      path: where it is, as messages name it.
      labels: float32 [len, K]; K may be 0.
      label_names: the meaning of the K entries of a label, or None.
      max_skipped: largest share of the pictures that may be left out, where nothing else is asked for.
      resize_filter: of the reduction to full size, where nothing else is asked for; see `fitting.fitted`.
      in_memory: whether every process that reads holds all pictures in memory.
      notes: lines for people on what was found beside the pictures, and on what was left out and why.
    """

    kind: str
    path: str
    labels: np.ndarray
    label_names: tuple[str, ...] | None = None
    max_skipped: float = MAX_UNUSABLE
    resize_filter: str = 'box'
    in_memory: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @abc.abstractmethod
    def name(self, index: int) -> str:
        """Returns the name of a picture in messages."""

    @abc.abstractmethod
    def picture(self, index: int) -> Image.Image | np.ndarray:
        """Returns a picture, upright and whole: a PIL.Image, or uint8 [H, W] or [H, W, C], perhaps read-only.

        Raises:
          Unusable: it cannot be decoded.
        """

    @abc.abstractmethod
    def fingerprints(self) -> dict[str, str]:
        """Returns {file: traits that show without reading it}; equal while nothing changed."""

    @abc.abstractmethod
    def signature(self, indices: Sequence[int]) -> str:
        """Returns a text that tells some of the pictures, in this order, from others; the same for a copy elsewhere."""

    def size(self, index: int) -> tuple[int, int]:
        """Returns (height, width) of a picture; sources that can do so without decoding it override this.

        Raises:
          Unusable: it cannot be decoded.
        """
        picture = self.picture(index)
        return picture.shape[:2] if isinstance(picture, np.ndarray) else picture.size[::-1]

    def common_size(self) -> tuple[int, int] | None:
        """Returns (height, width) of all pictures, where a source knows it without reading them; else None."""
        return None

    def all_pixels(self, shape: tuple[int, int, int]) -> np.ndarray | None:
        """Returns all pictures, uint8 [len, H, W, C], where that is faster than one by one and needs no fitting.

        Args:
          shape: (H, W, C) that the caller needs.

        Returns:
          None where pictures are of another shape, or have to be read one by one.
        """
        return None


def changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Returns the files that two results of `fingerprints()` differ in, sorted."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def stamp_of(path: str | os.PathLike) -> str:
    """Returns the fingerprint of one file: its size and when it was written."""
    try:
        status = os.stat(path)
    except OSError as error:
        return f'absent ({error.strerror})'
    return f'{status.st_size} bytes of {status.st_mtime_ns}'


def digest_of(*parts: str | bytes | np.ndarray) -> str:
    """Returns a digest of texts, bytes and arrays, one after another, for `PictureSource.signature`."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            part = part.encode('utf-8', 'surrogateescape')  # names of files may hold bytes that are no UTF-8
        digest.update(np.ascontiguousarray(part) if isinstance(part, np.ndarray) else part)
    return digest.hexdigest()


def sample_of(indices: Sequence[int]) -> np.ndarray:
    """Returns up to 64 of some indices, evenly spread: signatures look into these where reading all takes too long."""
    return np.asarray(indices)[np.unique(np.linspace(0, len(indices) - 1, 64).astype(int))]


def names_and_sizes(paths: Sequence[pathlib.Path]) -> str:
    """Returns the names of files, without their folders, and their sizes, for `digest_of`."""
    return '\0'.join(f'{path.name}\0{path.stat().st_size}' for path in paths)


def check_count(count: int, available: int, path: str | os.PathLike, settings: SettingNames = PREPARATION) -> int:
    """Returns how many pictures to use.

    Raises:
      UserError: there are fewer than `count`, or none.
    """
    if not available:
        raise UserError(f'{path}: there are no pictures in it', remedy=f'give another {settings.path}')
    if count > available:
        raise UserError(
            f'{path} has only {available} images',
            field=settings.count,
            value=count,
            remedy=f'give fewer, or set {settings.count}=0 to use all',
        )
    return count or available


def share_that_allows(unusable: int, total: int) -> float:
    """Returns the smallest whole per cent that, as the largest share of unusable pictures, lets so many pass."""
    return -(-100 * unusable // total) / 100


def check_labels_choice(
    labels: str, choices: Sequence[str], path: str | os.PathLike, settings: SettingNames = PREPARATION
) -> None:
    """Raises a UserError for a choice of labels that a source does not have."""
    if labels not in choices:
        raise UserError(
            f'{path} has no such labels',
            field=settings.labels,
            value=labels,
            remedy=f'choose one of {", ".join(choices)}',
        )


class PerProcess:
    """Something that each process opens for itself when it first asks for it; pickled unopened."""

    def __init__(self, opener: Callable[..., typing.Any], *arguments: typing.Any):
        """Names the opener; `opener(*arguments)` is called later, and all of them can be pickled."""
        self._opener, self._arguments = opener, arguments
        self._lock, self._opened, self._process = threading.Lock(), None, None

    def get(self) -> typing.Any:
        """Returns the opened thing, one for all threads of a process."""
        # A forked process inherits the attributes, but a file's position or an LMDB must not be shared with the
        # parent; so the number of the process is part of the condition. The first look without the lock is for speed.
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._opened = self._opener(*self._arguments)
                    self._process = os.getpid()
        return self._opened

    def __reduce__(self):
        return PerProcess, (self._opener, *self._arguments)
