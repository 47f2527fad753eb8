"""Labels in the forms that users give them."""

# Annotations stay text: building those with shapes takes time at each start, and only tests need them built.
from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Integer, Real

from stylegan_jax.errors import UserError
from stylegan_jax.networks.ops import AnyArray

# Vectors [N, K] or class indices [N], as arrays or as lists.
Labels = Real[AnyArray, 'N K'] | Integer[AnyArray, ' N'] | Sequence[int] | Sequence[Sequence[float]]


def as_label(label: Labels | None, batch: int, label_dim: int, dtype: jax.typing.DTypeLike = jnp.float32) -> jax.Array:
    """Converts labels to vectors [N, K].

    Args:
      label: vectors [N, K] (one-hot, or whatever the network was trained with), class indices [N], or None for zeros.
      batch: N.
      label_dim: K; 0 for an unconditional network, which takes None only.
      dtype: of the result.

    Returns:
      [N, K].

    Raises:
      UserError: the shape does not fit, or a class index is out of range.
    """
    if label is None:
        return jnp.zeros((batch, label_dim), dtype)
    label = jnp.asarray(label)
    if label.shape == (batch, label_dim):
        return label.astype(dtype)
    if not label_dim:
        raise UserError(f'a label of shape {label.shape} was given to a network without labels; leave it out')
    if label.shape != (batch,) or not jnp.issubdtype(label.dtype, jnp.integer):
        raise UserError(
            f'label has shape {label.shape} and type {label.dtype}; give vectors [{batch}, {label_dim}] '
            f'or class indices (integers) [{batch}]'
        )
    # Inside a traced function the values are not known, and `one_hot` makes zeros of a class that does not exist.
    if not isinstance(label, jax.core.Tracer) and batch:
        wrong = np.asarray(label)[(np.asarray(label) < 0) | (np.asarray(label) >= label_dim)]
        if wrong.size:
            raise UserError(f'class {wrong[0]} does not exist; this network has classes 0 to {label_dim - 1}')
    return jax.nn.one_hot(label, label_dim, dtype=dtype)
