"""The devices of a run: where state and batches live, and iterations compiled over all of them.

One pure iteration (`steps.iterate`) stands under both ways to compile it: `jit` over a mesh with `shard_map`, and
`pmap`. The state is on every device; a batch is cut along its first axis, in the order of the replicas.
"""
import functools

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from stylegan_jax.errors import UserError
from stylegan_jax.training.sharing import Share
from stylegan_jax.training.steps import iterate

_AXIS = 'device'


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
          UserError: there are not so many devices, or they do not divide the replicas.
        """
        devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
        self._devices = _chosen(devices, config)
        self.count = len(self._devices)
        self._config = config
        self._share = Share(config.replicas // self.count, _parts(config, self.count),
                            _AXIS if self.count > 1 else None)
        mesh = Mesh(np.array(self._devices), (_AXIS,))
        self._replicated, self._cut = (NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(_AXIS)))
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
        return [f'{self.count} devices run {self._share.replicas} of {self._config.replicas} replicas each, '
                f'{self._share.replicas_at_once} at once{processes}']

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

    def arrange(self, batch):
        """Returns a batch as `Iteration` takes it; `jit` puts it on the devices, in the background where it can.

        Args:
          batch: a pytree of arrays in host memory, this process's part along their first axis.
        """
        if self._config.parallel.mode == 'jit':
            return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self._cut, x), batch)
        first, end = self.process_share
        return jax.tree.map(lambda x: x.reshape(end - first, x.shape[0] // (end - first), *x.shape[1:]), batch)

    def compile(self):
        """Returns the Iteration of these devices, not compiled yet."""
        if self._config.parallel.mode == 'jit':
            compiled = self._mapped_over_mesh()
        else:
            compiled = jax.pmap(self._iterate, axis_name=_AXIS, in_axes=(None, 0, None), out_axes=None,
                                donate_argnums=0, static_broadcasted_argnums=3, devices=self._devices)
        # Devices that are threads wait for one another; with several programs at once there may be too few.
        one_by_one = self.count > 1 and self._devices[0].platform == 'cpu'
        return Iteration(compiled, one_by_one)

    def _mapped_over_mesh(self):
        @functools.partial(jax.jit, static_argnums=3, donate_argnums=0)
        def mapped(state, batch, lr, stage):
            # check_vma would add sums over devices of its own to the gradients.
            return jax.shard_map(functools.partial(self._iterate, stage=stage), mesh=self._replicated.mesh,
                                 in_specs=(PartitionSpec(), PartitionSpec(_AXIS), PartitionSpec()),
                                 out_specs=PartitionSpec(), check_vma=False)(state, batch, lr)
        return mapped

    def _iterate(self, state, batch, lr, stage):
        return iterate(self._config, state, batch, lr, stage=stage, share=self._share)


class Iteration:
    """A D step and a G step over devices; compiled once for each stage and batch size.

    Attributes:
      compiled: the compiled function, which takes the stage by position.
    """

    def __init__(self, compiled, one_by_one):
        self.compiled, self._one_by_one = compiled, one_by_one

    def __call__(self, state, batch, lr, *, stage):
        """Returns (state, metrics), see `steps.iterate`.

        Args:
          state: a replicated TrainState; its buffers are taken over.
          batch: what `Devices.arrange` made of this process's part.
          lr: learning rate.
          stage: the active stage (static).
        """
        result = self.compiled(state, batch, lr, stage)
        return jax.block_until_ready(result) if self._one_by_one else result

    def lower(self, state, batch, lr, *, stage):
        """Returns what `jax.jit` calls the lowered form, to look at the graph."""
        return self.compiled.lower(state, batch, lr, stage)


def _chosen(devices, config):
    wanted = config.parallel.devices or len(devices)
    divisors = [count for count in range(1, len(devices) + 1) if config.replicas % count == 0]
    remedy = 'set --config.parallel.devices to one of ' + ', '.join(map(str, divisors))
    if wanted > len(devices):
        raise UserError(f'parallel.devices={wanted}: there are {len(devices)}; {remedy}')
    if config.replicas % wanted:
        raise UserError(f'{wanted} devices cannot share replicas={config.replicas} equally; {remedy}, '
                        f'or --config.replicas to a multiple of {wanted}')
    if wanted < len(devices) and jax.process_count() > 1:
        raise UserError(f'parallel.devices={wanted}: with {jax.process_count()} processes all {len(devices)} devices '
                        'take part; start fewer processes instead')
    return devices[:wanted]


def _parts(config, count):
    replicas, parts = config.replicas // count, config.parallel.accumulate
    if replicas % parts:
        divisors = [parts for parts in range(1, replicas + 1) if replicas % parts == 0]
        raise UserError(f'parallel.accumulate={parts}: {count} devices run {replicas} of {config.replicas} replicas '
                        'each; give ' + ' or '.join(map(str, divisors)))
    return parts
