"""The host loop: data in, iterations, ticks, signals. No maths; what is written down is `recorder`'s."""

import collections
import contextlib
import dataclasses
import itertools
import typing

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.config import DataConfig, serialization
from stylegan_jax.config.schedule import Iterations, Setting, is_finished, lod_at, resolve, setting_at, stage_table
from stylegan_jax.data.batch import Batch
from stylegan_jax.data.dataset import DataOpener
from stylegan_jax.data.pipeline import Batches
from stylegan_jax.errors import UserError
from stylegan_jax.run.recorder import Recorder
from stylegan_jax.runtime import cluster
from stylegan_jax.runtime.compiling import Compilation
from stylegan_jax.runtime.interruption import Interrupted, Interruption
from stylegan_jax.runtime.platforms import resolved
from stylegan_jax.storage.transfer import transferred
from stylegan_jax.training import Devices, create_state, enter_setting, first_bad_tensor

_FAILED = 255  # in the place of a signal's number: a process cannot go on
_IN_FLIGHT = 2  # dispatches that the host runs ahead of the device, and whose batches are there ahead of time


class _Dispatch(typing.NamedTuple):
    """Iterations that the host starts at one go."""

    position: int  # images shown before
    setting: Setting  # of all of them
    steps: int


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
    opener = DataOpener(config.data)
    config = cluster.agree(lambda: resolve(opener.with_found_labels(config)))
    config = dataclasses.replace(config, precision=resolved(config.precision))
    devices = cluster.agree(lambda: Devices(config))
    recorder = cluster.agree(lambda: Recorder(config, workdir) if cluster.is_primary() else None)
    try:
        run = _Run(config, devices, recorder, opener)  # a signal until here stops at once: there is nothing to save
        with Interruption() as interruption:
            return run.train(interruption)
    finally:
        if recorder:
            recorder.close()


