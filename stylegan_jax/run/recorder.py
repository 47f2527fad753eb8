"""What a run leaves in its folder: log, pictures, checkpoints. Where writing fails, it says so and training goes on."""

import os
import time

import jax

from stylegan_jax import report
from stylegan_jax.config import serialization
from stylegan_jax.config.schedule import is_finished
from stylegan_jax.errors import UserError
from stylegan_jax.run import metrics as run_metrics
from stylegan_jax.run import sample_grid
from stylegan_jax.run.log import RunLog
from stylegan_jax.run.metrics import RunMetrics
from stylegan_jax.runtime import atomic, machine
from stylegan_jax.runtime.folder_lock import WorkdirLock
from stylegan_jax.runtime.progress import duration
from stylegan_jax.storage.checkpoint import FOLDER, SET_ASIDE, Checkpoints

_A_CHECKPOINT = 'a checkpoint'
_REPORT_SHARE = 1 / 20  # of the time of a run, at most


class Recorder:
    """The folder of a run, held by one process at a time.

    Attributes:
      saved: the newest checkpoint as it was found (`checkpoint.Saved`), or None.
      tick_nimg: images shown at the newest tick.
    """

    def __init__(self, config, workdir):
        """Takes the folder, and reads the newest checkpoint.

        Args:
          config: a resolved Config.
          workdir: the folder; made if missing.

        Raises:
          UserError: the folder cannot be used, or belongs to another run.
        """
        self.config, self.workdir = config, workdir
        _make_workdir(workdir)
        self._lock = WorkdirLock(workdir)
        self._lock.__enter__()
        try:
            _refuse_lost_run(workdir)
            self._checkpoints = Checkpoints(
                workdir, keep=config.log.keep_checkpoints, keep_every_kimg=config.log.keep_every_kimg
            )
            self.saved = self._checkpoints.restore(config) if self._checkpoints.latest() is not None else None
        except OSError as error:
            self._lock.__exit__(None, None, None)
            raise UserError(
                f'--workdir={workdir}: its checkpoints cannot be used ({error.strerror or error}); choose '
                'another folder'
            ) from error
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        nimg = self.saved.nimg if self.saved else 0
        progress = self.saved.progress if self.saved else {'tick': 0, 'tick_nimg': 0, 'seconds': 0.0}
        self.tick_nimg, self._tick, self._seconds = (progress[name] for name in ('tick_nimg', 'tick', 'seconds'))
        self._sums, self._count = progress.get('sums'), progress.get('count', 0)
        self._restored_sums = self._sums is not None
        self._log = RunLog(workdir, nimg=nimg, total_nimg=int(config.train.total_kimg * 1000))
        self._saving_nimg, self._shown_from = None, nimg
        self._pictures, self._next_report, self._report_failed = report.Pictures(), None, False
        self._tick_start = time.time()

    @property
    def found_broken(self):
        """Whether the run was given up before, in the state that was found."""
        most = self.config.train.most_skipped
        return bool(self.saved) and max(int(self.saved.state.g_skipped), int(self.saved.state.d_skipped)) >= most

    def begin(self, dataset, used):
        """Writes down how the run begins or goes on.

        Args:
          dataset: a `data.dataset.Dataset`.
          used: lines about the devices, and about weights that were taken over.
        """
        self._grid = sample_grid.SampleGrid(self.config, dataset)
        self._metrics = RunMetrics(self.config, self.workdir, dataset)
        self._images, self._data = len(dataset), dataset.signature
        nimg = self.saved.nimg if self.saved else 0
        with self._log.attempt('metrics.jsonl', nimg):
            self._metrics.drop_beyond(nimg)
        if self._lock.stale:
            self.event('lock', f'{self._lock.stale} held this folder and is gone; its lock is taken over', nimg)
        if self.saved is None:
            self.event('start', f'training {self.config.name} in {self.workdir}: {len(dataset)} images', nimg)
            with self._log.attempt('reals.png', nimg):
                sample_grid.save(self.workdir, 'reals.png', self._grid.reals(dataset))
        else:
            for line in self.saved.damaged:
                self.event('damaged', f'{line}; the one before it is used', nimg)
            for line in self._changes():
                self.event('changed', line, nimg)
            if not is_finished(self.config, nimg):
                self.event('resume', f'going on at {nimg / 1000:.1f} kimg in {self.workdir}', nimg)
        for line in used:
            self.event('begin', line, nimg)
        try:
            facts = machine.describe_run(
                jax.local_devices()[0], count=jax.device_count(), processes=jax.process_count()
            )
            self._log.event('machine', machine.heading(facts), nimg, aloud=False, **facts)
        except Exception as error:  # facts that the report alone shows are not worth a training
            self.event('machine', f'warning: this machine cannot be described ({error})', nimg, aloud=False)
        with self._log.attempt('config.json', nimg):
            with atomic.writing(os.path.join(self.workdir, 'config.json')) as file:
                file.write(serialization.to_json(self.config))
        self._next_report = 0.0
        self._report(nimg)
        self._tick_start = time.time()

    def event(self, kind, text, nimg, aloud=True):
        """Writes down what happened beside the ticks, and prints it if aloud; a kind is one word for programs."""
        self._log.event(kind, text, nimg, aloud)

    def activity(self, text):
        """Says on the progress line what takes a while."""
        self._log.activity(text)

    def compiled(self, resolution, batch, steps, seconds, nimg):
        """Writes down that a program was compiled, for so many iterations at one go."""
        at_one_go = f', {steps} iterations at one go' if steps > 1 else ''
        self._log.event(
            'compile',
            f'compiled {resolution}, batch {batch}{at_one_go}: {seconds:.1f}s',
            nimg,
            resolution=resolution,
            batch=batch,
            steps=steps,
            seconds=seconds,
        )

    def prepare_samples(self, stage):
        """Compiles what the sample pictures of a stage need; may be called in a thread, ahead of time."""
        self._grid.prepare(stage)

    def add(self, setting, resolution, metrics, sum_metrics, nimg, steps=1):
        """Counts iterations.

        Args:
          setting: their `schedule.Setting`.
          resolution: as text.
          metrics: dict of device scalars, sums over the iterations; they are not waited for.
          sum_metrics: compiled function that adds two of these.
          nimg: images shown after them.
          steps: how many there are.
        """
        if self._restored_sums and self._sums is not None and self._sums.keys() != metrics.keys():
            self._sums, self._count = None, 0  # another loss has other metrics: the tick begins anew
        self._restored_sums = False
        self._sums = metrics if self._sums is None else sum_metrics(self._sums, metrics)
        self._count += steps
        self._log.progress(setting.batch * steps, resolution, setting.alpha, nimg)

    @property
    def has_iterations(self):
        """Whether there were iterations since the newest tick."""
        return self._count > 0

    def tick(self, state, setting, resolution, nimg, poll):
        """Logs the tick that ends here, shows samples, and saves if it is time to.

        Args:
          state: a TrainState on this process's first device.
          setting: `schedule.Setting` of the last iteration.
          resolution: as text.
          nimg: images shown.
          poll: called often meanwhile; what it raises leaves everything as it was before the tick.
        """
        means = {key: float(value) / self._count for key, value in jax.device_get(self._sums).items()}
        seconds, maintenance = time.time() - self._tick_start, time.time()
        picture = self._grid.fakes(state, poll)
        with self._log.attempt('a sample picture', nimg):
            sample_grid.save(self.workdir, _fakes_name(self.config, nimg), picture)
        shown, count = nimg - self._shown_from, self._count
        self._tick, self.tick_nimg, self._seconds = self._tick + 1, nimg, self._seconds + seconds
        self._sums, self._count = None, 0
        for letter in 'DG':
            skipped = round(means[f'{letter.lower()}_skipped'] * count)
            if skipped:
                self.event(
                    'skipped', f'{skipped} of {count} {letter} steps skipped: their gradients were not finite', nimg
                )
        self._log.tick(
            {
                'tick': self._tick,
                'nimg': nimg,
                'kimg': nimg / 1000,
                'resolution': resolution,
                'lod': setting.lod,
                'alpha': setting.alpha,
                'batch': setting.batch,
                'lr': setting.lr,
                'seconds': self._seconds,
                'tick_seconds': seconds,
                'images_per_second': shown / seconds,
                'maintenance_seconds': time.time() - maintenance,
                **machine.memory(jax.local_devices()[0]),
                **means,
            }
        )
        # After the line: whoever is killed in between writes it again, and none is missing.
        skipping = max(int(state.g_skipped), int(state.d_skipped))
        if self._tick % self.config.log.checkpoint_ticks == 0 and not is_finished(self.config, nimg) and not skipping:
            self._save(state, nimg)
            self._report(nimg)
        self._shown_from, self._tick_start = nimg, time.time()

    def measure_if_due(self, state, nimg, poll):
        """Measures the run's metrics at a checkpoint where it is time to and that was not done before.

        Args:
          state: a TrainState on this process's first device.
          nimg: images shown.
          poll: called often meanwhile; what it raises leaves it undone.
        """
        is_last, (checkpoint, rest) = (
            is_finished(self.config, nimg),
            divmod(self._tick, self.config.log.checkpoint_ticks),
        )
        if nimg != self.tick_nimg or (rest and not is_last) or not self._metrics.is_due(checkpoint, nimg, is_last):
            return
        self.activity('measuring ' + self.config.metrics)
        if is_last:
            self.finish(state, nimg)
        self._await_checkpoint()
        if self._checkpoints.latest() != nimg:  # a value without a checkpoint would be of no use
            return
        try:
            found = self._metrics.measure(state, nimg, poll)
        except UserError as error:
            self.event(
                'metrics', f'warning: {self.config.metrics} could not be measured ({error}); training goes on', nimg
            )
            return
        self._log.metrics(found, nimg)
        with self._log.attempt('a copy of the best checkpoint', nimg):
            if self._metrics.keep_if_best(nimg):
                self.event(
                    'best',
                    f'best so far: {found[0]["metric"]} {found[0]["value"]:.6g}; kept in '
                    f'{os.path.join(self.workdir, run_metrics.BEST)}',
                    nimg,
                )
        self._report(nimg)
        self._tick_start = time.time()

    def finish(self, state, nimg):
        """Saves the last state, and waits until it is on disk.

        Raises:
          UserError: it cannot be saved.
        """
        self._await_checkpoint()
        if self._checkpoints.latest() != nimg:
            self._save(state, nimg)
            self._await_checkpoint()
        last = self._checkpoints.latest()
        if last != nimg:
            raise UserError(
                f'{self.workdir}: the state at {nimg / 1000:g} kimg could not be saved; '
                + (
                    'there is no checkpoint'
                    if last is None
                    else f'the last good checkpoint is that at {last / 1000:g} kimg'
                )
                + '. Make room and start the same command again'
            )

    def stopped(self, nimg):
        """Says that the run stopped before its end."""
        self.event('stop', f'stopped at {nimg / 1000:.1f} kimg and saved; the same command goes on from here', nimg)

    def done(self, nimg):
        """Says that the run is at its end."""
        if self.saved and self.saved.nimg == nimg:
            self.event(
                'done',
                f'nothing to do: {self.workdir} has reached {nimg / 1000:.1f} kimg before, and the run '
                f'ends at {self.config.train.total_kimg:g}',
                nimg,
            )
            return
        self.event(
            'done',
            f'done: {nimg / 1000:.1f} kimg in {duration(self._seconds)}; pictures, log and checkpoints '
            f'are in {self.workdir}',
            nimg,
        )

    def close(self):
        """Gives the folder back, with a last report, which comes last: a scheduler may not wait for it."""
        self._log.flush()
        try:
            self._checkpoints.close()
            if self._next_report is not None:
                self._next_report = 0.0
                self._report(self.tick_nimg)
            self._log.close()
        finally:
            self._lock.__exit__(None, None, None)

    def _report(self, nimg):
        """Writes report.html, if that would not take too much of the run's time."""
        start = time.monotonic()
        if start < self._next_report:
            return
        try:
            with self._log.attempt(report.FILE, nimg):
                report.write(self.workdir, self._pictures)
        except Exception as error:  # a page to look at is not worth a training
            if not self._report_failed:
                self.event(
                    'report',
                    f'warning: {report.FILE} could not be made ({type(error).__name__}: {error}); training goes on',
                    nimg,
                )
            self._report_failed = True
        now = time.monotonic()
        self._next_report = now + (now - start) / _REPORT_SHARE

    def _save(self, state, nimg):
        progress = {
            'tick': self._tick,
            'tick_nimg': self.tick_nimg,
            'seconds': self._seconds,
            'images': self._images,
            'data': self._data,
        }
        if self._count:  # in the middle of a tick, which goes on after a restart
            progress |= {
                'seconds': self._seconds + time.time() - self._tick_start,
                'count': self._count,
                'sums': jax.tree.map(float, jax.device_get(self._sums)),
            }
        self._log.flush()
        self._await_checkpoint()
        with self._log.attempt(_A_CHECKPOINT, nimg, is_whole=False):
            self._checkpoints.save(nimg, state, self.config, progress)
            self._saving_nimg = nimg

    def _await_checkpoint(self):
        """Waits until the checkpoint that was begun is on disk."""
        if self._saving_nimg is not None:
            nimg, self._saving_nimg = self._saving_nimg, None
            with self._log.attempt(_A_CHECKPOINT, nimg):
                self._checkpoints.wait()

    def _changes(self):
        """Lines about what differs from when the checkpoint was saved."""
        for field, before, now in serialization.differences(self.saved.config, self.config):
            yield f'{field}: {before!r} until now, {now!r} from here on'
        images = self.saved.progress.get('images', self._images)
        if images != self._images:
            yield f'the data set: {images} images until now, {self._images} from here on, in another order'
        elif self.saved.progress.get('data', self._data) != self._data:
            yield f'the data set: {images} other images, or in another order, until now'


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


def _refuse_lost_run(workdir):
    """Raises a UserError where a run has been, and nothing is left to go on from: it would be overwritten."""
    folder = os.path.join(workdir, FOLDER)
    has_checkpoint = os.path.isdir(folder) and any(name.isdecimal() for name in os.listdir(folder))
    if not has_checkpoint and os.path.isdir(os.path.join(workdir, SET_ASIDE)):
        raise UserError(
            f'--workdir={workdir}: the checkpoints of this run are gone, but for damaged ones in '
            f'{SET_ASIDE}; bring back a copy, or choose another --workdir'
        )
