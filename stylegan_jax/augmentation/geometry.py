"""General geometric transformations: scaling, rotation and shifts by fractions of a pixel, as matrices.

Coordinates are those of `blitting`; `resampling` moves the pixels.

Reference:
  Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", Appendix B, Figure 10, "Select
  parameters for general geometric transformations".
"""

import math
import typing

import jax
import jax.numpy as jnp

from stylegan_jax.augmentation.chance import applied
from stylegan_jax.augmentation.matrices import product, rotation, scaling, translation

# Standard deviations: of the logarithm to base 2 of both scales, since Lognormal(0, (0.2 ln 2)^2) is 2^N(0, 0.2^2), and
# of the shift over the side of the image.
SCALE, STRETCH, SHIFT = 0.2, 0.2, 0.125


class Geometry(typing.NamedTuple):
    """The parameters for one image.

    Attributes:
      scale: isotropic factor.
      first_angle: of the rotation before stretching [radians].
      stretch: factor of x, and the divisor of y.
      second_angle: of the rotation after stretching [radians].
      shift: to the right and downwards [2] in pixels.
    """

    scale: jax.Array
    first_angle: jax.Array
    stretch: jax.Array
    second_angle: jax.Array
    shift: jax.Array


def draw_geometry(key: jax.Array, p: jax.typing.ArrayLike, height: int, width: int) -> Geometry:
    """Draws the parameters of one image.

    s ~ Lognormal(0, (0.2 ln 2)^2), theta ~ U(-pi, pi), t ~ N(0, 0.125^2) of the side.
    """
    numbers, angles, *chances = jax.random.split(key, 7)
    scale, stretch, *shift = jax.random.normal(numbers, (4,), float)
    first, second = jax.random.uniform(angles, (2,), float, -math.pi, math.pi)
    # Either of two rotations has the probability p: 1 - (1 - p_rot)^2 = p.
    p_rot = 1 - jnp.sqrt(1 - jnp.clip(p, 0, 1))
    return Geometry(
        applied(chances[0], p, jnp.exp2(SCALE * scale), 1.0),
        applied(chances[1], p_rot, first, 0.0),
        applied(chances[2], p, jnp.exp2(STRETCH * stretch), 1.0),
        applied(chances[3], p_rot, second, 0.0),
        applied(chances[4], p, SHIFT * jnp.stack(shift) * jnp.array([width, height], float), 0.0),
    )


def geometry_matrix(geometry: Geometry) -> jax.Array:
    """Returns the matrix of one image [3, 3].

    TRANSLATE2D(t) ROTATE2D(-theta_2) SCALE2D(s_2, 1 / s_2) ROTATE2D(-theta_1) SCALE2D(s_1, s_1).
    """
    return product(
        translation(geometry.shift),
        rotation(-geometry.second_angle),
        scaling(geometry.stretch, 1 / geometry.stretch),
        rotation(-geometry.first_angle),
        scaling(geometry.scale, geometry.scale),
    )
