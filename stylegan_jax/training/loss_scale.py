"""Loss scaling, without which small gradients would vanish in float16.

The smallest positive float16 is 6e-8. The loss is therefore multiplied by a factor before it is differentiated, and
the gradients are divided by it afterwards. The factor of each network is kept as its logarithm to base 2: it falls by
one when gradients overflow (that step is skipped, see `steps`), and otherwise rises slowly, so that it stays near the
largest that works.

Reference:
  Micikevicius et al. 2018 (Mixed precision training), Section 3.2. The rates are those of the official code
  (`loss_scaling_inc` and `loss_scaling_dec` of its optimiser).
"""

import jax
import jax.numpy as jnp

from stylegan_jax.config import Config
from stylegan_jax.runtime.platforms import resolved

# The logarithm at first. The official code begins at 64 and comes down by one in each of the steps that it skips for
# it; float16 overflows beyond 16 in any case, so these steps would be lost.
FIRST_LOSS_SCALE = 16.0
_INCREASE, _DECREASE = 0.0005, 1.0  # of the logarithm: after a step with finite gradients, and after one without


def loss_scale(config: Config, log2_scale: jax.Array) -> jax.Array | float:
    """Returns the factor of the loss, for its logarithm to base 2; 1 where the precision needs none."""
    return jnp.exp2(log2_scale) if _needs_loss_scale(config) else 1.0


def next_loss_scale(config: Config, log2_scale: jax.Array, finite: jax.Array) -> jax.Array:
    """Adjusts the factor of the loss after a step.

    Args:
      config: a Config.
      log2_scale: logarithm of the factor in this step.
      finite: whether the step's gradients were finite.

    Returns:
      The logarithm of the factor in the next step; unchanged where the precision needs none.
    """
    if not _needs_loss_scale(config):
        return log2_scale
    return log2_scale + jnp.where(finite, _INCREASE, -_DECREASE)


def _needs_loss_scale(config):
    # bfloat16 has the exponents of float32, so that nothing vanishes in it.
    return resolved(config.precision) == 'float16'
