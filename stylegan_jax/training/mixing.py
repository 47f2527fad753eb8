"""Mixing regularization (StyleGAN, Section 3.1).

In a share of the steps training images are generated from two latents each: the layers up to a random crossover point
take the first one, the layers after it the second. So the generator cannot assume that the styles of adjacent layers
are correlated. Mixing and its crossover are drawn once per step and replica, as in the official code.
For the same operation on finished networks, with layers of one's own choice, see `networks.generator.mix`.
"""

import jax
import jax.numpy as jnp


def draw_crossover(key: jax.Array, probability: float, *, layers: int) -> jax.Array:
    """Draws the crossover point of mixing regularization (Section 3.1), which `mix_styles` applies.

    Args:
      key: a typed JAX key.
      probability: that there is mixing at all (`config.train.style_mixing_prob`; 0.9 in the paper's configuration F).
      layers: number of layers of the active stage; those of later stages do not run yet.

    Returns:
      The first layer that takes the second latent, uniform in [1, layers), or `layers` for no mixing; int32 scalar.

    Reference:
      Karras et al. 2019 (StyleGAN), Section 3.1 (Style mixing); `style_mixing_prob` in the official code.
    """
    mixes, position = jax.random.split(key)
    return jnp.where(jax.random.bernoulli(mixes, probability), jax.random.randint(position, (), 1, layers), layers)


def mix_styles(ws: jax.Array, ws_mix: jax.Array, crossover: jax.Array) -> jax.Array:
    """Applies mixing regularization (Section 3.1) at the crossover points that `draw_crossover` drew.

    Args:
      ws: intermediate latents of the first latents [N, L, W].
      ws_mix: the same of the second latents [N, L, W].
      crossover: for each image, the first layer that takes `ws_mix` [N]; L or more for no mixing.

    Returns:
      ws [N, L, W]: those of `ws` before the crossover, those of `ws_mix` from it on.

    Reference:
      Karras et al. 2019 (StyleGAN), Section 3.1 (Style mixing).
    """
    before = jnp.arange(ws.shape[1]) < crossover[:, None]
    return jnp.where(before[..., None], ws, ws_mix)
