"""Adam in TensorFlow's form, which differs from optax's: epsilon is outside of the bias correction.

With beta1 = 0 and a small epsilon this difference alone moves a few percent of the weights visibly.
"""

import jax
import jax.numpy as jnp
import optax


def adam_init(params: optax.Params, beta1: float) -> optax.ScaleByAdamState:
    """Returns Adam's state before the first step, in optax's form (count, mu, nu); without mu where beta1 is 0."""

    def zeros():
        return jax.tree.map(jnp.zeros_like, params)

    return optax.ScaleByAdamState(count=jnp.zeros((), jnp.int32), mu=zeros() if beta1 else None, nu=zeros())


def adam_update(
    gradients: optax.Params,
    state: optax.ScaleByAdamState,
    params: optax.Params,
    *,
    lr: jax.typing.ArrayLike,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> tuple[optax.Params, optax.ScaleByAdamState]:
    """Takes one step: p - lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon).

    Args:
      gradients: pytree like `params`.
      state: from `adam_init` or from the step before.
      params: pytree.
      lr: learning rate (may be traced).
      beta1: decay of the first moment m.
      beta2: decay of the second moment v.
      epsilon: added to the square root of the uncorrected second moment.

    Returns:
      (params, state) after the step.

    Reference:
      Kingma and Ba 2015 (Adam), Section 2, the reordered form in which epsilon has a hat.
    """
    count = state.count + 1
    # With beta1 = 0 the first moment is the gradient itself. Not storing it saves memory, and traffic in each step.
    mu = optax.tree.update_moment(gradients, state.mu, beta1, 1) if beta1 else gradients
    nu = optax.tree.update_moment(gradients, state.nu, beta2, 2)
    scale = lr * jnp.sqrt(1 - beta2**count) / (1 - beta1**count)
    params = jax.tree.map(lambda p, m, v: (p - scale * m / (jnp.sqrt(v) + epsilon)).astype(p.dtype), params, mu, nu)
    return params, optax.ScaleByAdamState(count, mu if beta1 else None, nu)
