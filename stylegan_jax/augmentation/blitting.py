"""Pixel blitting: flips, quarter turns and shifts by whole pixels, as matrices of plane coordinates.

Matrices map places of the original image to places of the augmented one, in pixels from the image's centre, with x to
the right and y downwards: [x', y', 1] = G [x, y, 1].

Reference:
  Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", Appendix B, Figure 10, "Select
  parameters for pixel blitting".
"""

import typing

import jax
import jax.numpy as jnp

from stylegan_jax.augmentation.chance import applied
from stylegan_jax.augmentation.matrices import product, rotation_by, scaling, translation

LARGEST_SHIFT = 0.125  # of the side of the image


class Blit(typing.NamedTuple):
    """The parameters for one image.

    Attributes:
      flip: 1 to exchange left and right, else 0.
      quarter_turns: 0 to 3.
      shift: to the right and downwards, in whole pixels [2].
    """

    flip: jax.Array
    quarter_turns: jax.Array
    shift: jax.Array


def draw_blit(key: jax.Array, p: jax.typing.ArrayLike, height: int, width: int) -> Blit:
    """Draws the parameters of one image: i ~ U{0, 1}; i ~ U{0, 3}; t ~ U(-0.125, 0.125) of the side, rounded."""
    flip, turn, shift, *chances = jax.random.split(key, 6)
    sides = jnp.array([width, height], float)
    by = jax.random.uniform(shift, (2,), float, -LARGEST_SHIFT, LARGEST_SHIFT)
    return Blit(
        applied(chances[0], p, jax.random.randint(flip, (), 0, 2), 0),
        applied(chances[1], p, jax.random.randint(turn, (), 0, 4), 0),
        applied(chances[2], p, jnp.round(by * sides), 0.0),
    )


def blit_matrix(blit: Blit) -> jax.Array:
    """Returns the matrix of one image [3, 3]: TRANSLATE2D(t) ROTATE2D(-pi/2 i) SCALE2D(1 - 2i, 1)."""
    # Cosines and sines of quarter turns come from tables, which are exact.
    cosine = jnp.array([1.0, 0, -1, 0])[blit.quarter_turns]
    sine = -jnp.array([0.0, 1, 0, -1])[blit.quarter_turns]
    return product(translation(blit.shift), rotation_by(cosine, sine), scaling(1 - 2.0 * blit.flip, 1))
