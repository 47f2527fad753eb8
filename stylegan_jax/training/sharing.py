"""How the replicas of a step are shared out: over devices, and on a device one part after another.

Means over replicas are all that crosses them, so the result is the same however they are shared, to rounding.
"""

import typing

import jax
import jax.flatten_util
import jax.numpy as jnp

from stylegan_jax.errors import UserError


class Share(typing.NamedTuple):
    """What one device does of a step.

    Attributes:
      replicas: how many replicas it runs; their images stand one after another.
      parts: how many parts it takes them in, one after another; divides `replicas`.
      axis: name of the axis of devices, or None where there is a single one.
    """

    replicas: int
    parts: int = 1
    axis: str | None = None

    @property
    def replicas_at_once(self):
        return self.replicas // self.parts

    def numbers(self):
        """Returns the numbers of this device's replicas among all, int32 [replicas]."""
        first = jax.lax.axis_index(self.axis) * self.replicas if self.axis else 0
        return first + jnp.arange(self.replicas)


def share_of(config, count, axis=None):
    """Returns the Share of each of so many devices.

    Args:
      config: a Config.
      count: of devices.
      axis: see `Share`.

    Raises:
      UserError: the devices do not divide the replicas, or `parallel.accumulate` not those of a device.
    """
    if config.replicas % count:
        raise UserError(
            f'{count} devices cannot share replicas={config.replicas} equally; set '
            f'--config.parallel.devices to one of {divisors(config.replicas)}, '
            f'or --config.replicas to a multiple of {count}'
        )
    replicas, parts = config.replicas // count, config.parallel.accumulate
    if replicas % parts:
        raise UserError(
            f'parallel.accumulate={parts}: {count} devices run {replicas} of {config.replicas} replicas '
            f'each; give one of {divisors(replicas)}'
        )
    return Share(replicas, parts, axis)


def divisors(number, most=None):
    """Returns what divides a number, up to `most`, as text for people."""
    return ', '.join(str(divisor) for divisor in range(1, (most or number) + 1) if number % divisor == 0)


def mean_over_replicas(function, share, *batch):
    """Averages a function over parts and devices, with a single all-reduce.

    Args:
      function: takes arrays of a part's images, [n, ...], and returns a pytree of means over them (floats).
      share: a Share.
      *batch: pytrees of arrays [N, ...], of this device's images.

    Returns:
      The pytree of means over the images of all replicas.
    """
    if share.parts == 1:
        means = function(*batch)
    else:
        parts = jax.tree.map(lambda x: x.reshape(share.parts, x.shape[0] // share.parts, *x.shape[1:]), batch)
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, *jax.tree.map(lambda x: x[0], parts))
        )
        sums, _ = jax.lax.scan(lambda sums, part: (jax.tree.map(jnp.add, sums, function(*part)), None), zeros, parts)
        means = jax.tree.map(lambda x: x / share.parts, sums)
    if share.axis is None:
        return means
    # In one piece: many small reductions would each cost a latency.
    flat, restore = jax.flatten_util.ravel_pytree(means)
    return restore(jax.lax.pmean(flat, share.axis))
