"""Passes over many samples: outputs of networks are kept as they are computed, and a pass that was stopped goes on."""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator

import jax
import numpy as np
import tqdm

from stylegan_jax.errors import UserError, unwritable
from stylegan_jax.evaluation.kept import FORMS
from stylegan_jax.metrics.moments import Moments
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.folder_lock import FolderLock

_SAY_EVERY = 60.0  # seconds between two lines about the progress, where there is no terminal
_SAVE_EVERY = 30.0  # seconds, for ends that no signal announces


class Store:
    """A folder with a folder for each pass, whose name is a digest of all that the samples depend on.

    Attributes:
      folder: its path.
    """

    def __init__(self, folder: str | os.PathLike):
        """Names the folder; it is created when something is kept."""
        self.folder = os.path.abspath(os.path.expanduser(folder))
        self._open = None

    def gather(
        self,
        identity: dict,
        count: int,
        keeps: Collection[tuple[str, str]],
        produce: Callable[[int], Iterator[dict[str, jax.Array | np.ndarray]]],
        *,
        title: str,
        poll: Callable[[], object] = lambda: None,
        quiet: bool = False,
    ) -> dict[tuple[str, str], Moments | np.ndarray]:
        """Returns kept outputs for `count` samples; those that the folder has are not recomputed.

        Args:
          identity: dict for JSON of everything that the outputs depend on.
          count: number of samples.
          keeps: pairs (name of an output, 'moments' or 'rows').
          produce: takes the number of the first sample that is needed; returns an iterator of dicts
            {name: array [n, D]}, of successive samples from there on, on devices or in memory.
          title: of the progress bar.
          poll: called between pieces. If it raises, the pass ends, and all outputs so far are kept.
          quiet: whether to show no progress bar.

        Returns:
          {(name, form): Moments or rows [count, D]}.

        Raises:
          UserError: another process makes this pass, an output is not finite, or the folder cannot be written.
        """
        folder = os.path.join(self.folder, _digest(identity | {'count': count}))
        keeps = sorted(keeps)
        try:
            os.makedirs(folder, exist_ok=True)
            if all(os.path.exists(_whole(folder, key)) for key in keeps):  # a whole pass needs no lock
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
            raise unwritable(None, folder, error, 'make room, or choose another folder') from error

    def save(self) -> None:
        """Writes the outputs of the current pass so far, in a thread that sees a signal while the main one computes."""
        if self._open is not None:
            self._open.save()

    def forget(self, identity: dict, count: int) -> None:
        """Removes the folder of a pass."""
        shutil.rmtree(os.path.join(self.folder, _digest(identity | {'count': count})), ignore_errors=True)


def _whole(folder, key):
    """Returns the path of the empty file that marks an output as kept of all samples."""
    return os.path.join(folder, '.'.join((*key, 'whole')))


@contextlib.contextmanager
def _locked(folder):
    lock = FolderLock(folder, field='store')
    try:
        lock.__enter__()
    except UserError as error:
        raise UserError(
            f'another evaluation computes the same samples ({error})',
            field='store',
            value=folder,
            remedy='wait for it, or use another folder',
        ) from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


class _Pass:
    """The parts of a pass that are kept; one thread adds to them, and another may save them at any time."""

    def __init__(self, parts):
        self.parts, self._lock = parts, threading.Lock()

    def run(self, count, produce, title, poll, quiet):
        # Parts may differ in length after a kill. Each ignores samples that it has (`kept`).
        done, saved = min(part.done for part in self.parts.values()), time.monotonic()
        said = saved
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
                if bar.disable and not quiet and time.monotonic() >= said + _SAY_EVERY:
                    print(f'{title}: {done:,} of {count:,}', file=sys.stderr, flush=True)
                    said = time.monotonic()
                if done >= count:
                    return
                poll()
                if time.monotonic() > saved + _SAVE_EVERY:
                    self.save()
                    saved = time.monotonic()

    def save(self) -> None:
        with self._lock:
            for part in self.parts.values():
                part.save()


def _finite(rows, name):
    if not np.all(np.isfinite(rows)):
        raise UserError(f'{name} of an image are not finite: the images or the weights of a network are damaged')
    return rows


def _digest(identity):
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
