"""Real images on their way from the data set to the discriminator."""

import jax
import jax.numpy as jnp

from stylegan_jax.networks import ops


def prepare_reals(
    images: jax.Array,
    mirror: jax.Array | None,
    alpha: jax.typing.ArrayLike | None,
    *,
    stage: int,
    dtype: jax.typing.DTypeLike = jnp.float32,
    fourth_channel: str = 'alpha',
) -> jax.Array:
    """Scales real images to the range of the networks, mirrors some of them, and fades them as the networks are faded.

    Args:
      images: [N, H, W, C] at the size of the stage; integers in [0, 255], or floats already in [-1, 1].
      mirror: whether to flip each image left to right [N], or None for never.
      alpha: weight of the stage against the one below it (may be traced); None for a stage that is not faded.
      stage: the active stage (static).
      dtype: of the result.
      fourth_channel: the meaning of the last of four channels; see `fade_reals`.

    Returns:
      [N, H, W, C] in [-1, 1].
    """
    x = images.astype(dtype)
    if jnp.issubdtype(images.dtype, jnp.integer):
        x = x * (2 / 255) - 1
    if mirror is not None:
        x = jnp.where(mirror[:, None, None, None], x[:, :, ::-1], x)
    # Below stage 0 there is nothing to fade from.
    return fade_reals(x, alpha, fourth_channel) if stage and alpha is not None else x


def fade_reals(x: jax.Array, alpha: jax.typing.ArrayLike, fourth_channel: str = 'alpha') -> jax.Array:
    """Fades real images in with the stage, as progressive growing fades the networks.

    The discriminator must not tell real images by detail that generated ones cannot have yet. The schedule gives the
    level of detail (`config.schedule.lod_at`), whose fraction becomes `alpha` (`config.network.stage_and_alpha`); the
    networks fade their own outputs and inputs with `networks.ops.fade`, as is done here.

    Args:
      x: [N, H, W, C] at the size of the stage.
      alpha: weight of the full detail, in (0, 1]; the rest has the detail of the stage below (may be traced).
      fourth_channel: 'alpha' where the last of four channels is opacity: colours are weighted by it, as in the data
        set's own lower stages (`data.pixels.box_reduce`). 'data' where every channel is averaged alone. The
        discriminator's own fade averages every channel alone in either case, of generated images as of real ones.

    Returns:
      [N, H, W, C].

    Reference:
      Karras et al. 2018 (Progressive GAN), Section 2 and the caption of Figure 2; `lod` in the official code.
    """
    if x.shape[-1] == 4 and fourth_channel == 'alpha':
        return _fade_cutouts(x, alpha)
    return ops.fade(ops.upscale(ops.downscale(x)), x, alpha)


def _fade_cutouts(x, alpha):
    """Fades colours with their opacity as weight, so that what is behind a cut-out does not darken its edges."""

    def faded(y):
        return ops.fade(ops.upscale(ops.downscale(y)), y, alpha)

    colours, opacity = x[..., :3], (x[..., 3:] + 1) / 2
    weighted, total = faded(colours * opacity), faded(opacity)
    # Where nothing is visible, colours have no meaning, and are averaged alone.
    visible = total > 0
    colours = jnp.where(visible, weighted / jnp.where(visible, total, 1), faded(colours))
    return jnp.concatenate([colours, 2 * total - 1], axis=-1)
