"""Adam in TensorFlow's form, which is not optax's: epsilon stands outside the bias correction.

With beta1 = 0 and a small epsilon that difference alone moves a few percent of the weights visibly.
"""

import jax
import jax.numpy as jnp
import optax


def adam_init(params, beta1):
    """Returns the state before the first step, as optax keeps it (count, mu, nu); without mu where beta1 is 0."""

    def zeros():
        return jax.tree.map(jnp.zeros_like, params)

    return optax.ScaleByAdamState(count=jnp.zeros((), jnp.int32), mu=zeros() if beta1 else None, nu=zeros())


def adam_update(gradients, state, params, *, lr, beta1, beta2, epsilon):
    """Takes one step: p - lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon).

    Args:
      gradients: pytree like `params`.
      state: from `adam_init` or the step before.
      params: pytree.
      lr: learning rate (may be traced).
      beta1, beta2, epsilon: Kingma and Ba 2015, Section 2 (the form before Algorithm 1's reordering).

    Returns:
      (params, state).
    """
    count = state.count + 1
    # Without momentum the first moment is the gradient: a quarter of the state less to keep, and nothing to write.
    mu = optax.tree.update_moment(gradients, state.mu, beta1, 1) if beta1 else gradients
    nu = optax.tree.update_moment(gradients, state.nu, beta2, 2)
    scale = lr * jnp.sqrt(1 - beta2**count) / (1 - beta1**count)
    params = jax.tree.map(lambda p, m, v: (p - scale * m / (jnp.sqrt(v) + epsilon)).astype(p.dtype), params, mu, nu)
    return params, optax.ScaleByAdamState(count, mu if beta1 else None, nu)
