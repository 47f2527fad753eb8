"""One checkpoint on disk: its parts are read, and compared with the digests that were saved with them."""

import dataclasses
import errno
import functools
import typing
import warnings

import jax
import numpy as np
import orbax.checkpoint as ocp

from stylegan_jax.config import Config, serialization
from stylegan_jax.errors import UserError
from stylegan_jax.storage import digests, orbax_reports
from stylegan_jax.training import TrainState, create_state

# Reading also fails for these reasons, which say nothing about the files: the checkpoint may be sound.
_NOT_DAMAGE = errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM


class DamagedError(Exception):
    """A checkpoint cannot be read, or is not what was written."""


def with_key_data(state: TrainState) -> TrainState:
    """Returns a state whose random key is plain numbers: typed keys of JAX cannot be stored."""
    return state.replace(key=jax.random.key_data(state.key))


def stored_fields(state: TrainState) -> dict[str, typing.Any]:
    """Returns the fields of a state by name, as they are stored, without those of options that are off.

    Orbax refuses a checkpoint that lacks a field, though it were None: one that is older than the option.
    """
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return {name: value for name, value in fields.items() if value is not None}


class StoredCheckpoint:
    """One checkpoint on disk.

    Each method reads a part of it and raises DamagedError where the part differs from its digest, or UserError where
    it cannot be read for a reason that will pass.

    Attributes:
      nimg: images shown.
      path: its folder.
    """

    def __init__(self, manager: ocp.CheckpointManager, nimg: int, path: str):
        self._manager, self.nimg, self.path = manager, nimg, path

    def config(self) -> Config:
        """Returns the Config that it was saved under."""
        return serialization.from_dict(Config, self.json('config'))

    def json(self, item: str) -> typing.Any:
        """Returns a part that is JSON: 'config' or 'progress'."""
        value = self._read(item, ocp.args.JsonRestore())
        self._verify(item, digests.of_json(value))
        return value

    def state(self, config: Config) -> TrainState:
        """Returns the TrainState, of numpy arrays and a key; `config` decides its structure and shapes."""
        # Only a process that trains in float64 has JAX know that type; others read what was written all the same.
        with jax.enable_x64(config.precision == 'float64'):
            abstract = jax.eval_shape(lambda: with_key_data(create_state(config)))
        # Orbax restores each array in the kind of its template: numpy's here, as jax.Arrays would go to a device.
        abstract = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), abstract)
        state = self._read('state', ocp.args.StandardRestore(stored_fields(abstract)))
        state = TrainState(**state)
        self._verify('state', digests.of_arrays(state))
        return state.replace(key=jax.random.wrap_key_data(state.key))

    @functools.cached_property
    def _digests(self):
        stored = self._read('digests', ocp.args.JsonRestore())
        return stored if isinstance(stored, dict) else {}

    def _verify(self, item, digest):
        if self._digests.get(item) != digest:
            raise DamagedError(f'its {item} is not what was written')

    def _read(self, item, args):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                return self._manager.restore(self.nimg, args=ocp.args.Composite(**{item: args}))[item]
        except Exception as error:  # damaged files raise errors of every type
            orbax_reports.silence_late_reports()
            line = orbax_reports.first_line(error)
            if isinstance(error, MemoryError) or getattr(error, 'errno', None) in _NOT_DAMAGE:
                raise UserError(
                    f'{self.path}: cannot be read now ({line}); nothing was changed',
                    remedy='start the same command again',
                ) from error
            raise DamagedError(line) from error
