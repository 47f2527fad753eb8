"""What all sources of full-size pictures share."""

import abc
import os
import threading

from stylegan_jax.errors import UserError

MAX_UNUSABLE = 0.01  # of the pictures; beyond this the set is wrong, not a picture


class PictureSource(abc.ABC):
    """Pictures of any size, in a fixed order, and their labels; picklable, and read by many processes and threads.

    Attributes:
      kind: 'folder', 'zip', 'tfrecords', 'lmdb', 'arrays', 'tfds' or 'toy_faces'.
      path: where it is, str, as messages name it.
      labels: float32 [len, K]; K may be 0.
      label_names: what the K entries of a label mean, a tuple of str, or None.
      max_skipped: largest share of the pictures that may be left out, where nothing else is asked for.
      resize_filter: of the reduction to full size, likewise; see `fitting.fitted`.
    """

    kind: str
    path: str
    label_names = None
    max_skipped = MAX_UNUSABLE
    resize_filter = 'box'

    def __len__(self):
        return len(self.labels)

    @abc.abstractmethod
    def name(self, index):
        """Returns what messages call a picture."""

    @abc.abstractmethod
    def picture(self, index):
        """Returns a picture, upright and whole: a PIL.Image, or uint8 [H, W, C], perhaps read-only.

        Raises:
          Unusable: it cannot be decoded.
        """

    @abc.abstractmethod
    def fingerprints(self):
        """Returns {file: what is seen of it without reading it}, str each; equal while nothing changed."""


def changed_files(before, after):
    """Returns the files that two results of `fingerprints()` differ in, sorted."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def stamp_of(path):
    """Returns the fingerprint of one file: its size and when it was written."""
    try:
        status = os.stat(path)
    except OSError as error:
        return f'absent ({error.strerror})'
    return f'{status.st_size} bytes of {status.st_mtime_ns}'


def check_count(count, available, path):
    """Returns how many pictures to use.

    Raises:
      UserError: there are fewer than `count`, or none.
    """
    if not available:
        raise UserError(f'{path}: there are no pictures in it; give another --source')
    if count > available:
        raise UserError(f'--count={count}: {path} has only {available} pictures; give fewer, or 0 for all')
    return count or available


def check_labels_choice(labels, choices, path):
    """Raises a UserError for an option of --labels that a source does not have."""
    if labels not in choices:
        raise UserError(f'--labels={labels}: {path} has no such labels; choose one of {", ".join(choices)}')


class PerProcess:
    """Something that each process opens for itself when it first asks for it; pickled unopened."""

    def __init__(self, opener, *arguments):
        """`opener(*arguments)` opens it; all of them can be pickled."""
        self._opener, self._arguments = opener, arguments
        self._lock, self._opened, self._process = threading.Lock(), None, None

    def get(self):
        """Returns what was opened, one for all threads of a process."""
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._opened = self._opener(*self._arguments)
                    self._process = os.getpid()
        return self._opened

    def __reduce__(self):
        return PerProcess, (self._opener, *self._arguments)
