"""How the replicas of a step are divided: among devices, and on a device into parts that run one after another.

Replicas exchange nothing but means over all of them, so the result is the same, to rounding, however they are divided.
"""

import typing
from collections.abc import Callable

import jax
import jax.flatten_util
import jax.numpy as jnp

from stylegan_jax.config import Config
from stylegan_jax.errors import UserError


class Share(typing.NamedTuple):
    """The part of a step that one device does.

    Attributes:
      replicas: how many replicas the device runs; their images follow one another in the batch.
      parts: number of parts that it runs them in, one after another, which accumulates gradients; divides `replicas`.
      axis: name of the mapped axis of devices (as `jax.lax.psum` takes it), or None for a single device.
    """

    replicas: int
    parts: int = 1
    axis: str | None = None

    @property
    def replicas_per_part(self) -> int:
        return self.replicas // self.parts

    def numbers(self) -> jax.Array:
        """Returns the numbers of this device's replicas among those of all devices, int32 [replicas]."""
        first = jax.lax.axis_index(self.axis) * self.replicas if self.axis else 0
        return first + jnp.arange(self.replicas)


def share_of(config: Config, count: int, axis: str | None = None) -> Share:
    """Returns the Share that each of several devices has.

    Args:
      config: a Config.
      count: number of devices.
      axis: see `Share`.

    Raises:
      UserError: the number of devices does not divide that of the replicas, or `parallel.accumulate` does not divide
        that of a device's replicas.
    """
    if config.replicas % count:
        raise UserError(
            f'{count} devices cannot share replicas={config.replicas} equally',
            remedy=f'set parallel.devices to one of {divisors(config.replicas)}, or replicas=N, a multiple of {count}',
        )
    replicas, parts = config.replicas // count, config.parallel.accumulate
    if replicas % parts:
        raise UserError(
            f'{count} devices run {replicas} of {config.replicas} replicas each',
            field='parallel.accumulate',
            value=parts,
            remedy=f'give one of {divisors(replicas)}',
        )
    return Share(replicas, parts, axis)


def global_batch(config: Config, share: Share | None, images: jax.Array) -> int:
    """Returns how many images a step shows over all devices, for the images [N, ...] of one of them."""
    return images.shape[0] * (config.replicas // share.replicas if share else 1)


def divisors(number: int, most: int | None = None) -> str:
    """Returns the divisors of a number, up to `most`, as text such as '1, 2, 4'."""
    return ', '.join(str(divisor) for divisor in range(1, (most or number) + 1) if number % divisor == 0)


def mean_over_replicas(function: Callable[..., typing.Any], share: Share, *batch: typing.Any) -> typing.Any:
    """Averages a function over the parts of a device and over all devices, with a single all-reduce.

    Args:
      function: takes the arrays of one part's images, [n, ...], and returns a pytree of means over them (floats).
      share: the part of the step that this device does.
      *batch: pytrees of arrays [N, ...], of this device's images.

    Returns:
      The pytree of means over the images of all replicas, the same on every device.
    """
    if share.parts == 1:
        means = function(*batch)
    else:
        # Gradient accumulation: a scan holds the activations of one part at a time, and adds up the results.
        parts = jax.tree.map(lambda x: x.reshape(share.parts, x.shape[0] // share.parts, *x.shape[1:]), batch)
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, *jax.tree.map(lambda x: x[0], parts))
        )
        sums, _ = jax.lax.scan(lambda sums, part: (jax.tree.map(jnp.add, sums, function(*part)), None), zeros, parts)
        means = jax.tree.map(lambda x: x / share.parts, sums)
    if share.axis is None:
        return means
    # All tensors are reduced as one flat array, because each of many small reductions would cost a latency. `pmean` is
    # a sum over the devices (`psum`) divided by their number; parts and devices have equally many images each.
    flat, restore = jax.flatten_util.ravel_pytree(means)
    return restore(jax.lax.pmean(flat, share.axis))
