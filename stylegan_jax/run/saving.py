"""Checkpoints of a run: written in the background while it trains, and tried again after a full disk."""

from stylegan_jax.config import Config
from stylegan_jax.errors import UserError
from stylegan_jax.run.folder import RunFolder
from stylegan_jax.run.log import RunLog
from stylegan_jax.training import TrainState

_A_CHECKPOINT = 'a checkpoint'


class Saving:
    """Saves states of a run. A save that fails is logged, and training goes on; only `finish` insists."""

    def __init__(self, config: Config, folder: RunFolder, log: RunLog):
        """Saves nothing yet.

        Args:
          config: a resolved Config, which checkpoints contain.
          folder: the run's folder.
          log: the run's log, which tells about failures.
        """
        self._config, self._folder, self._log = config, folder, log
        self._nimg = None  # of the checkpoint that is being written in the background

    def save(self, state: TrainState, nimg: int, progress: dict) -> None:
        """Begins to save a copy of a state; the copy is written while training goes on.

        Args:
          state: a TrainState on this process's first device.
          nimg: images shown.
          progress: as `Ticks.progress` returns it.
        """
        self._log.flush()
        self.wait()
        # That nothing fails here does not yet mean that the checkpoint is whole (is_whole): `wait` finds out.
        with self._log.attempt(_A_CHECKPOINT, nimg, is_whole=False):
            self._folder.checkpoints.save(nimg, state, self._config, progress)
            self._nimg = nimg

    def wait(self) -> None:
        """Waits until the checkpoint that was begun is on disk, or has failed."""
        if self._nimg is not None:
            nimg, self._nimg = self._nimg, None
            with self._log.attempt(_A_CHECKPOINT, nimg):
                self._folder.checkpoints.wait()

    def is_saved(self, nimg: int) -> bool:
        """Waits as `wait` does, and tells whether the newest checkpoint is the one at `nimg` images."""
        self.wait()
        return self._folder.checkpoints.latest() == nimg

    def finish(self, state: TrainState, nimg: int, progress: dict) -> None:
        """Saves the last state, and waits until it is on disk; the arguments are those of `save`.

        Raises:
          UserError: it cannot be saved.
        """
        if not self.is_saved(nimg):
            self.save(state, nimg, progress)
        if not self.is_saved(nimg):
            last = self._folder.checkpoints.latest()
            kept = 'there is no checkpoint'
            if last is not None:
                kept = f'the last good checkpoint is that at {last / 1000:g} kimg'
            raise UserError(
                f'the state at {nimg / 1000:g} kimg could not be saved; {kept}',
                field='workdir',
                value=self._folder.path,
                remedy='make room and start the same command again',
            )
