"""The host loop of a run: one turn ends a tick if one is due, evaluates the schedule, and dispatches iterations.

The mathematics is in `training.steps`; what is written down is in `run.records` and the modules it names; where a run
begins is decided in `run.resume`.
"""

import collections
import contextlib
import dataclasses
import itertools
import time

import jax

from stylegan_jax.config import Config, DataConfig, serialization
from stylegan_jax.config.schedule import Iterations, is_finished, lr_remedy, setting_at, stage_table
from stylegan_jax.data.dataset import DataOpener
from stylegan_jax.data.pipeline import Batches
from stylegan_jax.errors import UserError
from stylegan_jax.run.dispatches import black_batch, dispatches, with_batches
from stylegan_jax.run.records import Records
from stylegan_jax.run.refusals import nothing_to_do, settled
from stylegan_jax.run.resume import resume, send_to_all
from stylegan_jax.runtime import cluster
from stylegan_jax.runtime.compiling import Compilation
from stylegan_jax.runtime.interruption import Interrupted, Interruption
from stylegan_jax.runtime.progress import Heartbeat, duration
from stylegan_jax.runtime.threads import NUM_THREADS
from stylegan_jax.training import Devices, enter_setting, first_bad_tensor

_FAILED = 255  # stands for a signal's number when the processes agree to stop because one of them failed
_IN_FLIGHT = 2  # dispatches that the host runs ahead of the device, and whose batches are read ahead of time
_MANY_CORES = 4  # with as many, two programs are compiled at the same time
_SHORT_WAIT = 1.0  # seconds that the run waits for a program without a word


def train(config: Config, workdir: str) -> int:
    """Trains, from the newest checkpoint in `workdir` or from the start, to the end or to a signal.

    Every process of a run calls it; process 0 alone touches `workdir`.

    Args:
      config: a Config.
      workdir: the run's folder; made if missing.

    Returns:
      Exit code: 0 at the end, 130 after SIGINT, 143 after SIGTERM (with everything saved).

    Raises:
      UserError: the data, the devices or the folder cannot be used, the folder belongs to another run, the
        gradients stay infinite, or the last state cannot be saved.
    """
    opener = DataOpener(config.data)
    config = cluster.agree(lambda: settled(config, opener, measures=cluster.is_primary()))
    devices = cluster.agree(lambda: Devices(config))
    records = cluster.agree(lambda: Records(config, workdir) if cluster.is_primary() else None)
    try:
        # Until the run is there a signal stops the process at once: there is nothing to save.
        with Heartbeat(records.log.live.beat, 1.0) if records else contextlib.nullcontext():
            run = _Run(config, devices, records, opener)
        with Interruption() as interruption:
            return run.train(interruption)
    finally:
        if records:
            records.close()


