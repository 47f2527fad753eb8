"""All that process 0 keeps of a run besides its state: folder, log, checkpoints, report, ticks.

Each part has a module of its own, and the loop calls the part that it needs. Here they are opened, and closed, in the
right order, and the log is told how the run begins.
"""

import collections.abc
import os

import jax

from stylegan_jax.config import Config, serialization
from stylegan_jax.config.schedule import is_finished, shortfall
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.run import sample_grid
from stylegan_jax.run.compile_times import CompileTimes
from stylegan_jax.run.folder import RunFolder
from stylegan_jax.run.log import RunLog
from stylegan_jax.run.metrics import RunMetrics
from stylegan_jax.run.refusals import lost_checkpoints
from stylegan_jax.run.reporting import Reporting
from stylegan_jax.run.resume import Start
from stylegan_jax.run.saving import Saving
from stylegan_jax.run.speeds import measured_speeds
from stylegan_jax.run.ticks import Ticks
from stylegan_jax.run.time_left import TimeLeft
from stylegan_jax.run.watch import OverfittingWatch
from stylegan_jax.runtime import atomic, machine


class Records:
    """The records of one run.

    Attributes:
      folder: a `RunFolder`.
      log: a `RunLog`.
      saving: a `Saving`.
      compile_times: a `CompileTimes`.
      ticks: a `Ticks`; None until `begin`.
    """

    def __init__(self, config: Config, workdir: str):
        """Locks the folder, and opens what is in it.

        Args:
          config: a resolved Config.
          workdir: the run's folder; made if missing.

        Raises:
          UserError: the folder cannot be used, or belongs to another run.
        """
        self._config = config
        self.folder = RunFolder(config, workdir)
        saved = self.folder.saved
        nimg, ticks = (saved.nimg, saved.progress['tick']) if saved else (0, 0)
        self._lost = [] if saved else lost_checkpoints(workdir)  # before the log is cut to where the run begins
        time_left = TimeLeft(config, measured_speeds(workdir, nimg))
        total_nimg = int(config.train.total_kimg * 1000)
        self.log = RunLog(workdir, nimg=nimg, total_nimg=total_nimg, ticks=ticks, time_left=time_left)
        self.compile_times = CompileTimes(config)
        self.saving = Saving(config, self.folder, self.log)
        self._reporting = Reporting(workdir, self.log)
        self.ticks = None

    def begin(self, dataset: Dataset, start: Start, lines: collections.abc.Iterable[str]) -> None:
        """Writes down how the run begins, and makes `ticks`.

        Args:
          dataset: the images of the run.
          start: where it begins.
          lines: about the devices.

        Raises:
          UserError: the metrics that the config asks for cannot be measured, or no image would be held out.
        """
        config, log, nimg, workdir = self._config, self.log, start.nimg, self.folder.path
        grid = sample_grid.SampleGrid(config, dataset)
        metrics = RunMetrics(config, workdir, dataset)
        watch = None
        if config.data.validation:
            watch = OverfittingWatch(config, dataset, start.progress.get('memorising_ticks', 0))
        with log.attempt('metrics.jsonl', nimg):
            metrics.drop_beyond(nimg)
        if holder := self.folder.taken_over_from:
            log.event('lock', f'{holder} held this folder and is gone; its lock is taken over', nimg)
        for kind, text in [*(('damaged', line) for line in self._lost), *start.events]:
            log.event(kind, text, nimg)
        if not start.goes_on:
            with log.attempt('reals.png', nimg):
                sample_grid.save(workdir, 'reals.png', grid.reals(dataset))
        is_over = start.goes_on and is_finished(config, nimg)
        short = None if is_over else shortfall(config)
        for line in [*start.lines, *lines, *([short] if short else [])]:
            log.event('begin', line, nimg)
        self._describe_machine(nimg, len(dataset))
        # The file has the settings that the run was trained with. (`Ticks` logs others that it is only measured with.)
        if not is_over:
            with log.attempt('config.json', nimg), atomic.writing(os.path.join(workdir, 'config.json')) as file:
                file.write(serialization.to_json(config))
        self._reporting.write(nimg)
        self.ticks = Ticks(
            config,
            workdir,
            dataset,
            start,
            grid=grid,
            metrics=metrics,
            log=log,
            saving=self.saving,
            reporting=self._reporting,
            watch=watch,
        )

    def close(self) -> None:
        """Releases the folder, after a last report if the run had begun."""
        self.log.flush()
        try:
            self.folder.checkpoints.close()
            # The report comes after the checkpoints, because a scheduler may end the process before it is written.
            if self.ticks:
                self._reporting.write(self.ticks.nimg, is_last=True)
            self.log.close()
        finally:
            self.folder.release()

    def _describe_machine(self, nimg, images):
        try:
            facts = machine.describe_run(
                jax.local_devices()[0], count=jax.device_count(), processes=jax.process_count()
            )
            self.log.event('machine', machine.heading(facts), nimg, aloud=False, images=images, **facts)
        except Exception as error:  # Facts that only the report shows are not worth a training.
            self.log.event('machine', f'warning: this machine cannot be described ({error})', nimg, aloud=False)
