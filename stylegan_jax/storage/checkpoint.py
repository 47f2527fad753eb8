"""The one door to Orbax: training states on disk, under RUN/checkpoints/<images shown>/.

A checkpoint holds the TrainState, the config that made it, where the log stood, and digests of all three. Orbax
commits it by renaming a folder, so it is there whole or not at all; the digests tell if it was damaged afterwards.
One process reads and writes: the state is the same in all of them.

Reading one checkpoint is the purpose of `stored_checkpoint`; a network is read out of a run by `networks_of_runs`.
"""

import collections.abc
import contextlib
import errno
import os
import shutil
import typing

import jax
import numpy as np
import orbax.checkpoint as ocp

from stylegan_jax.config import Config, serialization
from stylegan_jax.errors import UserError
from stylegan_jax.storage import digests, orbax_reports
from stylegan_jax.storage.places import FOLDER, SET_ASIDE
from stylegan_jax.storage.same_run import refuse_other_run
from stylegan_jax.storage.stored_checkpoint import DamagedError, StoredCheckpoint, stored_fields, with_key_data
from stylegan_jax.training import TrainState

_ROOM_BESIDE = 2**20  # bytes that a checkpoint needs beside its arrays, which compression makes smaller
# Causes of a failed save that are named alone: Orbax and TensorStore wrap them in pages of context.
_CAUSES = errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO


class CheckpointError(OSError):
    """A checkpoint could not be written; the ones before it are as they were."""


class Saved(typing.NamedTuple):
    """A checkpoint in memory.

    Attributes:
      nimg: images shown.
      state: TrainState of numpy arrays and a key.
      config: the Config that it was saved under.
      progress: where the log stood.
      damaged: a line for each newer checkpoint that could not be read, and in whose place this one is used.
    """

    nimg: int
    state: TrainState
    config: Config
    progress: dict
    damaged: tuple[str, ...]


