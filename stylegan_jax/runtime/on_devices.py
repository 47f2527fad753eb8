"""A pure function over all devices of this process: each holds the whole network, and computes its part of a batch.

Evaluation, the sampler and the painter all run on this. It knows nothing of images.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from stylegan_jax.runtime.by_platform import platform_of, traced_for
from stylegan_jax.runtime.platforms import compiler_options, matmul_precision

_AXIS = 'device'


class Program:
    """A function of a network and of a batch, compiled ahead of time, once for each combination of shapes.

    It holds no weights, so that networks of the same shapes share what was compiled. Threads may compile and call it.
    """

    def __init__(self, function: Callable[[Any, Any], Any], devices: Sequence[jax.Device], precision: str):
        """Compiles nothing yet.

        Args:
          function: pure; takes (network, batch), which are pytrees of arrays. A device passes the whole network and its
            part of the batch, arrays [n, ...], and the function returns a pytree of arrays [n, ...].
          devices: devices of this process.
          precision: of products, see `platforms.matmul_precision`.
        """
        mesh = Mesh(np.array(devices), (_AXIS,))
        everywhere, split = PartitionSpec(), PartitionSpec(_AXIS)
        self._everywhere, self._split = NamedSharding(mesh, everywhere), NamedSharding(mesh, split)
        self._precision, self._options = precision, compiler_options(devices[0].platform)
        self._platform = platform_of(devices[0])
        # Under shard_map each device runs the function as if it were alone. Left to partition the function by itself,
        # XLA could decide that devices exchange activations.
        self._function = jax.jit(
            jax.shard_map(function, mesh=mesh, in_specs=(everywhere, split), out_specs=split, check_vma=False)
        )
        self._compiled: dict[Any, _Compiled] = {}

    def place(self, network: Any) -> Any:
        """Copies a pytree of arrays to all devices."""
        return jax.device_put(network, self._everywhere)

    def split(self, batch: Any) -> Any:
        """Gives each device its part of arrays [N, ...]; N must be a multiple of the number of devices."""
        return jax.device_put(batch, self._split)

    def check(self, network: Any, batch: Any) -> None:
        """Raises what the function would raise for these arrays, or `jax.ShapeDtypeStruct`s, and computes nothing."""
        with traced_for(self._platform):
            jax.eval_shape(self._function, network, batch)

    def lower(self, network: Any, batch: Any) -> jax.stages.Lowered:
        """Traces the function for the shapes of arrays, or of `jax.ShapeDtypeStruct`s."""

        def shapes(tree, sharding):
            return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)

        # The precision of products is fixed while the function is traced, and so are the forms that suit the platform.
        with matmul_precision(self._precision), traced_for(self._platform):
            return self._function.lower(shapes(network, self._everywhere), shapes(batch, self._split))

    def compile(self, network: Any, batch: Any) -> jax.stages.Compiled:
        """Compiles the function for the shapes of arrays, or of `jax.ShapeDtypeStruct`s, unless that was done before.

        A thread that asks for what another one compiles waits for it.
        """
        leaves, structure = jax.tree.flatten((network, batch))
        key = structure, tuple((x.shape, x.dtype) for x in leaves)
        one = self._compiled.setdefault(key, _Compiled())  # atomic: all threads get the same entry
        with one.lock:
            if one.program is None:
                one.program = self.lower(network, batch).compile(self._options)
        return one.program

    def __call__(self, network: Any, batch: Any) -> Any:
        """Runs the function, and returns before the devices are done.

        Args:
          network: from `place`.
          batch: a pytree of arrays [N, ...], on devices or in host memory.

        Returns:
          What the function returns, arrays [N, ...] on the devices.
        """
        batch = self.split(batch)
        return self.compile(network, batch)(network, batch)


class _Compiled:
    """An entry of a Program's table; each has a lock of its own, so that other shapes do not wait for it."""

    def __init__(self):
        self.lock, self.program = threading.Lock(), None


class OnDevices:
    """A function together with its network; both reach the devices when it is first called."""

    def __init__(self, function: Callable[..., Any], network: Any, devices: Sequence[jax.Device], precision: str):
        """Places and compiles nothing yet.

        Args:
          function: pure; takes (network, *batch), see `Program`.
          network: a pytree of arrays.
          devices: devices of this process.
          precision: of products, see `platforms.matmul_precision`.
        """
        self._program = Program(lambda network, batch: function(network, *batch), devices, precision)
        self._network = network

    @functools.cached_property
    def _placed(self):
        return self._program.place(self._network)

    def check(self, *shapes: jax.ShapeDtypeStruct) -> None:
        """Raises what the function would raise for a batch of these shapes, and computes nothing."""
        self._program.check(self._network, shapes)

    def __call__(self, *batch: Any) -> Any:
        """Returns what the function returns for arrays [N, ...]; N is a multiple of the number of devices."""
        return self._program(self._placed, batch)
