"""The low-pass filter along rows as part of the convolution in blocks that halves the size (and of its adjoint).

A convolution of blocks (`row_packing`) reads three blocks of each row, most of whose weights are zero. A 4x4 kernel
after a filter of three taps along rows is one kernel of 4x6, which has room in the same three blocks. So the filter
along rows costs nothing there, where it would take a pass over all features by itself.

At the edges the two differ. The filtered image ends with the image: a kernel that reads beyond it reads zeros. The one
kernel reads what the filter makes there of the last pixels. The functions below therefore subtract what comes from
those two columns: a product of small matrices, and an update of the first and of the last columns.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

# Letters of the products of edges: e edges, n images, h rows of the smaller image, a rows of the kernel, i features of
# the larger image, o features of the smaller one.


def kernel_with_blur(kernel: jax.Array, taps: Sequence[float]) -> jax.Array:
    """Returns the kernel that filters along rows before `kernel` does its work.

    Args:
      kernel: [O, 4, 4, I].
      taps: L weights, an odd number, which are scaled to sum 1.

    Returns:
      [O, 4, 3 + L, I].
    """
    last = len(taps) - 1
    return sum(
        jnp.pad(kernel, ((0, 0), (0, 0), (place, last - place), (0, 0))) * tap
        for place, tap in enumerate(_scaled(taps))
    )


def kernel_with_blur_adjoint(kernel: jax.Array, taps: Sequence[float]) -> jax.Array:
    """Computes the adjoint of `kernel_with_blur`: [O, 4, 3 + L, I] -> [O, 4, 4, I]."""
    return sum(kernel[:, :, place : place + 4] * tap for place, tap in enumerate(_scaled(taps)))


def subtract_from_small(y: jax.Array, x: jax.Array, kernel: jax.Array, taps: Sequence[float]) -> jax.Array:
    """Subtracts what the convolution with `kernel_with_blur` reads beyond the edges.

    Args:
      y: its result, [N, h, w, O].
      x: images [N, 2 * h, 2 * w, I].
      kernel: [O, 4, 4, I].
      taps: see `kernel_with_blur`.

    Returns:
      [N, h, w, O].
    """
    excess = jnp.einsum('enhai,eoai->enho', _beyond(*_edges(x, taps), taps), _outer(kernel))
    return _subtract(y, *excess[:, :, :, None])


def subtract_from_large(x: jax.Array, y: jax.Array, kernel: jax.Array, taps: Sequence[float]) -> jax.Array:
    """Does for the adjoint in the images what `subtract_from_small` does, of whose correction it is the adjoint.

    Args:
      x: the adjoint's result, [N, 2 * h, 2 * w, I].
      y: [N, h, w, O].
      kernel: [O, 4, 4, I].
      taps: see `kernel_with_blur`.

    Returns:
      [N, 2 * h, 2 * w, I].
    """
    excess = jnp.einsum('enho,eoai->enhai', _outer_columns(y), _outer(kernel))
    edges = _edges(x, taps)
    excess = jax.linear_transpose(lambda *edges: _beyond(*edges, taps), *edges)(excess)
    return _subtract(x, *excess)


def subtract_from_kernel(dkernel: jax.Array, x: jax.Array, y: jax.Array, taps: Sequence[float]) -> jax.Array:
    """Does the same for the adjoint in the kernel.

    Args:
      dkernel: [O, 4, 4, I].
      x: [N, 2 * h, 2 * w, I].
      y: [N, h, w, O].
      taps: see `kernel_with_blur`.

    Returns:
      [O, 4, 4, I].
    """
    excess = jnp.einsum(
        'enhai,enho->eoai',
        _beyond(*_edges(x, taps), taps),
        _outer_columns(y),
        preferred_element_type=dkernel.dtype,
    )
    return dkernel.at[:, :, 0].add(-excess[0]).at[:, :, 3].add(-excess[1])


def _scaled(taps):
    return [tap / sum(taps) for tap in taps]


def _edges(x, taps):
    """Returns the columns that a filter just beyond the left and the right edge reads: 2 of [N, H, L // 2, C].

    The barrier has them read from the stored images. XLA would compute them again, and store masks of full size for it.
    """
    half, x = len(taps) // 2, jax.lax.optimization_barrier(x)
    return x[:, :, :half], x[:, :, -half:]


def _beyond(left, right, taps):
    """Returns what each row of the smaller image reads of the filtered column beyond each edge: [2, N, h, 4, I]."""
    taps, half = _scaled(taps), len(taps) // 2
    left, right = (
        sum(edge[:, :, place] * tap for place, tap in enumerate(there))
        for edge, there in ((left, taps[half + 1 :]), (right, taps[:half]))
    )
    columns = jnp.pad(jnp.stack([left, right]), ((0, 0), (0, 0), (1, 1), (0, 0)))
    _, batch, rows, features = columns.shape
    # A row of the smaller image reads four of these, which are two pairs.
    pairs = columns.reshape(2, batch, rows // 2, 2, features)
    return jnp.concatenate([pairs[:, :, :-1], pairs[:, :, 1:]], axis=3)


def _outer(kernel):
    """Returns the weights that meet the column beyond each edge: [O, 4, 4, I] -> [2, O, 4, I]."""
    return jnp.stack([kernel[:, :, 0], kernel[:, :, 3]])


def _outer_columns(y):
    """Returns the first and the last column: [N, h, w, O] -> [2, N, h, O]."""
    return jnp.stack([y[:, :, 0], y[:, :, -1]])


def _subtract(x, left, right):
    """Subtracts from the first columns and from the last ones: [N, H, W, C] with 2 of [N, H, columns, C].

    The new columns are there before they are written (hence the barrier), so that kernels write them and nothing else.
    """
    columns, width = left.shape[2], x.shape[2]
    left, right = jax.lax.optimization_barrier(
        (x[:, :, :columns] - left.astype(x.dtype), x[:, :, width - columns :] - right.astype(x.dtype))
    )
    x = jax.lax.dynamic_update_slice_in_dim(x, left, 0, axis=2)
    return jax.lax.dynamic_update_slice_in_dim(x, right, width - columns, axis=2)