class Checkpoints:
    """The checkpoints of a run.

    Attributes:
      path: their folder.
    """

    def __init__(self, workdir: str | os.PathLike, *, keep: int | None = None, keep_every_kimg: float | None = None):
        """Opens the checkpoints.

        Args:
          workdir: the run's folder.
          keep: how many of the newest are kept; None keeps all and writes nothing.
          keep_every_kimg: the ones nearest to multiples of this are kept too [thousands of images]; None for none.
        """
        self.path = os.path.abspath(os.path.join(workdir, FOLDER))
        self._keep, self._keep_every_kimg = keep, keep_every_kimg
        self._open()

    def _open(self):
        options = {
            'create': False,
            # This process works alone. Orbax would otherwise wait for all processes of the cluster at barriers, which
            # the others never reach.
            'multiprocessing_options': ocp.options.MultiprocessingOptions(
                primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix='own'
            ),
        }
        if self._keep is None:
            options |= {'read_only': True, 'save_interval_steps': 0}
        else:
            os.makedirs(self.path, exist_ok=True)
            policies = ocp.checkpoint_managers
            stay = [policies.LatestN(self._keep)]
            if self._keep_every_kimg is not None:
                stay.append(policies.EveryNStepsClosest(round(self._keep_every_kimg * 1000)))
            options |= {
                'preservation_policy': policies.AnyPreservationPolicy(stay),
                'cleanup_tmp_directories': True,
                'save_root_metadata': False,
            }
        self._manager = ocp.CheckpointManager(self.path, options=ocp.CheckpointManagerOptions(**options))

    def latest(self) -> int | None:
        """Returns the images shown at the newest checkpoint, or None without any."""
        return self._manager.latest_step()

    def all(self) -> list[int]:
        """Returns the images shown at each checkpoint, in rising order."""
        return sorted(self._manager.all_steps())

    def config(self) -> Config:
        """Returns the Config of the newest checkpoint that has a readable one; the rest of it is not read.

        Raises:
          UserError: there is none.
        """
        return self._newest(StoredCheckpoint.config)[0]

    def save(self, nimg: int, state: TrainState, config: Config, progress: dict) -> None:
        """Starts to save a copy of a state; `wait` tells whether it was written.

        Training may go on, and reuse the state's buffers, while the copy is written.

        Args:
          nimg: images shown.
          state: a TrainState that is on this process's devices.
          config: its Config.
          progress: dict for JSON that says where the log stood.

        Raises:
          CheckpointError: it cannot be written.
        """
        # Without a copy, numpy may share the memory of a CPU's buffer, which the next step overwrites.
        state = jax.tree.map(lambda x: np.array(x, copy=True), with_key_data(state))
        items = {'config': serialization.to_dict(config), 'progress': progress | {'lod': float(state.lod)}}
        sums = {name: digests.of_json(value) for name, value in items.items()} | {'state': digests.of_arrays(state)}
        self._check_room(sum(x.nbytes for x in jax.tree.leaves(state)))
        with self._reported():
            self._manager.save(
                nimg,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(stored_fields(state)),
                    digests=ocp.args.JsonSave(sums),
                    **{name: ocp.args.JsonSave(value) for name, value in items.items()},
                ),
            )

    def wait(self) -> None:
        """Returns once everything is on disk.

        Raises:
          CheckpointError: it could not be written.
        """
        with self._reported():
            self._manager.wait_until_finished()

    def restore(self, config: Config | None = None, nimg: int | None = None) -> Saved:
        """Restores the newest checkpoint that can be read, and sets damaged ones aside if it may write.

        Args:
          config: a Config that the run may go on with, see `refuse_other_run`; None for the checkpoint's own.
          nimg: images shown at the one that is wanted; None for the newest.

        Returns:
          Saved.

        Raises:
          UserError: the run cannot go on from it with this config, or none can be read.
        """

        def read(stored):
            theirs = stored.config()
            if config is not None:
                refuse_other_run(theirs, config, stored.path)
            progress = stored.json('progress')
            return Saved(stored.nimg, stored.state(theirs), theirs, progress, ())

        saved, damaged = self._newest(read, nimg)
        # Damaged ones are moved only after one was read: a run without any checkpoint would look like a new one, and
        # start over.
        return saved._replace(
            damaged=tuple(
                reason
                + ('' if self._keep is None else f'; it is now in {self._set_aside(nimg)}')
                + '; the one before it is used'
                for nimg, reason in damaged.items()
            )
        )

    def close(self) -> None:
        """Closes the checkpoints; what `save` began is finished first."""
        self._manager.close()

    def _newest(self, read, nimg=None):
        """Calls `read` with the newest checkpoint, or where that is damaged with the one before, and so on.

        Args:
          read: takes a StoredCheckpoint; raises DamagedError.
          nimg: images shown at the only one that is tried; None for all.

        Returns:
          (what `read` returned, {images shown: a line about it} of the checkpoints that it could not read).
        """
        damaged, there = {}, self.all()
        if nimg is not None and nimg not in there:
            raise UserError(
                f'{self.path}: there is no checkpoint at {nimg / 1000:g} kimg; there are those at '
                + ', '.join(f'{other / 1000:g}' for other in there)
            )
        for one in reversed(there) if nimg is None else [nimg]:
            stored = StoredCheckpoint(self._manager, one, f'{self.path}/{one}')
            try:
                return read(stored), damaged
            except DamagedError as error:
                damaged[one] = f'{stored.path}: this checkpoint cannot be read ({error})'
        if self._keep is None and nimg is None:
            self._manager.reload()
            if self.latest() not in (None, *there):  # a training saved it meanwhile, and deleted those before it
                return self._newest(read)
        raise UserError(
            '; '.join(damaged.values()) + '. None is left to go on from',
            remedy='bring back a copy of this folder, or choose another',
        )

    def _set_aside(self, nimg):
        place = os.path.join(os.path.dirname(self.path), SET_ASIDE, str(nimg))
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.rename(os.path.join(self.path, str(nimg)), place)
        self._manager.reload()
        return place

    def _check_room(self, size):
        """Refuses a save that cannot end, from which many errors would come."""
        free, needed = shutil.disk_usage(self.path).free, size + _ROOM_BESIDE
        if free < needed:
            raise CheckpointError(
                f'{os.strerror(errno.ENOSPC)}: it takes up to {needed / 2**20:.1f} MiB, and {free / 2**20:.1f} are free'
            )

    @contextlib.contextmanager
    def _reported(self) -> collections.abc.Iterator[None]:
        """Turns any error of writing into a CheckpointError, and makes the manager ready to try again."""
        try:
            yield
        except Exception as error:  # a full disk surfaces as OSError, ValueError or RuntimeError
            orbax_reports.silence_late_reports()
            # The failed save may have left the manager in any state, so it is replaced.
            with contextlib.suppress(Exception):
                self._manager.close()
            for name in os.listdir(self.path) if os.path.isdir(self.path) else ():
                if 'orbax-checkpoint-tmp' in name:  # an unfinished checkpoint takes room on the disk
                    shutil.rmtree(os.path.join(self.path, name), ignore_errors=True)
            self._open()
            causes = [os.strerror(number) for number in _CAUSES if os.strerror(number) in str(error)]
            raise CheckpointError(causes[0] if causes else orbax_reports.first_line(error)) from error
