"""All transformations in their order, for a batch of images.

Training with augmented real and generated images alike leads to the distribution of real images as they are, as long as
the augmentation can be undone as a map of distributions. A p below 1 is enough for that; the paper finds no leaks in
practice below 0.8 (its Section 2.2, and Bora et al. 2018).
"""

import jax
import jax.numpy as jnp

from stylegan_jax.augmentation import differentiable
from stylegan_jax.augmentation.blitting import blit_matrix, draw_blit
from stylegan_jax.augmentation.colour import colour_matrix, draw_colour, recolour
from stylegan_jax.augmentation.geometry import draw_geometry, geometry_matrix
from stylegan_jax.augmentation.matrices import product
from stylegan_jax.augmentation.resampling import transform


def augment(
    images: jax.Array,
    keys: jax.Array,
    p: jax.typing.ArrayLike,
    *,
    mode: str,
    fourth_channel: str = 'alpha',
) -> jax.Array:
    """Augments images; linear in their pixels but for constants, and so differentiable as often as needed.

    Args:
      images: [N, H, W, C] around [-1, 1].
      keys: typed keys [N], of which all that is random for an image follows.
      p: probability of each transformation; 'diffaugment' has none (may be traced).
      mode: 'ada' or 'fixed' for the pipeline of adaptive discriminator augmentation, or 'diffaugment'.
      fourth_channel: 'alpha' where the last of four channels is opacity, whose values are no colours; it moves with the
        colours, and is cut out with them.

    Returns:
      [N, H, W, C] in the type of `images`.

    Reference:
      Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", Appendix B, Figure 10: pixel
      blitting, geometry and colour, the best set of transformations of Figure 4. Zhao et al. 2020 for 'diffaugment'.
    """
    x = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    height, width, channels = images.shape[1:]
    colours = 3 if channels == 4 and fourth_channel == 'alpha' else channels
    if mode == 'diffaugment':
        x = jax.vmap(lambda image, key: differentiable.draw_and_apply(image, key, colours))(x, keys)
        return x.astype(images.dtype)

    def draw(key):
        blit, geometry, colour = jax.random.split(key, 3)
        plane = product(
            geometry_matrix(draw_geometry(geometry, p, height, width)), blit_matrix(draw_blit(blit, p, height, width))
        )
        return plane, colour_matrix(draw_colour(colour, p), colours)

    planes, palettes = jax.vmap(draw)(keys)
    return recolour(transform(x, planes), palettes).astype(images.dtype)
