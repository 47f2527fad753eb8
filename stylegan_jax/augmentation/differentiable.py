"""DiffAugment: colour, translation and cutout, applied to every image.

Reference:
  Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", Section 3.3 and Appendix A.
"""

import jax
import jax.numpy as jnp
import numpy as np

SHIFT, CUTOUT = 0.125, 0.5  # largest translation, and side of the square that is cut out, over the side of the image


def draw_and_apply(image: jax.Array, key: jax.Array, colours: int) -> jax.Array:
    """Augments one image [H, W, C], of which the first `colours` channels are colours."""
    keys = jax.random.split(key, 3)
    factors = jax.random.uniform(keys[0], (3,), image.dtype)
    painted = change_colours(image[..., :colours], factors[0] - 0.5, 2 * factors[1], factors[2] + 0.5)
    image = jnp.concatenate([painted, image[..., colours:]], axis=-1)
    largest = _share(image, SHIFT)
    image = shifted(image, jax.random.randint(keys[1], (2,), -largest, largest + 1))
    return cut_out(image, jax.random.randint(keys[2], (2,), 0, _centres(image)))


def change_colours(
    image: jax.Array,
    brightness: jax.typing.ArrayLike,
    saturation: jax.typing.ArrayLike,
    contrast: jax.typing.ArrayLike,
) -> jax.Array:
    """Changes the colours of an image [H, W, C].

    Args:
      image: [H, W, C].
      brightness: is added, from U(-0.5, 0.5).
      saturation: factor of each pixel's distance from its mean over channels, from U(0, 2).
      contrast: factor of the distance from the image's mean, from U(0.5, 1.5).
    """
    x = image + brightness
    grey = jnp.mean(x, axis=-1, keepdims=True)
    x = grey + (x - grey) * saturation
    mean = jnp.mean(x)
    return mean + (x - mean) * contrast


def shifted(image: jax.Array, shift: jax.Array) -> jax.Array:
    """Moves an image [H, W, C] by whole pixels [2], downwards and to the right, over a ground of zeros."""
    largest = _share(image, SHIFT)
    padded = jnp.pad(image, [*((side, side) for side in largest), (0, 0)])
    return jax.lax.dynamic_slice(padded, (*(largest - shift), 0), image.shape)


def cut_out(image: jax.Array, centre: jax.Array) -> jax.Array:
    """Sets a box of an image [H, W, C] to zero that begins half of its side before `centre` [2], row and column."""
    inside = True
    for axis, side in enumerate(_share(image, CUTOUT).tolist()):
        first = centre[axis] - side // 2
        places = jax.lax.broadcasted_iota(jnp.int32, (*image.shape[:2], 1), axis)
        inside = inside & (places >= first) & (places < first + side)
    return jnp.where(inside, 0, image)


def _share(image, share):
    """Returns a share of both sides in whole pixels, int [2]."""
    return np.array([int(side * share + 0.5) for side in image.shape[:2]])


def _centres(image):
    """Returns the number of places of the box along both axes; a box of an even side has one more."""
    return np.array(image.shape[:2]) + 1 - _share(image, CUTOUT) % 2
