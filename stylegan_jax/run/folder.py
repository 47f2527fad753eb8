"""The folder of a run: one process at a time works in it, and goes on from its newest checkpoint."""

import contextlib
import os

from stylegan_jax.config import Config
from stylegan_jax.errors import UserError, unwritable
from stylegan_jax.runtime.folder_lock import FolderLock
from stylegan_jax.storage.checkpoint import Checkpoints, Saved
from stylegan_jax.storage.places import FOLDER, SET_ASIDE


class RunFolder:
    """A run's folder, locked from the moment that this is made until `release`.

    Attributes:
      path: the folder.
      checkpoints: the `storage.checkpoint.Checkpoints` in it.
      saved: the newest checkpoint as it was found, until `take_saved`; None if there was none.
      taken_over_from: a description of the process that held the folder and ended without releasing it, or None.
    """

    def __init__(self, config: Config, path: str):
        """Makes the folder if it is missing, locks it, and reads the newest checkpoint.

        Args:
          config: a resolved Config.
          path: the folder.

        Raises:
          UserError: the folder cannot be used, another process works in it, or it belongs to another run.
        """
        self.path = path
        _make_writable(path)
        with contextlib.ExitStack() as stack:  # releases the lock if one of the next steps fails
            self.taken_over_from = stack.enter_context(FolderLock(path)).stale
            keeping = {'keep': config.log.keep_checkpoints, 'keep_every_kimg': config.log.keep_every_kimg}
            self.checkpoints, self.saved = _opened(path, lambda checkpoints: checkpoints.restore(config), **keeping)
            self._stack = stack.pop_all()

    def take_saved(self) -> Saved | None:
        """Returns the newest checkpoint as it was found, once: who keeps it keeps a second copy of the state."""
        saved, self.saved = self.saved, None
        return saved

    def release(self) -> None:
        """Lets other processes have the folder."""
        self._stack.close()


def newest(config: Config, path: str | os.PathLike) -> Saved | None:
    """Returns the newest checkpoint that a run would go on from, or None; nothing is locked or written.

    Args:
      config: a resolved Config.
      path: the folder, which may be missing.

    Raises:
      UserError: the folder belongs to another run, or its checkpoints cannot be used.
    """
    checkpoints, saved = _opened(path, lambda checkpoints: checkpoints.restore(config))
    checkpoints.close()
    return saved


def newest_config(path: str | os.PathLike) -> Config | None:
    """Returns the Config of the newest checkpoint, or None; see `newest`."""
    checkpoints, config = _opened(path, Checkpoints.config)
    checkpoints.close()
    return config


def _opened(path, read, **keeping):
    """Opens the checkpoints of a folder; raises a UserError where a run may not go on there.

    Args:
      path: the folder.
      read: called with the Checkpoints if there are any.
      **keeping: see `Checkpoints`.

    Returns:
      (Checkpoints, what `read` returned or None).
    """
    try:
        _refuse_lost_run(path)
        with contextlib.ExitStack() as stack:  # closes them if none can be restored
            checkpoints = stack.enter_context(contextlib.closing(Checkpoints(path, **keeping)))
            found = read(checkpoints) if checkpoints.latest() is not None else None
            stack.pop_all()
            return checkpoints, found
    except OSError as error:
        raise UserError(
            f'its checkpoints cannot be used ({error.strerror or error})',
            field='workdir',
            value=path,
            remedy='choose another folder',
        ) from error


def _make_writable(path):
    try:
        os.makedirs(path, exist_ok=True)
        probe = os.path.join(path, '.writable')
        with open(probe, 'w'):
            pass
        os.unlink(probe)
    except OSError as error:
        raise unwritable('workdir', path, error) from None


def _refuse_lost_run(path):
    """Raises a UserError where all checkpoints were set aside as damaged: a new run would overwrite the log."""
    folder = os.path.join(path, FOLDER)
    has_checkpoint = os.path.isdir(folder) and any(name.isdecimal() for name in os.listdir(folder))
    if not has_checkpoint and os.path.isdir(os.path.join(path, SET_ASIDE)):
        raise UserError(
            f'the checkpoints of this run are gone, but for damaged ones in {SET_ASIDE}',
            field='workdir',
            value=path,
            remedy='bring back a copy, or choose another folder',
        )
