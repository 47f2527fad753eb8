"""The host loop: data in, steps, log lines, pictures, checkpoints, signals. No maths."""
import collections
import os
import time

import jax
import jax.numpy as jnp

from stylegan_jax import config as config_lib
from stylegan_jax import samples
from stylegan_jax.checkpoint import Checkpoints
from stylegan_jax.data.dataset import open_dataset, with_found_labels
from stylegan_jax.data.pipeline import Loader
from stylegan_jax.errors import UserError
from stylegan_jax.interruption import Interruption
from stylegan_jax.run_log import RunLog, duration
from stylegan_jax.schedule import is_finished, lod_at, resolve, setting_at
from stylegan_jax.training import compile_steps, create_state, enter_setting

_IN_FLIGHT = 2          # iterations that the host runs ahead of the device


def train(config, workdir):
    """Trains, from the newest checkpoint in `workdir` or from the start, to the end or to a signal.

    Args:
      config: a Config.
      workdir: the run's folder; made if missing.

    Returns:
      Exit code: 0 at the end, 130 after SIGINT, 143 after SIGTERM (with everything saved).

    Raises:
      UserError: the data or the folder cannot be used, or the folder holds another architecture.
    """
    config = resolve(with_found_labels(config))
    _make_workdir(workdir)
    checkpoints = Checkpoints(workdir, keep=config.log.keep_checkpoints)
    try:
        run = _Run(config, workdir, checkpoints)        # a signal until here stops at once: there is nothing to save
        with Interruption() as interruption:
            return run.train(interruption)
    finally:
        checkpoints.close()


