"""Path length regularization: steps of one length in W should change images by one length, in every direction.

The Jacobian of synthesis, J_w = dg(w)/dw, is never formed. For random images y the vector J_w^T y is a gradient, that
of g(w) . y with respect to w, and the mean of its length over y tells how much the image changes where w moves.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from stylegan_jax.config import LossConfig


def path_lengths(
    synthesize: Callable[[jax.Array], jax.Array],
    ws: jax.Array,
    directions: jax.Array,
    scale: jax.typing.ArrayLike = 1.0,
) -> jax.Array:
    """Computes the length of J_w^T y for each image.

    Args:
      synthesize: ws [N, L, W] -> images [N, H, W, C].
      ws: one w for each layer of the network [N, L, W]. Layers of later stages do not run, and count as 0: so lengths
        do not jump when a stage begins.
      directions: normal numbers [N, H, W, C]. Over the root of the number of pixels they are y. This holds at every
        stage: a pixel that stands for shrink x shrink pixels of the full image would add up as many normal numbers,
        and their root is divided by the full number of pixels.
      scale: factor of the images while they are differentiated (see `loss_scale`).

    Returns:
      [N], the root of the mean over layers of squared lengths in W.

    Reference:
      Karras et al. 2020 (StyleGAN2), Section 3.2 and Appendix B; the mean over layers is that of the official code.
    """
    images, pullback = jax.vjp(synthesize, ws)
    _, height, width, _ = images.shape
    (gradients,) = pullback((directions * (scale / (height * width) ** 0.5)).astype(images.dtype))
    return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(gradients / scale), axis=2), axis=1))


def path_length_penalty(config: LossConfig, lengths: jax.Array, means: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes the penalty of each image, (|J_w^T y| - a)^2.

    As in the official code each replica has a running mean a of its own, a moves before it is used, and the little that
    these lengths add to it (path_length_decay) has a gradient as well.

    Args:
      config: a LossConfig.
      lengths: the result of `path_lengths`, of one replica after another [N].
      means: a of each of these replicas [R].

    Returns:
      penalties: [N].
      means: the next a of each replica [R].

    Reference:
      Karras et al. 2020 (StyleGAN2), Equation 4 and Appendix B.
    """
    lengths = lengths.reshape(means.shape[0], -1)
    means = means + config.path_length_decay * (jnp.mean(lengths, axis=1) - means)
    return jnp.square(lengths - means[:, None]).reshape(-1), means
