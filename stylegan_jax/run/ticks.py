"""Ticks of a run: every few thousand images a line in the log and a sample picture, at some a checkpoint and metrics.

Metrics of the steps are summed up in between.
"""

import collections.abc
import os
import time

import jax
import jax.numpy as jnp

from stylegan_jax.augmentation.controller import LEAKING
from stylegan_jax.config import Config
from stylegan_jax.config.schedule import Setting, is_finished
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.data.meaning_of_labels import meaning_of_labels
from stylegan_jax.errors import UserError
from stylegan_jax.run import metrics as run_metrics
from stylegan_jax.run import sample_grid
from stylegan_jax.run.log import RunLog
from stylegan_jax.run.metrics import RunMetrics
from stylegan_jax.run.reporting import Reporting
from stylegan_jax.run.resume import Start
from stylegan_jax.run.sample_grid import SampleGrid
from stylegan_jax.run.saving import Saving
from stylegan_jax.run.watch import OverfittingWatch
from stylegan_jax.runtime import machine
from stylegan_jax.training import TrainState


class Ticks:
    """Sums the metrics of iterations, and ends ticks. The clock of the first tick runs from the moment this is made.

    Attributes:
      nimg: images shown at the newest tick.
      seconds: training time up to it.
      grid: the `SampleGrid` of the sample pictures.
    """

    def __init__(
        self,
        config: Config,
        workdir: str,
        dataset: Dataset,
        start: Start,
        *,
        grid: SampleGrid,
        metrics: RunMetrics,
        log: RunLog,
        saving: Saving,
        reporting: Reporting,
        watch: OverfittingWatch | None = None,
    ):
        """Goes on where the run begins, which may be in the middle of a tick.

        Args:
          config: a resolved Config.
          workdir: the run's folder.
          dataset: the images of the run.
          start: where the run begins.
          grid: draws the sample pictures.
          metrics: measures the metrics that the config asks for.
          log, saving, reporting: of the run.
          watch: scores images that are held out; None where none are.
        """
        self._config, self._workdir = config, workdir
        self._data = {'images': len(dataset), 'data': dataset.signature}
        if meaning := meaning_of_labels(dataset.labels, dataset.label_names):
            self._data['labels'] = meaning.to_dict()  # for those who draw with the network
        self.grid, self._metrics = grid, metrics
        self._log, self._saving, self._reporting, self._watch = log, saving, reporting, watch
        progress, self._changes = start.progress, start.changes
        self.nimg, self._number, self.seconds = progress['tick_nimg'], progress['tick'], progress['seconds']
        # Sums of the metrics over the iterations since the newest tick, and how many these are. Metrics stay on the
        # device, where one compiled program adds them, so that no iteration waits for the host.
        self._sums, self._count = progress.get('sums'), progress.get('count', 0)
        self._are_restored = self._sums is not None
        self._is_leaking = progress.get('is_leaking', False)
        self._add = jax.jit(lambda a, b: jax.tree.map(jnp.add, a, b))
        self._shown_from, self._clock = start.nimg, time.time()

    def add(self, setting: Setting, resolution: str, metrics: dict[str, jax.Array], nimg: int, steps: int = 1) -> None:
        """Counts the iterations of a dispatch.

        Args:
          setting: their `schedule.Setting`.
          resolution: as text.
          metrics: scalars on the device, sums over the iterations; this does not wait for them.
          nimg: images shown after them.
          steps: how many iterations there are.
        """
        if self._are_restored and self._sums is not None and self._sums.keys() != metrics.keys():
            self._sums, self._count = None, 0  # Another loss has other metrics: the tick begins anew.
        self._are_restored = False
        self._sums = metrics if self._sums is None else self._add(self._sums, metrics)
        self._count += steps
        self._log.live.expect_picture(self.nimg + setting.tick_kimg * 1000)
        self._log.progress(setting.batch * steps, resolution, setting.alpha, nimg)

    def is_due(self, setting: Setting, nimg: int) -> bool:
        """Tells whether a tick ends after `nimg` images, where a group of iterations with a setting has ended."""
        is_long_enough = nimg >= self.nimg + setting.tick_kimg * 1000
        return self._count > 0 and (is_long_enough or is_finished(self._config, nimg))

    def end(
        self,
        state: TrainState,
        setting: Setting,
        resolution: str,
        nimg: int,
        poll: collections.abc.Callable[[], object],
    ) -> None:
        """Ends a tick: writes a sample picture and the line in the log, and saves if that is due.

        Args:
          state: a TrainState on this process's first device.
          setting: `schedule.Setting` of the last iteration.
          resolution: as text.
          nimg: images shown.
          poll: called often while pictures are drawn; if it raises, everything stays as it was before the tick.
        """
        # Fetching the metrics waits for the device, so the clock is read after it.
        means = {key: float(value) / self._count for key, value in jax.device_get(self._sums).items()}
        seconds, maintenance = time.time() - self._clock, time.time()
        name = _fakes_name(self._config, nimg, self.nimg if self._number else None)
        self._log.activity(f'drawing {name}')
        picture = self.grid.fakes(state, poll)
        with self._log.attempt('a sample picture', nimg):
            sample_grid.save(self._workdir, name, picture)
        if self._watch:
            self._log.activity('scoring held-out images')
            means |= self._watch.measure(state, setting, poll)
        shown, count = nimg - self._shown_from, self._count
        self._number, self.nimg, self.seconds = self._number + 1, nimg, self.seconds + seconds
        self._sums, self._count = None, 0
        self._tell_skipped(means, count, nimg)
        self._log.tick(
            {
                'tick': self._number,
                'nimg': nimg,
                'kimg': nimg / 1000,
                'resolution': resolution,
                'lod': setting.lod,
                'alpha': setting.alpha,
                'batch': setting.batch,
                'lr': setting.lr,
                'seconds': self.seconds,
                'tick_seconds': seconds,
                'images_per_second': shown / seconds,
                'maintenance_seconds': time.time() - maintenance,
                **machine.memory(jax.local_devices()[0]),
                **means,
            }
        )
        self._tell_leaks(means, nimg)
        if self._watch and (text := self._watch.verdict(means)):
            self._log.event('memorising', text, nimg)
        # The checkpoint comes after the line. A run that is killed in between repeats the tick and replaces the line;
        # in the other order the line would be missing for good.
        if self._is_checkpoint_due(state, nimg):
            self._saving.save(state, nimg, self.progress())
            self._reporting.write(nimg)
        self._shown_from, self._clock = nimg, time.time()

    def measure_if_due(self, state: TrainState, nimg: int, poll: collections.abc.Callable[[], object]) -> None:
        """Measures the run's metrics if there is a checkpoint at which they are due and were not measured yet.

        Args:
          state: a TrainState on this process's first device.
          nimg: images shown.
          poll: called often meanwhile; if it raises, nothing is measured, and a later call begins anew.
        """
        is_last = is_finished(self._config, nimg)
        checkpoint, rest = divmod(self._number, self._config.log.checkpoint_ticks)
        is_checkpoint = nimg == self.nimg and (rest == 0 or is_last)
        if not is_checkpoint or not self._metrics.is_due(checkpoint, nimg, is_last):
            return
        self._log.activity('measuring ' + self._config.metrics)
        if is_last:
            self._saving.finish(state, nimg, self.progress())
        if not self._saving.is_saved(nimg):  # Nobody could use the network whose value this would be.
            return
        for line in self._changes:
            self._log.event('changed', line, nimg)
        try:
            found = self._metrics.measure(state, nimg, poll)
        except UserError as error:
            text = f'{self._config.metrics} could not be measured ({error}); training goes on'
            self._log.event('metrics', f'warning: {text}', nimg)
            return
        self._log.metrics(found, nimg)
        with self._log.attempt('a copy of the best checkpoint', nimg):
            if self._metrics.keep_if_best(nimg):
                best, folder = found[0], os.path.join(self._workdir, run_metrics.BEST)
                text = f'best so far: {best["metric"]} {best["value"]:.6g}; kept in {folder}'
                self._log.event('best', text, nimg)
        self._reporting.write(nimg)
        self._clock = time.time()  # Measuring does not count as training.

    def progress(self) -> dict:
        """Returns what a checkpoint has to contain so that ticks can go on from it, a dict for JSON."""
        progress = {'tick': self._number, 'tick_nimg': self.nimg, 'seconds': self.seconds, **self._data}
        if self._watch:
            progress['memorising_ticks'] = self._watch.in_a_row
        if self._is_leaking:
            progress['is_leaking'] = True
        if self._count:  # In the middle of a tick, which goes on after a restart.
            progress |= {
                'seconds': self.seconds + time.time() - self._clock,
                'count': self._count,
                'sums': jax.tree.map(float, jax.device_get(self._sums)),
            }
        return progress

    def _is_checkpoint_due(self, state, nimg):
        if is_finished(self._config, nimg):
            return False  # The end of the run saves (`Saving.finish`).
        # While steps are skipped the run may be about to end as broken: the checkpoints before that must stay.
        is_skipping = max(int(state.g_skipped), int(state.d_skipped)) > 0
        return self._number % self._config.log.checkpoint_ticks == 0 and not is_skipping

    def _tell_leaks(self, means, nimg):
        """Logs when adaptive augmentation comes to where it shows in generated images."""
        was_leaking, self._is_leaking = self._is_leaking, means.get('augment_p', 0) >= LEAKING
        if self._is_leaking and not was_leaking:
            text = (
                f'augment_p is {means["augment_p"]:.2f}: above {LEAKING} generated images may be turned or recoloured '
                'like augmented ones; more images, or a higher augment.target, keep it lower'
            )
            self._log.event('augment', text, nimg)

    def _tell_skipped(self, means, count, nimg):
        """Logs how many of `count` steps of each network were skipped."""
        for letter in 'DG':
            skipped = round(means[f'{letter.lower()}_skipped'] * count)
            if skipped:
                text = f'{skipped} of {count} {letter} steps skipped: their gradients were not finite'
                self._log.event('skipped', text, nimg)


def _fakes_name(config, nimg, previous):
    """Numbers sample grids by thousands of images, or by images where ticks are closer than that.

    The last tick of a run may be as close to the one before it, after `previous` images (None: there is none).
    """
    closest = min([config.log.tick_kimg, *config.log.tick_kimg_by_resolution.values()])
    is_taken = previous is not None and previous // 1000 == nimg // 1000
    return f'fakes{nimg:09d}.png' if closest < 1 or is_taken else f'fakes{nimg // 1000:06d}.png'
