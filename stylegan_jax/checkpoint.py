"""The one door to Orbax: training states on disk, under RUN/checkpoints/<images shown>/.

A checkpoint holds the TrainState, the config that made it, and where the log stood. Orbax commits it by renaming
a folder, so it is there whole or not at all.
"""
import contextlib
import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from stylegan_jax import config as config_lib
from stylegan_jax.errors import UserError
from stylegan_jax.training import create_state, network

FOLDER = 'checkpoints'
# Fields of the networks' configs that may change in a run; `image` is compared once, as the run's own.
_NOT_ARCHITECTURE = ('image', 'truncation_psi', 'truncation_cutoff')


class Checkpoints:
    """The checkpoints of a run.

    Attributes:
      path: their folder.
    """

    def __init__(self, workdir, *, keep=None):
        """Opens them.

        Args:
          workdir: the run's folder.
          keep: how many of the newest stay; None keeps all and writes nothing.
        """
        self.path = os.path.abspath(os.path.join(workdir, FOLDER))
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=keep is not None, read_only=keep is None)
        self._manager = ocp.CheckpointManager(self.path, options=options)

    def latest(self):
        """Returns the images shown at the newest checkpoint, or None without any."""
        return self._manager.latest_step()

    def save(self, nimg, state, config, progress):
        """Starts to save a copy; training may go on, and take over the state's buffers, while it is written.

        Args:
          nimg: images shown.
          state: a TrainState.
          config: its Config.
          progress: dict for JSON; where the log stood.
        """
        self._manager.save(nimg, args=ocp.args.Composite(
            state=ocp.args.StandardSave(jax.tree.map(jnp.copy, _plain(state))),
            config=ocp.args.JsonSave(config_lib.to_dict(config)),
            progress=ocp.args.JsonSave(progress | {'lod': float(state.lod)})))

    def config(self):
        """Returns the Config of the newest checkpoint."""
        values = self._restore('config', ocp.args.JsonRestore())
        return config_lib.from_dict(config_lib.Config, values)

    def progress(self):
        """Returns where the log stood at the newest checkpoint."""
        return self._restore('progress', ocp.args.JsonRestore())

    def check(self, config):
        """Raises a UserError if the newest checkpoint belongs to another architecture."""
        _refuse_other_architecture(self.config(), config, f'{self.path}/{self.latest()}')

    def restore(self, config):
        """Returns the newest checkpoint as (state, progress).

        Raises:
          UserError: it belongs to another architecture, or cannot be read.
        """
        self.check(config)
        abstract = jax.eval_shape(lambda: _plain(create_state(config)))
        # One device; whoever trains on more spreads the state out afterwards.
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), abstract)
        state = self._restore('state', ocp.args.StandardRestore(abstract))
        # Restored buffers may be shared with the reader, and are tied to their device, for which the steps would be
        # compiled once more as soon as fresh values (a new lod, forgotten moments) come beside them.
        state = jax.tree.map(lambda x: jnp.array(np.asarray(x)), state)
        return state.replace(key=jax.random.wrap_key_data(state.key)), self.progress()

    def wait(self):
        """Returns once everything is on disk."""
        self._manager.wait_until_finished()

    def close(self):
        self._manager.close()

    def _restore(self, item, args):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                return self._manager.restore(self.latest(), args=ocp.args.Composite(**{item: args}))[item]
        except (OSError, ValueError, KeyError, TypeError) as error:
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f'{self.path}/{self.latest()}: this checkpoint cannot be read ({first_line})') from error


def load_network(workdir, which):
    """Loads a network from the newest checkpoint of a run directory; see `loading.load`."""
    with _opened(workdir) as checkpoints:
        config = checkpoints.config()
        return network(config, checkpoints.restore(config)[0], which)


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


def _refuse_other_architecture(theirs, ours, where):
    """Raises a UserError that shows both sides of every difference in the networks or in the precision."""
    def flat(config):
        values = config_lib.to_dict(config)
        fields = {'precision': 'float64' if config.precision == 'float64' else 'float32'}
        for part in ('image', 'generator', 'discriminator'):
            fields |= {f'{part}.{field}': value for field, value in values[part].items()
                       if field not in _NOT_ARCHITECTURE}
        return fields

    theirs, ours = flat(theirs), flat(ours)
    lines = [f'{name}: {theirs[name]!r} in the checkpoint, {ours[name]!r} now'
             for name in ours if theirs[name] != ours[name]]
    if lines:
        raise UserError(f'{where} belongs to another architecture: ' + '; '.join(lines)
                        + '. Choose another --workdir, or the settings that it was made with')
