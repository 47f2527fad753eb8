"""A function of a network and of a batch, over all devices of this process, each on its part of the batch."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from stylegan_jax.runtime.platforms import compiler_options, matmul_precision

_AXIS = 'device'


class OnDevices:
    """Compiled when it is first called, for batches that are all of one size."""

    def __init__(self, function, network, devices, precision):
        """Places the network.

        Args:
          function: pure; of (network, *batch), with arrays [n, ...] of a device's part; returns a pytree of such.
          network: a pytree of arrays.
          devices: a tuple of devices of this process.
          precision: of products, see `platforms.matmul_precision`.
        """
        mesh = Mesh(np.array(devices), (_AXIS,))
        cut, everywhere = PartitionSpec(_AXIS), PartitionSpec()
        self._cut, self._precision = NamedSharding(mesh, cut), precision
        self._network = jax.device_put(network, NamedSharding(mesh, everywhere))
        self._compiled = jax.jit(
            jax.shard_map(
                lambda network, batch: function(network, *batch),
                mesh=mesh,
                in_specs=(everywhere, cut),
                out_specs=cut,
                check_vma=False,
            ),
            compiler_options=compiler_options(devices[0].platform),
        )

    def check(self, *shapes):
        """Raises what the function would raise for arrays like these `jax.ShapeDtypeStruct`s; computes nothing."""
        jax.eval_shape(self._compiled, self._network, shapes)

    def __call__(self, *batch):
        """Returns what the function gives for arrays [N, ...], on the devices; N is a multiple of their number."""
        with matmul_precision(self._precision):
            return self._compiled(self._network, jax.device_put(batch, self._cut))