class _Run:
    """One process's work on a run: what the host holds from one dispatch to the next.

    Attributes:
      records: of the run, in process 0; None in the others.
      start: where the run began (`resume.Start`), without the state; `was_given_up` only until a step succeeds.
      state: the TrainState on the devices.
      nimg, group_nimg, lod: the host's copy of these three numbers of the state, which saves waiting for the device.
      failure: what went wrong in this process while there are others, see `_guarded`.
      has_just_resumed: whether the run goes on from a checkpoint and no turn of the loop has passed yet.
      program: of the newest dispatch.
    """

    def __init__(self, config, devices, records, opener):
        self.config, self.devices, self.records = config, devices, records
        self._show('opening the images')
        self.dataset = cluster.agree(lambda: opener.open(config.image))
        self._show('making the networks')
        start = cluster.agree(lambda: resume(config, records and records.folder, self.dataset))
        self.start = start._replace(state=None)  # so that the memory of this copy is free while the run trains
        state = send_to_all(start.state)
        self.nimg, self.group_nimg, self.lod = int(state.cur_nimg), int(state.group_nimg), float(state.lod)
        self.state = devices.replicate(state)
        self.step, self.failure = devices.iteration(), None
        self.has_just_resumed, self.program = start.goes_on, None
        # Processes may find the same data under different paths, so the data set is compared instead of its config.
        cluster.check_same('config', serialization.to_json(dataclasses.replace(config, data=DataConfig())))
        cluster.check_same('data set', f'{len(self.dataset)} {self.dataset.signature}')
        lines = devices.describe() + cluster.describe_processes()
        cluster.agree(lambda: records and records.begin(self.dataset, start, lines))
        if not is_finished(config, self.nimg):  # A run that has nothing left to do needs no images.
            self._show('preparing the images')
            cluster.agree(self.dataset.prepare)

    def _show(self, text):
        """Shows on the live line what the start of the run takes its time for."""
        if self.records:
            self.records.log.live.activity(text)

    def train(self, interruption):
        """Trains until the end or a signal; returns the exit code, see the function `train`."""
        iterations = Iterations(self.config, self.nimg, self.group_nimg)

        def all_dispatches():
            return dispatches(self.config, self.devices, iterations, self.group_nimg)

        for first in itertools.islice(all_dispatches(), 1):  # There is none if the run is at its end.
            self._prepare(first.program)
            # The small operations that a fade begins with are compiled while the first program is, rather than later.
            enter_setting(self.config, self.state, first.setting, previous_lod=first.setting.lod + 1)
        batches = cluster.agree(
            lambda: Batches(
                self.dataset,
                iterations,
                self.config.seed,
                part=self.devices.part,
                workers=self.config.data.workers,
                validation=self.config.data.validation,
            )
        )
        with contextlib.closing(batches):
            ahead = with_batches(
                all_dispatches(), lambda setting: self._next_batch(batches, setting), self.devices, _IN_FLIGHT
            )
            number = self._train_until_stopped(ahead, interruption)
            if number in (0, _FAILED):  # At the end the other processes do not yet know what failed in the last turns.
                cluster.agree(self._raise_failure)
            # Saving comes before the readers are closed, which may take long. All processes wait for process 0: a
            # scheduler that sees one of them end may stop the others in the middle of it.
            cluster.agree(lambda: self.records and self._finish(number))
        return 128 + number if number else 0

    def _train_until_stopped(self, ahead, interruption):
        """Trains; returns the number of the signal that ended the run early, or 0. Each turn is one dispatch.

        Args:
          ahead: the dispatches with their batches, see `with_batches`.
          interruption: an Interruption.
        """
        setting = setting_at(self.config, self.group_nimg)
        # With several processes all must stop at the same turn, so a signal may not interrupt waiting in one of them.
        stop_request = cluster.stop_requests(lag=_IN_FLIGHT)
        poll = self._with_sign_of_life(interruption.poll if jax.process_count() == 1 else lambda: None)
        poll_measuring = self._with_sign_of_life(interruption.poll)
        skipped_in_flight = collections.deque()
        try:
            while True:
                # 1. Stop if a signal came or a process failed. This comes before the tick, because a process that
                #    failed has trained on black images, which may not be saved.
                if number := stop_request(_FAILED if self.failure else interruption.signal or 0):
                    return number
                # 2. End the tick if it is time to.
                self._guarded(lambda: self._tick_if_due(setting, poll, poll_measuring))
                # 3. Evaluate the schedule, between two groups of iterations.
                if not self.group_nimg < self.nimg < self._group_end(setting):
                    if is_finished(self.config, self.nimg):
                        return 0
                    setting = self._enter_setting(setting_at(self.config, self.nimg))
                # 4. Take the batches, and wait for the compiled program.
                dispatch, batch, arranged = next(ahead)
                assert (dispatch.position, dispatch.setting) == (self.nimg, setting), (dispatch, self.nimg, setting)
                self._await_program(dispatch, poll)
                # 5. Train. The call returns before the device has done the work.
                steps, fades = dispatch.program.steps, dispatch.program.fades
                self.state, metrics = self.step(self.state, arranged, setting.lr, stage=setting.stage, fades=fades)
                self.nimg += setting.batch * steps
                assert self.nimg <= self._group_end(setting), (dispatch, self.group_nimg)
                # 6. Count.
                skipped_in_flight.append([metrics.pop(f'{network}_skipped_in_a_row') for network in 'dg'])
                if self.records:
                    resolution, local = self._resolution(setting.stage), self.devices.local(metrics)
                    self.records.ticks.add(setting, resolution, local, self.nimg, steps)
                # 7. Give up if gradients stay infinite. Reading the counts of an earlier dispatch waits for the device,
                #    so it also keeps the host from running further ahead than _IN_FLIGHT dispatches.
                if len(skipped_in_flight) > _IN_FLIGHT:
                    if max(map(int, skipped_in_flight.popleft())) >= self.config.train.most_skipped:
                        self._give_up(batch, setting)
                    self.start = self.start._replace(was_given_up=False)
        except Interrupted:
            return interruption.signal

    def _with_sign_of_life(self, poll):
        """Returns a function that is called where the loop waits: it calls `poll`, and keeps the live line alive."""
        live = self.records.log.live if self.records else None

        def poll_and_beat():
            poll()
            if live:
                live.beat()

        return poll_and_beat

    def _tick_if_due(self, setting, poll, poll_measuring):
        """Ends a tick and measures metrics if it is time to; a signal interrupts both, to be repeated after a restart.

        Args:
          setting: of the last iteration.
          poll: raises Interrupted after a signal, if the process may stop by itself.
          poll_measuring: raises Interrupted after a signal.
        """
        if not self.records:
            return
        ticks = self.records.ticks
        is_due = self.nimg >= self._group_end(setting) and ticks.is_due(setting, self.nimg)
        if is_due:
            ticks.end(self.devices.local(self.state), setting, self._resolution(setting.stage), self.nimg, poll)
        if is_due or self.has_just_resumed:  # The run may have been stopped while it measured.
            try:
                ticks.measure_if_due(self.devices.local(self.state), self.nimg, poll_measuring)
            except Interrupted:
                # With several processes, the others wait in the next step meanwhile. They hear of the signal in the
                # turns after it, and all stop together.
                if jax.process_count() == 1:
                    raise
        self.has_just_resumed = False

    def _enter_setting(self, setting):
        """Begins a group of iterations under a setting, and returns it."""
        state = enter_setting(self.config, self.state, setting, previous_lod=self.lod)
        self.state = self.devices.replicate(state)
        self.group_nimg, self.lod = self.nimg, setting.lod
        return setting

    def _group_end(self, setting):
        """Images shown when the schedule is evaluated next."""
        return self.group_nimg + setting.batch * self.config.schedule.steps_per_evaluation

    def _next_batch(self, batches, setting):
        batch = None if self.failure else self._guarded(lambda: next(batches))
        # A process that failed goes on with black images until the others know; nothing of that is saved.
        return black_batch(self.config, self.devices, setting) if batch is None else batch

    def _await_program(self, dispatch, poll):
        """Waits for the program of a dispatch, and begins to compile those that come after it."""
        compilation = self._prepare(dispatch.program)  # the one that was begun earlier, if there is one
        waits = {dispatch.program: self._wait(compilation, dispatch.program, poll)}
        for program, seconds in self.step.compiled():
            if self.records:
                self._note_compiled(program, seconds, waits.get(program, 0.0))
        if dispatch.program != self.program:
            self.program = dispatch.program
            self._prepare_next()

    def _wait(self, compilation, program, poll):
        """Waits for a program, and returns the seconds, 0 for a short wait. The log says when a wait becomes longer."""
        start, is_long = time.monotonic(), False
        if not compilation.is_done and self.records:
            self.records.log.activity(f'waiting for the compiler: {self._resolution(program.stage)}')

        def poll_and_say():
            nonlocal is_long
            poll()
            if not is_long and time.monotonic() - start > _SHORT_WAIT:
                is_long = True
                if self.records:
                    times = self.records.compile_times
                    self.records.log.waiting(*self._named(program), times.last(program), times.folder)

        compilation.result(poll_and_say)
        return time.monotonic() - start if is_long else 0.0

    def _note_compiled(self, program, seconds, waited):
        """Writes down that a program was compiled, or found in the cache, and how long that took."""
        times, from_cache = self.records.compile_times, self._prepare(program).from_cache
        if not from_cache:
            times.note(program, seconds)
        without = times.last(program) if from_cache else None
        self.records.log.compiled(
            *self._named(program), seconds, waited, self.nimg, from_cache=from_cache, without=without
        )

    def _prepare_next(self):
        """Begins to compile the programs that the run needs after the newest one, see `_programs_ahead`.

        The first is another program of the same stage, if the run began with single iterations in the middle of a
        group. Otherwise it is the one of the next stage, together with what the sample pictures need there.
        """
        shapes = [self.config.image.stage_shape(stage) for stage in range(self.config.image.num_stages)]
        needed = [
            self.devices.program(shapes.index(span.resolution), span.batch, alpha=float(span.kind == 'steady'))
            for span in stage_table(self.config, self.nimg)
        ]
        # Spans of the schedule can share a program. A dict keeps the order in which programs are needed.
        ahead = list(dict.fromkeys(program for program in needed if program != self.program))
        begun = [self._prepare(program) for program in ahead[: _programs_ahead(self.devices)]]
        if begun and self.records and ahead[0].stage != self.program.stage:
            stage, grid = ahead[0].stage, self.records.ticks.grid
            Compilation(lambda: (begun[0].result(), grid.prepare(stage)))

    def _prepare(self, program):
        return self.step.prepare(self.state, program)

    def _guarded(self, function):
        """Calls a function that may fail in this process alone, and returns its result, or None if it failed.

        The others must not be left waiting in the next step, where all devices exchange gradients. The failure is
        noted; all go on until they have heard of it, and stop together without saving.
        """
        if jax.process_count() == 1:
            return function()
        try:
            return function()
        except Interrupted:
            raise
        except Exception as error:
            self.failure = self.failure or error
            return None

    def _raise_failure(self):
        if self.failure is not None:
            raise self.failure

    def _finish(self, number):
        """Saves the last state, and logs why the run ends: with a signal of some number, or at its end if that is 0."""
        ticks, log, workdir = self.records.ticks, self.records.log, self.records.folder.path
        self.records.saving.finish(self.devices.local(self.state), self.nimg, ticks.progress())
        kimg = f'{self.nimg / 1000:g} kimg'
        if number:
            log.event('stop', f'stopped at {kimg} and saved; the same command goes on from here', self.nimg)
        elif self.start.goes_on and self.start.nimg == self.nimg:
            log.event('done', nothing_to_do(self.config, self.nimg, workdir), self.nimg)
        else:
            took = f'{duration(ticks.seconds)} of training, without starts, pictures, checkpoints and metrics'
            log.event('done', f'done: {kimg} in {took}; pictures, log and checkpoints are in {workdir}', self.nimg)

    def _give_up(self, batch, setting):
        """Raises a UserError with the name of the first tensor that is not finite, in all processes.

        It saves before, unless no step has succeeded since the run was given up before: see `resume`.
        """

        def end():
            if not self.records:
                return
            local = self.devices.local(self.state)
            if self.start.was_given_up:
                saved = f'; the newest checkpoint is still that at {self.start.nimg / 1000:g} kimg'
            else:
                saved = ', and saved'
                self.records.saving.finish(local, self.nimg, self.records.ticks.progress())
            try:
                where = first_bad_tensor(
                    self.config, local, batch, stage=setting.stage, replicas=self.devices.process_replicas
                )
            except Exception as error:  # such as lack of memory; the user needs the message more than this cause
                where = f'unknown ({type(error).__name__})'
            error = UserError(
                f'the gradients were not finite in {self.config.train.most_skipped} steps in a row, until '
                f'{self.nimg / 1000:g} kimg; the first tensor that is not: {where}. Weights are as they were '
                f'before{saved}. To go back further remove the newest checkpoints, and lower '
                f'{lr_remedy(self.config, setting.stage)}'
            )
            # It is not printed here, because the command prints the error.
            self.records.log.event('broken', str(error), self.nimg, aloud=False)
            raise error

        cluster.agree(end)

    def _resolution(self, stage):
        return 'x'.join(map(str, self.config.image.stage_shape(stage)))

    def _named(self, program):
        """Returns a program with the resolution in place of the stage."""
        return self._resolution(program.stage), *program[1:]


def _programs_ahead(devices):
    """Returns the number of programs that are compiled while the run trains.

    It is one where compiling would take cores from the training itself. With several processes it is one as well: they
    compile the same programs in the same order, also if one of them has fewer cores.
    """
    return 2 if NUM_THREADS >= _MANY_CORES and not devices.are_cpus and jax.process_count() == 1 else 1
