"""The iterations of a run in the form in which the host starts them: dispatches, each with its batches.

A dispatch is one call of a compiled program, which runs one iteration or several. Where an iteration takes the device
less time than the host needs to launch it, several per dispatch keep the device busy.
"""

import collections
import collections.abc
import itertools
import typing

import numpy as np

from stylegan_jax.config import Config
from stylegan_jax.config.schedule import Iterations, Setting
from stylegan_jax.data.batch import Batch
from stylegan_jax.training import Devices, Program


class Dispatch(typing.NamedTuple):
    """Iterations that the host starts together.

    Attributes:
      position: images shown before them.
      setting: what holds for all of them.
      program: that runs them.
    """

    position: int
    setting: Setting
    program: Program


def dispatches(
    config: Config, devices: Devices, iterations: Iterations, group_nimg: int
) -> collections.abc.Iterator[Dispatch]:
    """Yields the dispatches of the rest of a run.

    A group of iterations, between two evaluations of the schedule, is cut into equal dispatches. A run that was saved
    under another `parallel.steps_per_dispatch` may begin in the middle of such a dispatch; single iterations then lead
    to the beginning of the next one.

    Args:
      config: a resolved Config.
      devices: of the run; they know how many iterations a dispatch has at a stage.
      iterations: the rest of the run.
      group_nimg: images shown when the schedule was last evaluated.
    """
    iterations = iter(iterations)
    for position, setting in iterations:
        group = setting.batch * config.schedule.steps_per_evaluation
        if not group_nimg < position < group_nimg + group:
            group_nimg = position
        program = devices.program(setting.stage, setting.batch, setting.alpha)
        if (position - group_nimg) % (program.steps * setting.batch):
            program = program._replace(steps=1)
        # The setting changes only between groups, so all iterations of a dispatch share it.
        others = list(itertools.islice(iterations, program.steps - 1))
        assert all(other == setting for _, other in others), (position, setting, others)
        yield Dispatch(position, setting, program)


def with_batches(
    dispatches: collections.abc.Iterable[Dispatch],
    next_batch: collections.abc.Callable[[Setting], Batch],
    devices: Devices,
    ahead: int,
) -> collections.abc.Iterator[tuple[Dispatch, Batch, Batch]]:
    """Yields dispatches with their batches, and asks for those of the next ones ahead of time.

    Args:
      dispatches: of a run.
      next_batch: returns the next batch, given its setting.
      devices: of the run.
      ahead: dispatches whose batches are on their way to the devices while another one runs.

    Yields:
      (the dispatch, its last batch in host memory, all its batches as `Devices.arrange` returns them).
    """
    under_way = collections.deque()
    for dispatch in dispatches:
        batches = [next_batch(dispatch.setting) for _ in range(dispatch.program.steps)]
        under_way.append((dispatch, batches[-1], devices.arrange(*batches)))
        if len(under_way) > ahead:
            yield under_way.popleft()
    yield from under_way


def black_batch(config: Config, devices: Devices, setting: Setting) -> Batch:
    """Returns a batch of black images, this process's part of it."""
    count = devices.part(setting.batch)[1]
    shape = (count, *config.image.stage_shape(setting.stage), config.image.channels)
    labels = np.zeros((count, config.image.label_dim), np.float32)
    return Batch(np.zeros(shape, np.uint8), labels, labels)
