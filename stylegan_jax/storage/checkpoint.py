"""The one door to Orbax: training states on disk, under RUN/checkpoints/<images shown>/.

A checkpoint holds the TrainState, the config that made it, where the log stood, and digests of all three. Orbax
commits it by renaming a folder, so it is there whole or not at all; the digests tell if it was damaged afterwards.
One process reads and writes: the state is the same in all of them.
"""

import concurrent.futures
import contextlib
import errno
import functools
import hashlib
import json
import logging
import os
import shutil
import sys
import typing
import warnings

import absl.logging
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from stylegan_jax.config import run as config_lib
from stylegan_jax.config import serialization
from stylegan_jax.errors import UserError
from stylegan_jax.training import create_state, network

FOLDER = 'checkpoints'
SET_ASIDE = 'damaged-checkpoints'
_ROOM_BESIDE = 2**20  # bytes of a checkpoint beside its arrays, which compression makes smaller
# What fails for other reasons than that a file is damaged.
_NOT_DAMAGE = errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM
_CAUSES = errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO
# Fields of the networks' configs that may change in a run; `image` is compared once, as the run's own.
_NOT_ARCHITECTURE = ('truncation_psi', 'truncation_cutoff')


def _wanted(record):
    """Whether a log record is for the user: what Orbax reports with a traceback, it also raises."""
    return 'orbax' not in record.pathname or absl.logging.get_verbosity() >= absl.logging.INFO


def _wanted_of_asyncio(record):
    return 'orbax' not in record.getMessage()


logging.getLogger('absl').addFilter(_wanted)


class CheckpointError(OSError):
    """A checkpoint could not be written; the ones before it are as they were."""


class Saved(typing.NamedTuple):
    """A checkpoint in memory.

    Attributes:
      nimg: images shown.
      state: TrainState of numpy arrays and a key.
      config: the Config that it was saved under.
      progress: where the log stood.
      damaged: a line for each newer checkpoint that could not be read.
    """

    nimg: int
    state: typing.Any
    config: config_lib.Config
    progress: dict
    damaged: tuple


