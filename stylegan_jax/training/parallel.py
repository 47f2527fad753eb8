"""The devices of a run: where state and batches live, and iterations compiled over all of them.

One pure iteration (`steps.iterate`) stands under both ways to compile it: `jit` over a mesh with `shard_map`, and
`pmap`. The state is on every device; a batch is cut along its first axis, in the order of the replicas. Everything is
compiled ahead of time, from shapes alone.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from stylegan_jax.data.batch import Batch
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.compiling import Compilation
from stylegan_jax.runtime.platforms import compiler_options
from stylegan_jax.training.sharing import divisors, share_of
from stylegan_jax.training.steps import iterate

_AXIS = 'device'
_LAUNCHES_COUNT_BELOW = 64  # pixels; where an iteration of an accelerator takes less time than launching it


class Devices:
    """The devices that a run uses, and what each of them does of a step.

    Attributes:
      count: how many there are, over all processes.
      process_share: (first, end) of this process's part of a batch, as fractions of `count`.
    """

    def __init__(self, config):
        """Picks the devices.

        Args:
          config: a Config.

        Raises:
          UserError: there are not so many devices, or they do not divide the replicas; or iterations at one go do
            not divide those between two looks at the schedule.
        """
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
    def process_replicas(self):
        """How many replicas run in this process."""
        first, end = self.process_share
        return (end - first) * self._share.replicas

    def describe(self):
        """Returns lines about who does what, for people; none where one device does all."""
        if self.count == 1:
            return []
        processes = f', in {jax.process_count()} processes' if jax.process_count() > 1 else ''
        return [
            f'{self.count} devices run {self._share.replicas} of {self._config.replicas} replicas each, '
            f'{self._share.replicas_at_once} at once{processes}'
        ]

    def part(self, batch):
        """Returns which images of a batch of so many are this process's, as (first, how many)."""
        first, end = (edge * batch // self.count for edge in self.process_share)
        return first, end - first

    def replicate(self, tree):
        """Puts a pytree on every device; every process gives the same values, and what is there already stays."""

        def put(x):
            if isinstance(x, jax.Array) and x.sharding == self._replicated:
                return x
            if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
                return jax.random.wrap_key_data(put(jax.random.key_data(x)), impl=jax.random.key_impl(x))
            # By way of the host: a copy on a device would be tied to it.
            return jax.make_array_from_process_local_data(self._replicated, np.array(x), np.shape(x))

        return jax.tree.map(put, tree)

    def local(self, tree):
        """Returns the copy of a replicated pytree that is on this process's first device."""
        return jax.tree.map(lambda x: x.addressable_data(0), tree)

    def arrange(self, *batches):
        """Returns what `Iteration` takes; `jit` puts it on the devices, in the background where it can.

        Args:
          *batches: one batch, or those of successive iterations that run at one go. Each has `images`
            uint8 [n, H, W, C], `labels` [n, K] and `g_labels` [n, K] in host memory, this process's part.
        """
        batches = [Batch(batch.images, batch.labels, batch.g_labels) for batch in batches]
        batch = batches[0] if len(batches) == 1 else Batch(*map(np.stack, zip(*batches)))
        if self._config.parallel.mode == 'jit':
            sharding = NamedSharding(self._replicated.mesh, self._cut(len(batches)))
            return Batch(*[jax.make_array_from_process_local_data(sharding, x) for x in batch])
        (first, end), axis = self.process_share, int(len(batches) > 1)

        def by_device(x):
            shape = (end - first, x.shape[axis] // (end - first))
            return np.moveaxis(x.reshape(*x.shape[:axis], *shape, *x.shape[axis + 1 :]), axis, 0)

        return Batch(*map(by_device, batch))

    def steps_per_dispatch(self, stage):
        """Returns how many iterations run at one go at a stage."""
        if self._config.parallel.steps_per_dispatch is not None:
            return self._config.parallel.steps_per_dispatch
        is_small = self._config.image.stage_resolution(stage) < _LAUNCHES_COUNT_BELOW
        return self._config.schedule.steps_per_evaluation if is_small and not self.are_cpus else 1

    @property
    def compiles_when_called(self):
        """Whether nothing can be compiled ahead of time.

        What `pmap` compiles takes arrays over all processes, and `pmap` itself, when it is called, puts them together
        from those of each.
        """
        return self._config.parallel.mode == 'pmap' and jax.process_count() > 1

    @property
    def are_cpus(self):
        """Whether the devices are processors rather than accelerators."""
        return self._devices[0].platform == 'cpu'

    @property
    def compiler_options(self):
        """See `platforms.compiler_options`."""
        return compiler_options(self._devices[0].platform)

    def compile(self):
        """Returns the Iteration of these devices, with nothing compiled yet."""
        return Iteration(self)

    def mapped(self, stage, steps):
        """Returns a function of (state, batch, lr) that runs iterations over the devices, not compiled yet."""

        def iteration(state, batch, lr):
            return _iterate(self._config, state, batch, lr, stage, steps, self._share)

        if self._config.parallel.mode == 'pmap':
            return jax.pmap(
                iteration,
                axis_name=_AXIS,
                in_axes=(None, 0, None),
                out_axes=None,
                donate_argnums=0,
                devices=self._devices,
            )
        whole = PartitionSpec()
        # check_vma would add sums over devices of its own to the gradients.
        return jax.jit(
            jax.shard_map(
                iteration,
                mesh=self._replicated.mesh,
                in_specs=(whole, self._cut(steps), whole),
                out_specs=whole,
                check_vma=False,
            ),
            donate_argnums=0,
        )

    def abstract(self, state, batch, stage, steps):
        """Returns (state, batch, lr) without values, as `mapped` takes them; `batch` is the size of one."""
        image = self._config.image
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
        # A number of Python's: it takes on the precision of what it is multiplied with.
        return state, Batch(*arrays), 0.0

    def size_of(self, arranged):
        """Returns (images of one batch over all devices, how many batches) of what `arrange` made."""
        is_pmap = self._config.parallel.mode == 'pmap'
        *leading, size, _, _, _ = arranged.images.shape[is_pmap:]
        return size * (self.count if is_pmap else 1), *(leading or [1])

    def _cut(self, steps):
        return PartitionSpec(*[None] * (steps > 1), _AXIS)


class Iteration:
    """A D step and a G step over devices, one or several times at one go.

    It is compiled for each (stage, batch, steps), where `batch` is the size of a batch over all devices, and `steps`
    counts the iterations at one go; in a thread, where it is prepared, and at the latest at the call that needs it.
    """

    def __init__(self, devices):
        self._devices = devices
        # Devices that are threads wait for one another; with several programs at once there may be too few.
        self._one_by_one = devices.count > 1 and devices.are_cpus
        self._compilations, self._untold = {}, []

    @property
    def programs(self):
        """What is compiled, or being compiled: a set of (stage, batch, steps)."""
        return set(self._compilations)

    def prepare(self, state, *, stage, batch, steps=1):
        """Begins to compile, unless that was begun before; returns the `compiling.Compilation`.

        Args:
          state: a TrainState, of which only shapes count.
          stage, batch, steps: see above.
        """
        program = stage, batch, steps
        if program not in self._compilations:
            abstract = self._devices.abstract(state, batch, stage, steps)
            self._compilations[program] = Compilation(functools.partial(self._compile, abstract, stage, steps))
            if not self._devices.compiles_when_called:
                self._untold.append(program)
        return self._compilations[program]

    def compiled(self):
        """Returns [((stage, batch, steps), seconds)] of the compilations that ended since the last time."""
        done = [program for program in self._untold if self._compilations[program].is_done]
        self._untold = [program for program in self._untold if program not in done]
        return [(program, self._compilations[program].seconds) for program in done]

    def __call__(self, state, batch, lr, *, stage):
        """Returns (state, metrics), see `steps.iterate`; metrics are sums over the iterations.

        Args:
          state: a replicated TrainState; its buffers are taken over.
          batch: what `Devices.arrange` made of this process's part.
          lr: learning rate.
          stage: the active stage.

        Raises:
          Whatever compiling raised.
        """
        size, steps = self._devices.size_of(batch)
        result = self.prepare(state, stage=stage, batch=size, steps=steps).result()(state, batch, lr)
        return jax.block_until_ready(result) if self._one_by_one else result

    def lower(self, state, batch, lr, *, stage):
        """Returns what `jax.jit` calls the lowered form, to look at the graph."""
        return self._devices.mapped(stage, self._devices.size_of(batch)[1]).lower(state, batch, lr)

    def _compile(self, abstract, stage, steps):
        mapped = self._devices.mapped(stage, steps)
        if self._devices.compiles_when_called:
            return mapped
        return mapped.lower(*abstract).compile(self._devices.compiler_options)


def _iterate(config, state, batch, lr, stage, steps, share):
    """Takes iterations one after another; metrics are their sums, of counts in a row the last ones."""

    def once(state, batch):
        return iterate(config, state, batch, lr, stage=stage, share=share)

    if steps == 1:
        return once(state, batch)
    state, metrics = jax.lax.scan(once, state, batch)
    return state, {name: x[-1] if name.endswith('_in_a_row') else jnp.sum(x, axis=0) for name, x in metrics.items()}


def _chosen(devices, config):
    wanted = config.parallel.devices or len(devices)
    if wanted > len(devices):
        raise UserError(
            f'parallel.devices={wanted}: there are {len(devices)}; set it to one of '
            f'{divisors(config.replicas, len(devices))}'
        )
    if wanted < len(devices) and jax.process_count() > 1:
        raise UserError(
            f'parallel.devices={wanted}: with {jax.process_count()} processes all {len(devices)} devices '
            'take part; start fewer processes instead'
        )
    return devices[:wanted]


def _check_steps(config):
    steps, group = config.parallel.steps_per_dispatch, config.schedule.steps_per_evaluation
    if steps is not None and group % steps:
        raise UserError(
            f'parallel.steps_per_dispatch={steps}: the schedule is looked at every {group} steps '
            '(schedule.steps_per_evaluation), and in between all stays the same; give '
            f'one of {divisors(group)}, or none'
        )
