"""The host loop: data in, iterations, ticks, signals. No maths; what is written down is `recorder`'s."""
import collections

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax import cluster
from stylegan_jax.data.dataset import open_dataset, with_found_labels
from stylegan_jax.data.pipeline import Loader
from stylegan_jax.errors import UserError
from stylegan_jax.interruption import Interrupted, Interruption
from stylegan_jax.recorder import Recorder
from stylegan_jax.schedule import is_finished, lod_at, resolve, setting_at
from stylegan_jax.training import Devices, create_state, enter_setting, first_bad_tensor
from stylegan_jax.transfer import transferred

_IN_FLIGHT = 2          # iterations that the host runs ahead of the device


def train(config, workdir):
    """Trains, from the newest checkpoint in `workdir` or from the start, to the end or to a signal.

    Every process of a run calls it; process 0 alone touches `workdir`.

    Args:
      config: a Config.
      workdir: the run's folder; made if missing.

    Returns:
      Exit code: 0 at the end, 130 after SIGINT, 143 after SIGTERM (with everything saved).

    Raises:
      UserError: the data, the devices or the folder cannot be used, the folder holds another architecture, the
        gradients stay infinite, or the last state cannot be saved.
    """
    config = cluster.agree(lambda: resolve(with_found_labels(config)))
    devices = cluster.agree(lambda: Devices(config))
    recorder = cluster.agree(lambda: Recorder(config, workdir) if cluster.is_primary() else None)
    try:
        run = _Run(config, devices, recorder)        # a signal until here stops at once: there is nothing to save
        with Interruption() as interruption:
            return run.train(interruption)
    finally:
        if recorder:
            recorder.close()


class _Run:
    """One process's work on a run: what it holds between iterations, on the host side."""

    def __init__(self, config, devices, recorder):
        self.config, self.devices, self.recorder = config, devices, recorder
        self.dataset = cluster.agree(lambda: open_dataset(config.data, config.image))
        state, lines = cluster.agree(lambda: _first_state(config, recorder))
        # The host keeps its own copy of the clock, so as not to wait for the device's.
        host = cluster.from_primary(jax.tree.map(np.array, state.replace(key=jax.random.key_data(state.key))))
        self.nimg, self.group_nimg, self.lod = int(host.cur_nimg), int(host.group_nimg), float(host.lod)
        self.state = devices.replicate(host.replace(key=jax.random.wrap_key_data(jnp.asarray(host.key))))
        self.step = devices.compile()
        if recorder:
            recorder.begin(self.dataset, [*lines, *devices.describe()])

    def train(self, interruption):
        """Runs iterations until the end or a signal; see `train`."""
        loader = Loader(self.dataset, self.config.seed, self.devices.part)
        try:
            number = self._iterate(loader, interruption)
        finally:
            loader.close()
        if self.recorder:
            self.recorder.finish(self.devices.local(self.state), self.nimg)
            self.recorder.stopped(self.nimg) if number else self.recorder.done(self.nimg)
        cluster.wait_for_all('saved')
        return 128 + number if number else 0

    def _iterate(self, loader, interruption):
        """Returns the number of the signal that ended the run early, or 0."""
        config = self.config
        sum_metrics = jax.jit(lambda a, b: jax.tree.map(jnp.add, a, b))
        setting, compiled = setting_at(config, self.group_nimg), set()
        in_flight, spread, asked = collections.deque(), cluster.stop_requests(), collections.deque()
        while True:
            if not self._tick_if_due(setting, interruption):
                return interruption.signal
            asked.append(spread(interruption.signal or 0))
            if len(asked) > (_IN_FLIGHT if jax.process_count() > 1 else 0) and (number := int(asked.popleft())):
                return number
            setting = self._next_setting(setting)
            if setting is None:
                return 0
            batch = loader.batch(self.nimg, setting.batch, setting.stage)
            loader.prefetch([(self.nimg + i * setting.batch, setting.batch, setting.stage)
                             for i in range(1, _IN_FLIGHT + 1)])
            if (setting.stage, setting.batch) not in compiled:
                compiled.add((setting.stage, setting.batch))
                if self.recorder:
                    self.recorder.activity(f'compiling {_resolution(config, setting)}')
            self.state, metrics = self.step(self.state, batch, setting.lr, stage=setting.stage)
            self.nimg += setting.batch
            in_flight.append([metrics.pop(f'{network}_skipped_in_a_row') for network in 'dg'])
            if self.recorder:
                self.recorder.add(setting, _resolution(config, setting), self.devices.local(metrics), sum_metrics,
                                  self.nimg)
            if len(in_flight) > _IN_FLIGHT and max(map(int, in_flight.popleft())) >= config.train.most_skipped:
                self._give_up(batch, setting)

    def _tick_if_due(self, setting, interruption):
        """Ends a tick if it is time to; False if a signal came in between, and the tick is still to be done."""
        recorder, nimg = self.recorder, self.nimg
        if not recorder or not recorder.has_iterations or nimg < self._group_end(setting):
            return True
        if nimg < recorder.tick_nimg + setting.tick_kimg * 1000 and not is_finished(self.config, nimg):
            return True
        # Where there are several processes, all of them must stop at the same iteration.
        poll = interruption.poll if jax.process_count() == 1 else lambda: None
        try:
            recorder.tick(self.devices.local(self.state), setting, _resolution(self.config, setting), nimg, poll)
        except Interrupted:
            return False
        return True

    def _next_setting(self, setting):
        """Returns what holds for the next iteration, given what held for the last one; None at the end of the run."""
        if self.group_nimg < self.nimg < self._group_end(setting):
            return setting
        if is_finished(self.config, self.nimg):
            return None
        setting = setting_at(self.config, self.nimg)
        self.state = self.devices.replicate(enter_setting(self.config, self.state, setting, previous_lod=self.lod))
        self.group_nimg, self.lod = self.nimg, setting.lod
        return setting

    def _group_end(self, setting):
        return self.group_nimg + setting.batch * self.config.schedule.steps_per_evaluation

    def _give_up(self, batch, setting):
        """Saves, and raises a UserError with the name of what went wrong first."""
        where = None
        if self.recorder:
            local = self.devices.local(self.state)
            where = first_bad_tensor(self.config, local, batch, stage=setting.stage,
                                     replicas=self.devices.process_replicas)
            self.recorder.finish(local, self.nimg)
        message = (f'the gradients were not finite in {self.config.train.most_skipped} steps in a row, until '
                   f'{self.nimg / 1000:.1f} kimg; the first tensor that is not: {where}. Weights are as they were '
                   'before, and saved. Remove the newest checkpoints to go back further, and lower '
                   f'--config.schedule.lr={setting.lr:g}')
        if self.recorder:
            self.recorder.event('broken', message, self.nimg, aloud=False)       # the error is printed anyway
        raise UserError(message)


def _first_state(config, recorder):
    """Returns the state to begin with, and lines about it; fresh in processes that do not have the folder."""
    if recorder and recorder.saved:
        return recorder.saved.state, []
    lod = lod_at(config, 0)
    if not recorder or not config.init_from:
        return create_state(config, lod=lod), []
    generator, discriminator, ema, lines = transferred(config.init_from, config)
    return create_state(config, generator=generator, discriminator=discriminator, ema=ema, lod=lod), lines


def _resolution(config, setting):
    return 'x'.join(map(str, config.image.stage_shape(setting.stage)))
