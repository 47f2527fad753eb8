"""Generators of other code that compute another function than the paper's: what differs, in one table.

The networks of rosinality/style-based-gan-pytorch changed several times; `config.network.PORTS` names the versions. In
all of them instance norm has a larger epsilon, and the bias of an up convolution is added before the blur rather than
after it, which differs at the edges of the image alone.
"""

import typing

import jax

from stylegan_jax.networks import ops

_EPSILON = 1e-5  # of PyTorch's InstanceNorm2d


class Port(typing.NamedTuple):
    """What a version of the code has its own way.

    Attributes:
      order: the steps after a convolution.
      is_bilinear: images are enlarged by linear interpolation, features and colours alike.
    """

    order: tuple[str, str, str] = ('noise', 'rectifier', 'style')  # as in the paper
    is_bilinear: bool = False


BY_ARCHITECTURE = {
    'rosinality': Port(),
    'rosinality_2019_03': Port(('noise', 'style', 'rectifier'), is_bilinear=True),
    'rosinality_2019_02': Port(('style', 'noise', 'rectifier'), is_bilinear=True),
    'rosinality_2019_01': Port(('style', 'noise', 'rectifier')),
}


def is_bilinear(architecture: str) -> bool:
    """Says whether the networks of this architecture enlarge images by linear interpolation."""
    return architecture in BY_ARCHITECTURE and BY_ARCHITECTURE[architecture].is_bilinear


def stylize_channels(
    port: Port,
    x: jax.Array,
    noise: jax.Array | None,
    strength: jax.Array | None,
    bias: jax.Array,
    style: jax.Array,
    nonlinearity: str,
    taps: tuple[float, ...] = (),
) -> jax.Array:
    """Computes what follows a convolution, as `kernels.epilogue.stylize_channels` does for the paper's networks.

    Args:
      port: what differs.
      x: [N, H, W, C].
      noise, strength, bias, style, nonlinearity, taps: as there.

    Returns:
      [N, H, W, C], at least float32.
    """
    steps = {
        'noise': lambda x: x if noise is None else x + noise * strength,
        'rectifier': lambda x: ops.rectify(x, nonlinearity),
        'style': lambda x: ops.stylize(ops.instance_norm(x, _EPSILON), style),
    }
    x = ops.blur(ops.at_least_float32(x) + bias, taps)
    for step in port.order:
        x = steps[step](x)
    return x
