"""The choice that every transformation of the pipeline makes for each image: it is applied with probability p, or not.

Reference:
  Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", Section 2.2 and Appendix B.
"""

import jax
import jax.numpy as jnp


def applied(
    key: jax.Array, probability: jax.typing.ArrayLike, drawn: jax.Array, otherwise: jax.typing.ArrayLike
) -> jax.Array:
    """Returns a parameter of a transformation that is applied to one image with a probability.

    Args:
      key: decides whether it is applied.
      probability: of the transformation (may be traced).
      drawn: the parameter where it is applied.
      otherwise: the parameter with which the transformation changes nothing.
    """
    return jnp.where(jax.random.uniform(key) < probability, drawn, otherwise)