class _Run:
    """One process's work on a run: what it holds between iterations, on the host side."""

    def __init__(self, config, devices, recorder, opener):
        self.config, self.devices, self.recorder = config, devices, recorder
        self.dataset = cluster.agree(lambda: opener.open(config.image))
        state, lines = cluster.agree(lambda: _first_state(config, recorder))
        # The host keeps its own copy of the clock, so as not to wait for the device's.
        host = cluster.from_primary(jax.tree.map(np.array, state.replace(key=jax.random.key_data(state.key))))
        self.nimg, self.group_nimg, self.lod = int(host.cur_nimg), int(host.group_nimg), float(host.lod)
        self.state = devices.replicate(host.replace(key=jax.random.wrap_key_data(jnp.asarray(host.key))))
        self.step, self.failure = devices.iteration(), None
        self.is_fresh = bool(recorder and recorder.saved)  # whether it goes on, and has not begun to
        self.program = None  # (stage, batch, steps) of the newest dispatch
        cluster.check_same('config', serialization.to_json(dataclasses.replace(config, data=DataConfig())))
        cluster.check_same('data set', f'{len(self.dataset)} {self.dataset.signature}')
        cluster.agree(lambda: recorder and recorder.begin(self.dataset, [*lines, *devices.describe()]))

    def train(self, interruption):
        """Runs iterations until the end or a signal; see `train`."""
        iterations = Iterations(self.config, self.nimg, self.group_nimg)
        for dispatch in itertools.islice(self._dispatches(iterations), 1):
            self._prepare(dispatch)
            # Small operations with which a fade begins are compiled here, while that waits, rather than there.
            enter_setting(self.config, self.state, dispatch.setting, previous_lod=dispatch.setting.lod + 1)
        batches = cluster.agree(
            lambda: Batches(
                self.dataset, iterations, self.config.seed, part=self.devices.part, workers=self.config.data.workers
            )
        )
        with contextlib.closing(batches):
            number = self._iterate(self._ahead(self._dispatches(iterations), batches), interruption)
            if number in (0, _FAILED):  # at the end, what failed in the last iterations is not known to all
                cluster.agree(self._raise_failure)
            # Readers may take long to end, so first comes the save. All wait for process 0: schedulers that see one
            # process end may stop the others in the middle of it.
            cluster.agree(lambda: self.recorder and self._finish(number))
        return 128 + number if number else 0

    def _finish(self, number):
        self.recorder.finish(self.devices.local(self.state), self.nimg)
        self.recorder.stopped(self.nimg) if number else self.recorder.done(self.nimg)

    def _raise_failure(self):
        if self.failure is not None:
            raise self.failure

    def _guarded(self, function, instead=None):
        """Calls a function that may fail in this process alone.

        The others must not be left waiting in the next step: the failure is noted, all go on until they have heard of
        it, and stop together without saving.
        """
        if jax.process_count() == 1:
            return function()
        try:
            return function()
        except Interrupted:
            raise
        except Exception as error:
            self.failure = self.failure or error
            return instead

    def _dispatches(self, iterations):
        """Yields each dispatch of iterations: one group of steps in equal parts, a part that was begun one by one."""
        config, group_nimg, iterations = self.config, self.group_nimg, iter(iterations)
        for position, setting in iterations:
            group = setting.batch * config.schedule.steps_per_evaluation
            if not group_nimg < position < group_nimg + group:
                group_nimg = position
            steps = self.devices.steps_per_dispatch(setting.stage)
            if (position - group_nimg) % (steps * setting.batch):
                steps = 1
            # All of a dispatch happens under one setting.
            rest = list(itertools.islice(iterations, steps - 1))
            assert all(other == setting for _, other in rest), (position, setting, rest)
            yield _Dispatch(position, setting, steps)

    def _ahead(self, dispatches, batches):
        """Yields (dispatch, its last batch, its batches on the devices), with those of the next ones under way."""
        ahead = collections.deque()
        for dispatch in dispatches:
            its = [self._next_batch(batches, dispatch.setting) for _ in range(dispatch.steps)]
            ahead.append((dispatch, its[-1], self.devices.arrange(*its)))
            if len(ahead) > _IN_FLIGHT:
                yield ahead.popleft()
        yield from ahead

    def _next_batch(self, batches, setting):
        batch = None if self.failure else self._guarded(lambda: next(batches))
        # What is blank is never trained on for long, and not saved.
        return _blank(self.config, self.devices, setting) if batch is None else batch

    def _iterate(self, ahead, interruption):
        """Returns the number of the signal that ended the run early, or 0."""
        config = self.config
        sum_metrics = jax.jit(lambda a, b: jax.tree.map(jnp.add, a, b))
        setting = setting_at(config, self.group_nimg)
        in_flight, spread, asked = collections.deque(), cluster.stop_requests(), collections.deque()
        # Where there are several processes, all of them must stop at the same iteration.
        poll = interruption.poll if jax.process_count() == 1 else lambda: None
        while True:
            asked.append(spread(_FAILED if self.failure else interruption.signal or 0))
            if len(asked) > (_IN_FLIGHT if jax.process_count() > 1 else 0) and (number := int(asked.popleft())):
                return number
            # After that: what was trained on black images must not be saved.
            if not self._guarded(lambda: self._tick_if_due(setting, poll, interruption), instead=True):
                return interruption.signal
            setting = self._next_setting(setting)
            if setting is None:
                return 0
            dispatch, batch, arranged = next(ahead)
            assert (dispatch.position, dispatch.setting) == (self.nimg, setting), (dispatch, self.nimg, setting)
            if not self._await_compiled(dispatch, poll):
                return interruption.signal
            self.state, metrics = self.step(self.state, arranged, setting.lr, stage=setting.stage)
            self.nimg += setting.batch * dispatch.steps
            assert self.nimg <= self._group_end(setting), (dispatch, self.group_nimg)
            in_flight.append([metrics.pop(f'{network}_skipped_in_a_row') for network in 'dg'])
            if self.recorder:
                self.recorder.add(
                    setting,
                    _resolution(config, setting.stage),
                    self.devices.local(metrics),
                    sum_metrics,
                    self.nimg,
                    dispatch.steps,
                )
            if len(in_flight) > _IN_FLIGHT and max(map(int, in_flight.popleft())) >= config.train.most_skipped:
                self._give_up(batch, setting)

    def _await_compiled(self, dispatch, poll):
        """Waits for the program of a dispatch, and begins the one that comes after it; False if a signal came."""
        compilation = self._prepare(dispatch)
        if not compilation.is_done and self.recorder:
            self.recorder.activity(f'compiling {_resolution(self.config, dispatch.setting.stage)}')
        try:
            compilation.result(poll)
        except Interrupted:
            return False
        for (stage, batch, steps), seconds in self.step.compiled():
            if self.recorder:
                self.recorder.compiled(_resolution(self.config, stage), batch, steps, seconds, self.nimg)
        program = dispatch.setting.stage, dispatch.setting.batch, dispatch.steps
        if program != self.program:
            self.program = program
            self._prepare_next()
        return True

    def _prepare(self, dispatch):
        return self.step.prepare(
            self.state, stage=dispatch.setting.stage, batch=dispatch.setting.batch, steps=dispatch.steps
        )

    def _prepare_next(self):
        """Begins to compile what the run needs after the program that is there."""
        shapes = [self.config.image.stage_shape(stage) for stage in range(self.config.image.num_stages)]
        later = [
            (shapes.index(span.resolution), span.batch)
            for span in stage_table(self.config)
            if round(span.from_kimg * 1000) > self.nimg
        ]
        for stage, batch in [self.program[:2], *later]:
            steps = self.devices.steps_per_dispatch(stage)
            if (stage, batch, steps) != self.program:
                compilation = self.step.prepare(self.state, stage=stage, batch=batch, steps=steps)
                if self.recorder and stage != self.program[0]:
                    Compilation(lambda: (compilation.result(), self.recorder.prepare_samples(stage)))
                return

    def _tick_if_due(self, setting, poll, interruption):
        """Ends a tick if it is time to; False if a signal came in between, and something is still to be done."""
        recorder, nimg = self.recorder, self.nimg
        if not recorder:
            return True
        is_due = (
            recorder.has_iterations
            and nimg >= self._group_end(setting)
            and (nimg >= recorder.tick_nimg + setting.tick_kimg * 1000 or is_finished(self.config, nimg))
        )
        try:
            if is_due:
                recorder.tick(
                    self.devices.local(self.state), setting, _resolution(self.config, setting.stage), nimg, poll
                )
            if is_due or self.is_fresh:  # a run may have been stopped while it measured
                self._measure_if_due(interruption)
            self.is_fresh = False
        except Interrupted:
            return False
        return True

    def _measure_if_due(self, interruption):
        """Lets the recorder measure; the other processes wait in the next step meanwhile."""
        try:
            self.recorder.measure_if_due(self.devices.local(self.state), self.nimg, interruption.poll)
        except Interrupted:
            if jax.process_count() == 1:
                raise
            # The others will hear of the signal in the next steps, and all will stop together.

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

        def end():
            if not self.recorder:
                return
            local = self.devices.local(self.state)
            # Once is enough: every start of a broken run would push a good checkpoint out.
            if not self.recorder.found_broken:
                self.recorder.finish(local, self.nimg)
            try:
                where = first_bad_tensor(
                    self.config, local, batch, stage=setting.stage, replicas=self.devices.process_replicas
                )
            except Exception as error:  # such as for lack of memory; the cause is not worth a traceback
                where = f'unknown ({type(error).__name__})'
            message = (
                f'the gradients were not finite in {self.config.train.most_skipped} steps in a row, until '
                f'{self.nimg / 1000:g} kimg; the first tensor that is not: {where}. Weights are as they were '
                'before, and saved. To go back further remove the newest checkpoints, and lower '
                f'--config.schedule.lr={setting.lr:g}'
            )
            self.recorder.event('broken', message, self.nimg, aloud=False)  # the error is printed anyway
            raise UserError(message)

        cluster.agree(end)


def _blank(config, devices, setting):
    """A batch of black images."""
    count = devices.part(setting.batch)[1]
    shape = (count, *config.image.stage_shape(setting.stage), config.image.channels)
    labels = np.zeros((count, config.image.label_dim), np.float32)
    return Batch(np.zeros(shape, np.uint8), labels, labels)


def _first_state(config, recorder):
    """Returns the state to begin with, and lines about it; fresh in processes that do not have the folder."""
    if recorder and recorder.saved:
        return recorder.saved.state, []
    lod = lod_at(config, 0)
    if not recorder or not config.init_from:
        return create_state(config, lod=lod), []
    generator, discriminator, ema, lines = transferred(config.init_from, config)
    return create_state(config, generator=generator, discriminator=discriminator, ema=ema, lod=lod), lines


def _resolution(config, stage):
    return 'x'.join(map(str, config.image.stage_shape(stage)))
