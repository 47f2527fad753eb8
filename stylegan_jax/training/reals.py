"""Real images on their way from the data set to the discriminator."""

import jax
import jax.numpy as jnp

from stylegan_jax.networks import ops


def prepare_reals(
    images: jax.Array,
    mirror: jax.Array | None,
    alpha: jax.typing.ArrayLike,
    *,
    stage: int,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> jax.Array:
    """Scales real images to the range of the networks, mirrors some of them, and fades them as the networks are faded.

    Args:
      images: [N, H, W, C] at the size of the stage; integers in [0, 255], or floats already in [-1, 1].
      mirror: whether to flip each image left to right [N], or None for never.
      alpha: weight of the stage against the one below it (may be traced).
      stage: the active stage (static).
      dtype: of the result.

    Returns:
      [N, H, W, C] in [-1, 1].
    """
    x = images.astype(dtype)
    if jnp.issubdtype(images.dtype, jnp.integer):
        x = x * (2 / 255) - 1
    if mirror is not None:
        x = jnp.where(mirror[:, None, None, None], x[:, :, ::-1], x)
    return fade_reals(x, alpha) if stage else x  # below stage 0 there is nothing to fade from


def fade_reals(x: jax.Array, alpha: jax.typing.ArrayLike) -> jax.Array:
    """Fades real images in with the stage, as progressive growing fades the networks.

    The discriminator must not tell real images by detail that generated ones cannot have yet. The schedule gives the
    level of detail (`config.schedule.lod_at`), whose fraction becomes `alpha` (`config.network.stage_and_alpha`); the
    networks fade their own outputs and inputs with `networks.ops.fade`, as is done here.

    Args:
      x: [N, H, W, C] at the size of the stage.
      alpha: weight of the full detail, in (0, 1]; the rest has the detail of the stage below (may be traced).

    Returns:
      [N, H, W, C].

    Reference:
      Karras et al. 2018 (Progressive GAN), Section 2 and the caption of Figure 2; `lod` in the official code.
    """
    return ops.fade(ops.upscale(ops.downscale(x)), x, alpha)
