"""A pass over many samples: what networks say of them is kept as it comes, and a pass that was stopped goes on."""

import contextlib
import hashlib
import json
import os
import shutil
import threading
import time

import numpy as np
import tqdm

from stylegan_jax.errors import UserError
from stylegan_jax.evaluation.kept import FORMS
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.folder_lock import FolderLock

_SAVE_EVERY = 30.0  # seconds, against what no signal announces


class Store:
    """A folder with a folder for each pass, named by a digest of all that its samples depend on.

    Attributes:
      folder: its path.
    """

    def __init__(self, folder):
        """Names the folder; it is made when something is kept."""
        self.folder = os.path.abspath(os.path.expanduser(folder))
        self._open = None

    def gather(self, identity, count, keeps, produce, *, title, poll=lambda: None, quiet=False):
        """Returns what is kept of `count` samples, from the folder as far as they are there.

        Args:
          identity: dict for JSON of all that the samples and what is kept of them depend on.
          count: how many.
          keeps: set of (name of an output, 'moments' or 'rows').
          produce: takes the number of the first sample that is needed; returns an iterator of dicts
            {name: array [n, D]}, of successive samples from there on, on devices or in memory.
          title: of the progress bar.
          poll: called between pieces; what it raises ends the pass, and what was done is kept.
          quiet: whether to show no progress bar.

        Returns:
          {(name, form): Moments or rows [count, D]}.

        Raises:
          UserError: another process has this pass, or the folder cannot be written.
        """
        folder = os.path.join(self.folder, _digest(identity | {'count': count}))
        keeps = sorted(keeps)
        try:
            os.makedirs(folder, exist_ok=True)
            if all(os.path.exists(_whole(folder, key)) for key in keeps):  # read by as many as like
                return {(name, form): FORMS[form](folder, name).value() for name, form in keeps}
            with _locked(folder):
                with atomic.writing(os.path.join(folder, 'identity.json')) as file:
                    json.dump(identity | {'count': count}, file, indent=1)
                kept = _Pass({(name, form): FORMS[form](folder, name) for name, form in keeps})
                self._open = kept
                try:
                    kept.run(count, produce, title, poll, quiet)
                finally:
                    kept.save()
                    self._open = None
                for key in keeps:
                    with atomic.writing(_whole(folder, key)):
                        pass
                return {key: one.value() for key, one in kept.parts.items()}
        except OSError as error:
            raise UserError(
                f'{folder}: cannot be written ({error.strerror or error}); make room, or choose another folder'
            ) from error

    def save(self):
        """Writes what the pass under way has; for threads that see a signal while the main thread computes."""
        if self._open is not None:
            self._open.save()

    def forget(self, identity, count):
        """Removes a pass."""
        shutil.rmtree(os.path.join(self.folder, _digest(identity | {'count': count})), ignore_errors=True)


def _whole(folder, key):
    """The file that says that everything is kept."""
    return os.path.join(folder, '.'.join((*key, 'whole')))


@contextlib.contextmanager
def _locked(folder):
    lock = FolderLock(folder, field='store')
    try:
        lock.__enter__()
    except UserError as error:
        raise UserError(
            f'{folder}: another evaluation is at the same samples; wait for it, or use another folder '
            f'(--store) ({error})'
        ) from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


class _Pass:
    """The parts of a pass that are kept, shared by the thread that adds to them and one that saves them."""

    def __init__(self, parts):
        self.parts, self._lock = parts, threading.Lock()

    def run(self, count, produce, title, poll, quiet):
        done, saved = min(part.done for part in self.parts.values()), time.monotonic()
        names = {name for name, _ in self.parts}
        with tqdm.tqdm(
            total=count,
            initial=min(done, count),
            desc=title,
            unit='img',
            dynamic_ncols=True,
            delay=1,
            disable=True if quiet else None,
        ) as bar:
            if done >= count:
                return
            for outputs in produce(done):
                outputs = {name: np.asarray(outputs[name])[: count - done] for name in names}
                size = len(next(iter(outputs.values())))
                with self._lock:
                    for (name, _), part in self.parts.items():
                        part.add(done, _finite(outputs[name], name))
                done += size
                bar.update(size)
                if done >= count:
                    return
                poll()
                if time.monotonic() > saved + _SAVE_EVERY:
                    self.save()
                    saved = time.monotonic()

    def save(self):
        with self._lock:
            for part in self.parts.values():
                part.save()


def _finite(rows, name):
    if not np.all(np.isfinite(rows)):
        raise UserError(f'{name} of an image are not finite: the images or the weights of a network are damaged')
    return rows


def _digest(identity):
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
