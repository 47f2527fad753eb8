"""The devices of a run: where state and batches live, and iterations compiled over all of them.

The same pure iteration (`steps.train_iteration`) is compiled in one of two ways: with `jit` over a mesh with
`shard_map`, or with `pmap`. The state is replicated on every device; a batch is divided along its first axis, in the
order of the replicas. Everything is compiled ahead of time, from shapes alone.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from stylegan_jax.config import Config
from stylegan_jax.data.batch import Batch
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.by_platform import platform_of, traced_for
from stylegan_jax.runtime.compiling import Compilation, tracing
from stylegan_jax.runtime.platforms import compiler_options
from stylegan_jax.training.sharing import divisors, share_of
from stylegan_jax.training.state import TrainState
from stylegan_jax.training.steps import train_iteration

_AXIS = 'device'  # name of the mesh's only axis, and of `pmap`'s
# [pixels]. Below this size an accelerator computes an iteration faster than the host can launch it.
_LAUNCHES_COUNT_BELOW = 64


class Devices:
    """The devices that a run uses, and the part of a step that each of them does.

    Attributes:
      count: number of devices, over all processes.
      process_share: (first, end) of the devices of this process, and so of its part of a batch in units of 1 / `count`.
    """

    def __init__(self, config: Config):
        """Picks the devices.

        Args:
          config: a Config.

        Raises:
          UserError: there are fewer devices than asked for, or they do not divide the replicas; or the iterations per
            dispatch do not divide those between two evaluations of the schedule.
        """
        # Sorted so that the devices of a process, and with them its replicas, follow one another.
        devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
        self._devices = _chosen(devices, config)
        self.count = len(self._devices)
        self._config = config
        self._share = share_of(config, self.count, _AXIS if self.count > 1 else None)
        _check_steps(config)
        self._replicated = NamedSharding(Mesh(np.array(self._devices), (_AXIS,)), PartitionSpec())
        mine = [number for number, device in enumerate(self._devices) if device.process_index == jax.process_index()]
        self.process_share = mine[0], mine[-1] + 1

    @property
    def process_replicas(self) -> int:
        """Number of replicas that run in this process."""
        first, end = self.process_share
        return (end - first) * self._share.replicas

    def describe(self) -> list[str]:
        """Returns lines for the log that say how replicas are divided; none if a single device runs all of them."""
        if self.count == 1:
            return []
        processes = f', in {jax.process_count()} processes' if jax.process_count() > 1 else ''
        return [
            f'{self.count} devices run {self._share.replicas} of {self._config.replicas} replicas each, '
            f'{self._share.replicas_per_part} at once{processes}'
        ]

    def part(self, batch: int) -> tuple[int, int]:
        """Returns the part of a batch of `batch` images that this process loads, as (first image, number of images)."""
        first, end = (edge * batch // self.count for edge in self.process_share)
        return first, end - first

    def replicate(self, tree: typing.Any) -> typing.Any:
        """Puts a copy of a pytree on every device.

        Args:
          tree: arrays and typed keys, with the same values in every process; those that are replicated stay.

        Returns:
          The pytree with replicated arrays.
        """

        def put(x):
            if isinstance(x, jax.Array) and x.sharding == self._replicated:
                return x
            # NumPy cannot hold typed keys.
            if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
                return jax.random.wrap_key_data(put(jax.random.key_data(x)), impl=jax.random.key_impl(x))
            # Goes through host memory, because an array that is committed to one device cannot be combined with others.
            return jax.make_array_from_process_local_data(self._replicated, np.array(x), np.shape(x))

        return jax.tree.map(put, tree)

    def local(self, tree: typing.Any) -> typing.Any:
        """Returns the copy of a replicated pytree that is on this process's first device."""
        return jax.tree.map(lambda x: x.addressable_data(0), tree)

    def arrange(self, *batches: Batch) -> Batch:
        """Arranges batches as `Iteration` takes them; the mode `jit` begins to copy them to the devices as well.

        Args:
          *batches: one batch, or the batches of successive iterations of one dispatch. Each has `images`
            uint8 [n, H, W, C], `labels` [n, K] and `g_labels` [n, K] in host memory, this process's part.

        Returns:
          Batch of arrays: global ones [N, ...] (`jit`), or this process's by device [devices, n / devices, ...]
          (`pmap`); with an axis of iterations before N or n / devices if there are several batches.
        """
        batches = [Batch(batch.images, batch.labels, batch.g_labels) for batch in batches]
        batch = batches[0] if len(batches) == 1 else Batch(*map(np.stack, zip(*batches)))
        if self._config.parallel.mode == 'jit':
            sharding = NamedSharding(self._replicated.mesh, self._cut(len(batches)))
            return Batch(*[jax.make_array_from_process_local_data(sharding, x) for x in batch])
        # `pmap` takes its axis of devices first, before that of iterations.
        (first, end), axis = self.process_share, int(len(batches) > 1)

        def by_device(x):
            shape = (end - first, x.shape[axis] // (end - first))
            return np.moveaxis(x.reshape(*x.shape[:axis], *shape, *x.shape[axis + 1 :]), axis, 0)

        return Batch(*map(by_device, batch))

    def steps_per_dispatch(self, stage: int) -> int:
        """Returns the number of iterations per dispatch at a stage, `parallel.steps_per_dispatch` if that is set.

        A dispatch is one call of a compiled program. At small sizes the host would be too slow to launch every
        iteration by itself, so that accelerators run a whole group of steps, under one setting of the schedule.
        """
        if self._config.parallel.steps_per_dispatch is not None:
            return self._config.parallel.steps_per_dispatch
        is_small = self._config.image.stage_resolution(stage) < _LAUNCHES_COUNT_BELOW
        return self._config.schedule.steps_per_evaluation if is_small and not self.are_cpus else 1

    @property
    def compiles_when_called(self) -> bool:
        """Whether nothing can be compiled ahead of time, which is so for `pmap` over several processes.

        The program that `pmap` lowers takes global arrays. `pmap` makes them of each process's arrays, but only when it
        is called.
        """
        return self._config.parallel.mode == 'pmap' and jax.process_count() > 1

    @property
    def are_cpus(self) -> bool:
        """Whether the devices are processors rather than accelerators."""
        return self._devices[0].platform == 'cpu'

    @property
    def compiler_options(self) -> dict[str, typing.Any]:
        """Options for XLA, see `platforms.compiler_options`."""
        return compiler_options(self._devices[0].platform)

    def iteration(self) -> Iteration:
        """Returns the Iteration of these devices, of which nothing is compiled yet."""
        return Iteration(self)

    def program(self, stage: int, batch: int, alpha: float) -> Program:
        """Returns the program that trains a stage at a fade weight, with a whole dispatch of iterations.

        Accelerators leave the fade out at the last stage's full weight, where a run spends most of its time. Earlier
        stages would be compiled twice for little.
        """
        is_last = stage == self._config.image.num_stages - 1
        fades = self.are_cpus or not is_last or alpha < 1
        return Program(stage, batch, self.steps_per_dispatch(stage), fades)

    def mapped(self, program: Program) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
        """Returns a function of (state, batch, lr) that runs a program's iterations over the devices, not compiled yet.

        The function takes over the buffers of the state (donation), so that no second copy of it is needed.
        """

        def iteration(state, batch, lr):
            # Forms for other platforms than that of the devices would only take time to trace.
            with traced_for(platform_of(self._devices[0])):
                return _train_iterations(self._config, state, batch, lr, program, self._share)

        if self._config.parallel.mode == 'pmap':
            return jax.pmap(
                iteration,
                axis_name=_AXIS,
                in_axes=(None, 0, None),
                out_axes=None,
                donate_argnums=0,
                devices=self._devices,
            )
        whole = PartitionSpec()  # replicated
        # With check_vma=True `shard_map` would sum the gradients of replicated weights over devices by itself, with an
        # all-reduce for each tensor, before `mean_over_replicas` averages them.
        return jax.jit(
            jax.shard_map(
                iteration,
                mesh=self._replicated.mesh,
                in_specs=(whole, self._cut(program.steps), whole),
                out_specs=whole,
                check_vma=False,
            ),
            donate_argnums=0,
        )

    def abstract(self, state: TrainState, program: Program) -> tuple[TrainState, Batch, float]:
        """Returns the arguments of a `mapped` function as shapes and types alone, to compile it from.

        Args:
          state: a TrainState, of which only shapes and types count.
          program: that is compiled.

        Returns:
          (state, batch, lr).
        """
        image, (stage, batch, steps, _) = self._config.image, program
        pixels, label = (*image.stage_shape(stage), image.channels), (image.label_dim,)
        cut, sharding = (batch,), NamedSharding(self._replicated.mesh, self._cut(steps))
        if self._config.parallel.mode == 'pmap':
            cut, sharding = (batch // self.count,), None
        leading = (*((self.count,) if sharding is None else ()), *((steps,) if steps > 1 else ()), *cut)
        arrays = [
            jax.ShapeDtypeStruct((*leading, *shape), dtype, sharding=sharding)
            for shape, dtype in ((pixels, np.uint8), (label, np.float32), (label, np.float32))
        ]
        state = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._replicated), state)
        # The learning rate is a Python number (weakly typed), so it takes on the type of the weights.
        return state, Batch(*arrays), 0.0

    def size_of(self, arranged: Batch) -> tuple[int, int]:
        """Returns (images of one iteration over all devices, number of iterations) of the result of `arrange`."""
        is_pmap = self._config.parallel.mode == 'pmap'
        *leading, size, _, _, _ = arranged.images.shape[is_pmap:]
        return size * (self.count if is_pmap else 1), *(leading or [1])

    def _cut(self, steps):
        """Returns the PartitionSpec of a batch, whose axis of images is divided among the devices."""
        # An axis of iterations, if there are several, comes first and stays whole.
        return PartitionSpec(*[None] * (steps > 1), _AXIS)


