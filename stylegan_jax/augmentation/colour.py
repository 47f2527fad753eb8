"""Transformations of colours: brightness, contrast, luma flip, hue and saturation, as one affine map of each image.

The paper has three channels. Elsewhere the same equations hold in as many dimensions as there are colours, with the
luma axis along (1, ..., 1). One channel is what the paper's grey images are; hue turns around an axis, which only three
dimensions have, and is left out elsewhere.

Reference:
  Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", Appendix B, Figure 10, "Select
  parameters for color transformations" and "Execute color transformations".
"""

import math
import typing

import jax
import jax.numpy as jnp

from stylegan_jax.augmentation.chance import applied
from stylegan_jax.augmentation.matrices import product, translation

# Standard deviations: of brightness, and of the logarithms to base 2 of contrast and saturation.
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0


class Colour(typing.NamedTuple):
    """The parameters for one image.

    Attributes:
      brightness: is added to all colours.
      contrast: factor of all colours.
      luma_flip: 1 to change the sign of the luma, else 0.
      hue: angle of the rotation around the luma axis [radians].
      saturation: factor of what is not luma.
    """

    brightness: jax.Array
    contrast: jax.Array
    luma_flip: jax.Array
    hue: jax.Array
    saturation: jax.Array


def draw_colour(key: jax.Array, p: jax.typing.ArrayLike) -> Colour:
    """Draws the parameters of one image.

    b ~ N(0, 0.2^2), c ~ Lognormal(0, (0.5 ln 2)^2), i ~ U{0, 1}, theta ~ U(-pi, pi), s ~ Lognormal(0, (ln 2)^2).
    """
    numbers, flip, angle, *chances = jax.random.split(key, 8)
    brightness, contrast, saturation = jax.random.normal(numbers, (3,), float)
    return Colour(
        applied(chances[0], p, BRIGHTNESS * brightness, 0.0),
        applied(chances[1], p, jnp.exp2(CONTRAST * contrast), 1.0),
        applied(chances[2], p, jax.random.randint(flip, (), 0, 2), 0),
        applied(chances[3], p, jax.random.uniform(angle, (), float, -math.pi, math.pi), 0.0),
        applied(chances[4], p, jnp.exp2(SATURATION * saturation), 1.0),
    )


def colour_matrix(colour: Colour, channels: int) -> jax.Array:
    """Returns the map of one image's colours as a matrix [channels + 1, channels + 1] over colours and a 1.

    With v the luma axis of length 1:
    (v v^T + (I - v v^T) s) ROTATE3D(v, theta) (I - 2 i v v^T) SCALE3D(c, c, c) TRANSLATE3D(b, b, b).
    """
    brightness, contrast, flip, hue, saturation = colour
    ones = jnp.ones(channels, jnp.asarray(brightness).dtype)
    luma, identity = jnp.outer(ones, ones) / channels, jnp.eye(channels, dtype=ones.dtype)
    return product(
        _linear(luma + (identity - luma) * saturation),
        _linear(_hue_rotation(hue, luma, identity) if channels == 3 else identity),
        _linear(identity - 2 * luma * flip),
        _linear(identity * contrast),
        translation(brightness * ones),
    )


def _linear(matrix):
    size = len(matrix)
    return jnp.eye(size + 1, dtype=matrix.dtype).at[:size, :size].set(matrix)


def _hue_rotation(angle, luma, identity):
    """Returns the rotation around the luma axis (Rodrigues' formula)."""
    cross = jnp.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], luma.dtype) / math.sqrt(3)  # x -> v x x
    return jnp.cos(angle) * identity + (1 - jnp.cos(angle)) * luma + jnp.sin(angle) * cross


def recolour(images: jax.Array, matrices: jax.Array) -> jax.Array:
    """Applies the maps of `colour_matrix`.

    Args:
      images: [N, H, W, C]; channels behind those of the matrices stay as they are.
      matrices: of each image [N, colours + 1, colours + 1].

    Returns:
      [N, H, W, C].
    """
    matrices = jax.lax.stop_gradient(matrices).astype(images.dtype)
    count = matrices.shape[1] - 1
    colours = jnp.einsum('nij,nhwj->nhwi', matrices[:, :count, :count], images[..., :count], precision='highest')
    colours = colours + matrices[:, None, None, :count, count]
    return colours if count == images.shape[-1] else jnp.concatenate([colours, images[..., count:]], axis=-1)