class _Run:
    """One process's work on a run: what it holds between iterations, on the host side."""

    def __init__(self, config, workdir, checkpoints):
        self.config, self.workdir, self.checkpoints = config, workdir, checkpoints
        if checkpoints.latest() is not None:
            checkpoints.check(config)
        self.dataset = open_dataset(config.data, config.image)
        if checkpoints.latest() is None:
            self.state = create_state(config, lod=lod_at(config, 0))
            self.progress = {'tick': 0, 'tick_nimg': 0, 'seconds': 0.0}
        else:
            self.state, self.progress = checkpoints.restore(config)
        # The host keeps its own copy of the clock, so as not to wait for the device's.
        self.nimg, self.group_nimg, self.lod = (
            int(self.state.cur_nimg), int(self.state.group_nimg), float(self.state.lod))
        self.grid = samples.SampleGrid(config, self.dataset)
        self.log = RunLog(workdir, nimg=self.nimg, total_nimg=int(config.train.total_kimg * 1000))
        _write_text(os.path.join(workdir, 'config.json'), config_lib.to_json(config))

    def train(self, interruption):
        """Runs iterations until the end or a signal; see `train`."""
        loader = Loader(self.dataset, self.config.seed)
        try:
            self._begin()
            self._iterate(loader, interruption)
            return self._finish(interruption)
        finally:
            loader.close()
            self.log.close()

    def _begin(self):
        if self.nimg == 0:
            self.log.message(f'training {self.config.name} in {self.workdir}: {len(self.dataset)} images')
            samples.save(self.workdir, 'reals.png', self.grid.reals(self.dataset))
        elif not is_finished(self.config, self.nimg):
            self.log.message(f'going on at {self.nimg / 1000:.1f} kimg in {self.workdir}')

    def _iterate(self, loader, interruption):
        config = self.config
        step, add = compile_steps(config), jax.jit(lambda a, b: jax.tree.map(jnp.add, a, b))
        setting, in_flight, compiled = None, collections.deque(), set()
        self._start_tick()
        self.sums, self.count = self.progress.pop('sums', None), self.progress.pop('count', 0)
        while interruption.signal is None:
            setting = self._next_setting(setting)
            if setting is None:
                break
            batch = loader.batch(self.nimg, setting.batch, setting.stage)
            loader.prefetch([(self.nimg + i * setting.batch, setting.batch, setting.stage)
                             for i in range(1, _IN_FLIGHT + 1)])
            name = 'x'.join(map(str, config.image.stage_shape(setting.stage)))
            if (setting.stage, setting.batch) not in compiled:
                compiled.add((setting.stage, setting.batch))
                self.log.activity(f'compiling {name}')
            self.state, metrics = step(self.state, batch, setting.lr, stage=setting.stage)
            self.sums = metrics if self.sums is None else add(self.sums, metrics)
            self.count += 1
            self.nimg += setting.batch
            in_flight.append(metrics['g_loss'])
            if len(in_flight) > _IN_FLIGHT:
                in_flight.popleft().block_until_ready()
            self.log.progress(setting.batch, name, setting.alpha, self.nimg)
            if self.nimg >= self._group_end(setting) and self._tick_is_due(setting):
                self._tick(setting, name)

    def _next_setting(self, setting):
        """Returns what holds for the next iteration, given what held for the last one; None at the end of the run."""
        if setting is None:             # where a group was interrupted, its setting still holds
            setting = setting_at(self.config, self.group_nimg)
        if self.group_nimg < self.nimg < self._group_end(setting):
            return setting
        if is_finished(self.config, self.nimg):
            return None
        setting = setting_at(self.config, self.nimg)
        self.state = enter_setting(self.config, self.state, setting, previous_lod=self.lod)
        self.group_nimg, self.lod = self.nimg, setting.lod
        return setting

    def _group_end(self, setting):
        return self.group_nimg + setting.batch * self.config.schedule.steps_per_evaluation

    def _start_tick(self):
        self.sums, self.count, self.tick_start, self.shown_from = None, 0, time.time(), self.nimg

    def _tick_is_due(self, setting):
        return (self.nimg >= self.progress['tick_nimg'] + setting.tick_kimg * 1000
                or is_finished(self.config, self.nimg))

    def _tick(self, setting, name):
        """Logs the tick that ends here, shows samples, and saves if it is time to."""
        means = {key: float(value) / self.count for key, value in jax.device_get(self.sums).items()}
        seconds = time.time() - self.tick_start
        tick = self.progress['tick'] + 1
        self.progress = {'tick': tick, 'tick_nimg': self.nimg, 'seconds': self.progress['seconds'] + seconds}
        maintenance = time.time()
        samples.save(self.workdir, _fakes_name(self.config, self.nimg), self.grid.fakes(self.state))
        if tick % self.config.log.checkpoint_ticks == 0 and not is_finished(self.config, self.nimg):
            self._save()
        self.log.tick({
            'tick': tick, 'nimg': self.nimg, 'kimg': self.nimg / 1000, 'resolution': name, 'lod': setting.lod,
            'alpha': setting.alpha, 'batch': setting.batch, 'lr': setting.lr, 'seconds': self.progress['seconds'],
            'tick_seconds': seconds, 'images_per_second': (self.nimg - self.shown_from) / seconds,
            'maintenance_seconds': time.time() - maintenance, **means})
        self._start_tick()

    def _save(self):
        self.checkpoints.save(self.nimg, self.state, self.config, self.progress)

    def _finish(self, interruption):
        if self.checkpoints.latest() != self.nimg:
            if self.sums is not None:       # in the middle of a tick, which goes on after the restart
                self.progress |= {'seconds': self.progress['seconds'] + time.time() - self.tick_start,
                                  'sums': jax.tree.map(float, jax.device_get(self.sums)), 'count': self.count}
            self._save()
        self.checkpoints.wait()
        if interruption.signal is not None:
            self.log.message(f'stopped at {self.nimg / 1000:.1f} kimg and saved; the same command goes on from here')
            return interruption.exit_code
        self.log.message(f'done: {self.nimg / 1000:.1f} kimg in {duration(self.progress["seconds"])}; pictures, log '
                         f'and checkpoints are in {self.workdir}')
        return 0


def _fakes_name(config, nimg):
    """Numbers sample grids by thousands of images, or by images where ticks are closer than that."""
    closest = min([config.log.tick_kimg, *config.log.tick_kimg_by_resolution.values()])
    return f'fakes{nimg // 1000:06d}.png' if closest >= 1 else f'fakes{nimg:09d}.png'


def _make_workdir(workdir):
    try:
        os.makedirs(workdir, exist_ok=True)
        probe = os.path.join(workdir, '.writable')
        with open(probe, 'w'):
            pass
        os.unlink(probe)
    except OSError as error:
        raise UserError(f'--workdir={workdir}: cannot be written ({error.strerror}); choose another folder') from None


def _write_text(path, text):
    with open(path + '.part', 'w') as file:
        file.write(text)
    os.replace(path + '.part', path)