class Program(typing.NamedTuple):
    """What decides on a compiled program.

    Attributes:
      stage: the active stage.
      batch: images of one iteration over all devices.
      steps: iterations per dispatch.
      fades: whether the stage may be fading in; see `train_iteration`.
    """

    stage: int
    batch: int
    steps: int = 1
    fades: bool = True


class Iteration:
    """A D step and a G step over all devices, one or several times per dispatch.

    `prepare` compiles a program in a thread; a call waits for it, or compiles a program that was not prepared.
    """

    def __init__(self, devices: Devices):
        self._devices = devices
        # Several CPU devices are threads of one pool, which meet in every all-reduce. If two programs ran at the same
        # time, each could hold threads that the other waits for.
        self._one_by_one = devices.count > 1 and devices.are_cpus
        self._compilations, self._unreported = {}, []

    @property
    def programs(self) -> set[Program]:
        """All programs that are compiled or being compiled."""
        return set(self._compilations)

    def prepare(self, state: TrainState, program: Program) -> Compilation:
        """Begins to compile a program in a thread, unless that was begun before.

        Args:
          state: a TrainState, of which only shapes and types count.
          program: to compile.

        Returns:
          The Compilation, to wait for or to ask how it went.
        """
        if program not in self._compilations:
            abstract = self._devices.abstract(state, program)
            self._compilations[program] = Compilation(functools.partial(self._compile, abstract, program))
            if not self._devices.compiles_when_called:
                self._unreported.append(program)
        return self._compilations[program]

    def compiled(self) -> list[tuple[Program, float]]:
        """Returns [(program, seconds)] of the compilations that ended since the previous call."""
        done = [program for program in self._unreported if self._compilations[program].is_done]
        self._unreported = [program for program in self._unreported if program not in done]
        return [(program, self._compilations[program].seconds) for program in done]

    def __call__(
        self, state: TrainState, batch: Batch, lr: float, *, stage: int, fades: bool = True
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """Runs the iterations of one dispatch, see `steps.train_iteration`.

        Args:
          state: a replicated TrainState; its buffers are taken over (donated), so it cannot be used again.
          batch: the result of `Devices.arrange` for this process's part.
          lr: learning rate.
          stage: the active stage.
          fades: see `Program`.

        Returns:
          (state, metrics), both replicated; metrics are sums over the iterations, but for counts of steps in a row.

        Raises:
          Whatever compiling raised.
        """
        size, steps = self._devices.size_of(batch)
        result = self.prepare(state, Program(stage, size, steps, fades)).result()(state, batch, lr)
        return jax.block_until_ready(result) if self._one_by_one else result

    def lower(
        self, state: TrainState, batch: Batch, lr: float, *, stage: int, fades: bool = True
    ) -> jax.stages.Lowered:
        """Returns the lowered form of a call, whose graph can be inspected and compiled."""
        program = Program(stage, *self._devices.size_of(batch), fades)
        return self._devices.mapped(program).lower(state, batch, lr)

    def _compile(self, abstract, program):
        mapped = self._devices.mapped(program)
        if self._devices.compiles_when_called:
            return mapped
        with tracing:
            lowered = mapped.lower(*abstract)
        return lowered.compile(self._devices.compiler_options)


def _train_iterations(config, state, batch, lr, program, share):
    """Takes iterations one after another; returns sums of the metrics, but the last values of counts in a row."""

    def once(state, batch):
        return train_iteration(config, state, batch, lr, stage=program.stage, fades=program.fades, share=share)

    if program.steps == 1:
        return once(state, batch)
    # A loop on the device, so that the program does not grow with the number of iterations.
    state, metrics = jax.lax.scan(once, state, batch)
    return state, {name: x[-1] if name.endswith('_in_a_row') else jnp.sum(x, axis=0) for name, x in metrics.items()}


def _chosen(devices, config):
    wanted = config.parallel.devices or len(devices)
    if wanted > len(devices):
        raise UserError(
            f'there are {len(devices)}',
            field='parallel.devices',
            value=wanted,
            remedy=f'set it to one of {divisors(config.replicas, len(devices))}',
        )
    if wanted < len(devices) and jax.process_count() > 1:
        raise UserError(
            f'with {jax.process_count()} processes all {len(devices)} devices take part',
            field='parallel.devices',
            value=wanted,
            remedy='start fewer processes instead',
        )
    return devices[:wanted]


def _check_steps(config):
    steps, group = config.parallel.steps_per_dispatch, config.schedule.steps_per_evaluation
    if steps is not None and group % steps:
        raise UserError(
            f'the schedule is looked at every {group} steps (schedule.steps_per_evaluation), and in between all stays '
            'the same',
            field='parallel.steps_per_dispatch',
            value=steps,
            remedy=f'give one of {divisors(group)}, or none',
        )