class Checkpoints:
    """The checkpoints of a run.

    Attributes:
      path: their folder.
    """

    def __init__(self, workdir, *, keep=None, keep_every_kimg=None):
        """Opens them.

        Args:
          workdir: the run's folder.
          keep: how many of the newest stay; None keeps all and writes nothing.
          keep_every_kimg: the ones nearest to multiples of this stay too [thousands of images]; None for none.
        """
        self.path = os.path.abspath(os.path.join(workdir, FOLDER))
        self._keep, self._keep_every_kimg = keep, keep_every_kimg
        self._open()

    def _open(self):
        options = {
            'create': False,
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

    def latest(self):
        """Returns the images shown at the newest checkpoint, or None without any."""
        return self._manager.latest_step()

    def save(self, nimg, state, config, progress):
        """Starts to save a copy; training may go on, and take over the state's buffers, while it is written.

        Whether it was written is what `wait` tells.

        Args:
          nimg: images shown.
          state: a TrainState that is on this process's devices.
          config: its Config.
          progress: dict for JSON; where the log stood.

        Raises:
          CheckpointError: it cannot be written.
        """
        state = jax.tree.map(lambda x: np.array(x, copy=True), _plain(state))
        items = {'config': serialization.to_dict(config), 'progress': progress | {'lod': float(state.lod)}}
        digests = {name: _json_digest(value) for name, value in items.items()} | {'state': _digest(state)}
        self._check_room(sum(x.nbytes for x in jax.tree.leaves(state)))
        with self._reported():
            self._manager.save(
                nimg,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    digests=ocp.args.JsonSave(digests),
                    **{name: ocp.args.JsonSave(value) for name, value in items.items()},
                ),
            )

    def wait(self):
        """Returns once everything is on disk.

        Raises:
          CheckpointError: it could not be written.
        """
        with self._reported():
            self._manager.wait_until_finished()

    def config(self):
        """Returns the Config of the newest checkpoint that can be read."""
        return self._newest(lambda stored: stored.config())[0]

    def progress(self):
        """Returns where the log stood at the newest checkpoint that can be read."""
        return self._newest(lambda stored: stored.json('progress'))[0]

    def all(self):
        """Returns the images shown at each checkpoint, rising."""
        return sorted(self._manager.all_steps())

    def restore(self, config=None, nimg=None):
        """Returns the newest checkpoint that can be read, as Saved; sets damaged ones aside, if it may write.

        Args:
          config: a Config that must be of the same architecture; None for the checkpoint's own.
          nimg: images shown at the one that is wanted; None for the newest.

        Raises:
          UserError: it belongs to another architecture, or none can be read.
        """

        def read(stored):
            theirs = stored.config()
            if config is not None:
                _refuse_other_architecture(theirs, config, stored.path)
            progress = stored.json('progress')
            return Saved(stored.nimg, stored.state(theirs), theirs, progress, ())

        saved, damaged = self._newest(read, nimg)
        # Only now: a run whose checkpoints were all set aside would look like a new one.
        return saved._replace(
            damaged=tuple(
                reason + ('' if self._keep is None else f'; it is now in {self._set_aside(nimg)}')
                for nimg, reason in damaged.items()
            )
        )

    def close(self):
        self._manager.close()

    def _newest(self, read, nimg=None):
        """Calls `read` with the newest checkpoint, a _Stored, or else with the one before, and so on; or with one.

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
            stored = _Stored(self._manager, one, f'{self.path}/{one}')
            try:
                return read(stored), damaged
            except _Damaged as error:
                damaged[one] = f'{stored.path}: this checkpoint cannot be read ({error})'
        raise UserError(
            '; '.join(damaged.values()) + '. None is left to go on from: bring back a copy of this folder, '
            'or choose another --workdir'
        )

    def _set_aside(self, nimg):
        place = os.path.join(os.path.dirname(self.path), SET_ASIDE, str(nimg))
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.rename(os.path.join(self.path, str(nimg)), place)
        self._manager.reload()
        return place

    def _check_room(self, size):
        """Refuses to begin what cannot end: many small errors would come of it."""
        free, needed = shutil.disk_usage(self.path).free, size + _ROOM_BESIDE
        if free < needed:
            raise CheckpointError(
                f'{os.strerror(errno.ENOSPC)}: it takes up to {needed / 2**20:.1f} MiB, and {free / 2**20:.1f} are free'
            )

    @contextlib.contextmanager
    def _reported(self):
        """Turns what goes wrong in writing into a CheckpointError, and makes the manager ready to try again."""
        try:
            yield
        except Exception as error:  # full disks surface in every way there is: OSError, ValueError, RuntimeError
            _silence_late_reports()
            with contextlib.suppress(Exception):
                self._manager.close()
            for name in os.listdir(self.path) if os.path.isdir(self.path) else ():
                if 'orbax-checkpoint-tmp' in name:  # what was begun takes room
                    shutil.rmtree(os.path.join(self.path, name), ignore_errors=True)
            self._open()
            causes = [os.strerror(number) for number in _CAUSES if os.strerror(number) in str(error)]
            raise CheckpointError(causes[0] if causes else _first_line(error)) from error


class _Stored:
    """One checkpoint on disk. What is read of it is compared with its digests, and raises _Damaged where it differs."""

    def __init__(self, manager, nimg, path):
        self._manager, self.nimg, self.path = manager, nimg, path

    def config(self):
        return serialization.from_dict(config_lib.Config, self.json('config'))

    def json(self, item):
        value = self._read(item, ocp.args.JsonRestore())
        self._verify(item, _json_digest(value))
        return value

    def state(self, config):
        abstract = jax.eval_shape(lambda: _plain(create_state(config)))
        abstract = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), abstract)  # so that arrays come as numpy's
        state = self._read('state', ocp.args.StandardRestore(abstract))
        self._verify('state', _digest(state))
        return state.replace(key=jax.random.wrap_key_data(state.key))

    @functools.cached_property
    def _digests(self):
        digests = self._read('digests', ocp.args.JsonRestore())
        return digests if isinstance(digests, dict) else {}

    def _verify(self, item, digest):
        if self._digests.get(item) != digest:
            raise _Damaged(f'its {item} is not what was written')

    def _read(self, item, args):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                return self._manager.restore(self.nimg, args=ocp.args.Composite(**{item: args}))[item]
        except Exception as error:  # damaged files fail in every way there is
            _silence_late_reports()
            if isinstance(error, MemoryError) or getattr(error, 'errno', None) in _NOT_DAMAGE:
                raise UserError(
                    f'{self.path}: cannot be read now ({_first_line(error)}); nothing was changed, '
                    'start the same command again'
                ) from error
            raise _Damaged(_first_line(error)) from error


class _Damaged(Exception):
    """A checkpoint cannot be read."""


def _silence_late_reports():
    """Keeps what a failed save or restore left behind from reporting, one by one, that nobody waits for it any more."""
    logging.getLogger('asyncio').addFilter(_wanted_of_asyncio)
    hook = sys.unraisablehook
    if getattr(hook, 'knows_late_reports', False):
        return

    def quiet(unraisable):
        if str(unraisable.exc_value) != 'Event loop is closed':
            hook(unraisable)

    quiet.knows_late_reports = True
    sys.unraisablehook = quiet


def load_network(workdir, which):
    """Loads a network from the newest checkpoint of a run directory; see `storage.loading.load`."""
    return load_with_run(workdir, which)[0]


def load_with_run(workdir, which, nimg=None):
    """Loads a network from a run directory, and what it was trained with.

    Args:
      workdir: the run's folder.
      which: see `storage.loading.load`.
      nimg: images shown at the checkpoint, one that is there; None for the newest that can be read.

    Returns:
      (Generator or Discriminator, Saved).

    Raises:
      UserError: there is no such checkpoint, or it cannot be read.
    """
    with _opened(workdir) as checkpoints:
        saved = checkpoints.restore(nimg=nimg)
    for line in saved.damaged:
        print(f'warning: {line}; the one before it is used', file=sys.stderr)
    return jax.tree.map(jnp.asarray, network(saved.config, saved.state, which)), saved


def all_nimg(workdir):
    """Returns the images shown at each checkpoint of a run directory, rising."""
    with _opened(workdir) as checkpoints:
        return checkpoints.all()


def reached_lod(workdir):
    """Returns the level of detail that a run has reached at its newest checkpoint; 0 is full size."""
    with _opened(workdir) as checkpoints:
        return checkpoints.progress()['lod']


@contextlib.contextmanager
def _opened(workdir):
    """Opens the checkpoints of a run directory that has one."""
    if not os.path.isdir(os.path.join(workdir, FOLDER)):
        raise UserError(f'{workdir}: not a run directory (it has no {FOLDER} folder)')
    checkpoints = Checkpoints(workdir)
    try:
        if checkpoints.latest() is None:
            raise UserError(f'{checkpoints.path}: there is no checkpoint yet')
        yield checkpoints
    finally:
        checkpoints.close()


def _plain(state):
    """Keys are stored as their data."""
    return state.replace(key=jax.random.key_data(state.key))


def _digest(tree):
    """Hashes the arrays of a pytree, in its order."""

    def digest(x):
        hashed = hashlib.blake2b(f'{x.dtype}{x.shape}'.encode(), digest_size=16)
        hashed.update(np.ascontiguousarray(x))
        return hashed.hexdigest()

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        return _json_digest(list(threads.map(digest, jax.tree.leaves(tree))))


def _json_digest(value):
    value = json.loads(json.dumps(value))  # tables have strings for keys once they have been in a file
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _first_line(error):
    """What an error says, without the long specifications that tensorstore adds to it."""
    line = (str(error).strip().splitlines() or [''])[0].partition(' [tensorstore_spec')[0].partition(' [source ')[0]
    return line[:200] or type(error).__name__


def _refuse_other_architecture(theirs, ours, where):
    """Raises a UserError that shows both sides of every difference that a run cannot go on with."""

    def decides(field):
        part, _, name = field.partition('.')
        return (
            (part in ('image', 'generator', 'discriminator') and name not in _NOT_ARCHITECTURE)
            or (field == 'precision' and 'float64' in (theirs.precision, ours.precision))
            or (field == 'train.beta1' and 0 in (theirs.train.beta1, ours.train.beta1))
        )  # first moments, or none

    differences = serialization.differences(theirs, ours)
    lines = [
        f'{field}: {before!r} in the checkpoint, {now!r} now' for field, before, now in differences if decides(field)
    ]
    if lines:
        raise UserError(
            f'{where} belongs to another architecture: '
            + '; '.join(lines)
            + '. Choose another --workdir, or the settings that it was made with'
        )
    if theirs.seed != ours.seed:
        raise UserError(
            f'{where} belongs to a run with another seed: {theirs.seed} in the checkpoint, {ours.seed} '
            f'now. Choose another --workdir, or --config.seed={theirs.seed}'
        )
