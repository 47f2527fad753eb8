"""The controller of adaptive augmentation: the more the discriminator overfits, the more it augments.

Reference:
  Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", Section 3.
"""

import flax.struct
import jax
import jax.numpy as jnp

# The probability above which transformations begin to show in generated images (Section 2.2 and Figure 4a).
LEAKING = 0.8


@flax.struct.dataclass
class Augmentation:
    """What the controller carries from step to step.

    Attributes:
      p: probability of each transformation.
      signs: sum over the real images, since p was last moved, of the signs of the discriminator's outputs.
      images: number of these images.
      steps: number of these steps.
    """

    p: jax.Array
    signs: jax.Array
    images: jax.Array
    steps: jax.Array


def first_augmentation() -> Augmentation:
    """Returns the state at the beginning of a run: no augmentation."""
    return Augmentation(
        jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
    )


def adapt(
    state: Augmentation, sign: jax.Array, batch: int, *, target: float, speed_kimg: float, interval: int
) -> Augmentation:
    """Counts a step, and moves p if the step is the last of an interval.

    r_t = E[sign(D_train)] is above the target where the discriminator overfits: p then rises by as many images as were
    shown since it was last moved, over those in which it goes from 0 to 1, and falls by as much where r_t is below.

    Args:
      state: before the step.
      sign: mean sign of the discriminator's outputs for the step's real images, of all replicas.
      batch: number of these images.
      target: of r_t.
      speed_kimg: images in which p goes from 0 to 1 [thousands].
      interval: steps from one move of p to the next.

    Returns:
      The state after the step. Its p is at most 1; that of the official code goes on above, and is slow to come back.
    """
    signs, images, steps = state.signs + sign.astype(jnp.float32) * batch, state.images + batch, state.steps + 1
    is_due = steps >= interval
    r_t = signs / images
    moved = jnp.clip(state.p + jnp.sign(r_t - target) * images / (speed_kimg * 1000), 0, 1)
    return Augmentation(
        jnp.where(is_due, moved, state.p),
        jnp.where(is_due, 0, signs),
        jnp.where(is_due, 0, images),
        jnp.where(is_due, 0, steps),
    )
