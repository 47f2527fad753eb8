"""Improved precision and recall: how much of one set of features lies within the manifold of the other.

The manifold of a set is the union of balls around its samples, each as large as the distance to the k-th nearest other
sample. Distances are squared all the way, in float32 with exact products, and computed block by block on all local
devices: the features are there as a whole, the matrix of distances never is.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks

_AXIS = 'device'
_CUT, _WHOLE = PartitionSpec(_AXIS), PartitionSpec()
_BLOCK = 4096  # rows (of each device) and columns at a time: 64 MiB of distances
# |a|^2 + |b|^2 - 2ab of a sample with itself is not 0 but for rounding, which is below this share of |a|^2 + |b|^2.
_ROUNDING = 16 * np.finfo(np.float32).eps


class PrecisionRecall(NamedTuple):
    """Share of generated samples in the manifold of the real ones, and the other way round; floats."""

    precision: float
    recall: float


def precision_recall(reals, fakes, *, k=3, block=_BLOCK, devices=None):
    """Computes both.

    Args:
      reals: features [N, D]; official StyleGAN2 takes VGG-16's second fully connected layer, D = 4096.
      fakes: features [M, D].
      k: which neighbour says how large a ball is; the sample itself is none.
      block: rows of each device, and columns, at a time.
      devices: of this process; None for all.

    Raises:
      UserError: shapes do not fit, a number is not finite, or a set has no k-th neighbours.

    Reference: Kynkäänniemi et al. 2019, equations 1 and 2.
    """
    reals = checks.matrix(reals, 'real features', at_least=k + 1)
    fakes = checks.matrix(fakes, 'generated features', at_least=k + 1)
    checks.same_columns(reals, fakes, 'real and generated features')
    # Distances stay the same, and what they are differences of becomes small.
    centre = reals.mean(axis=0, dtype=np.float64)
    reals, fakes = ((features - centre.astype(np.float32)).astype(np.float32) for features in (reals, fakes))
    options = {'block': block, 'devices': devices}
    precision = inside(fakes, reals, squared_radii(reals, k=k, **options), **options).mean()
    recall = inside(reals, fakes, squared_radii(fakes, k=k, **options), **options).mean()
    return PrecisionRecall(float(precision), float(recall))


def squared_radii(features, *, k=3, block=_BLOCK, devices=None):
    """Returns the squared distance [N] of each of the features [N, D] to its k-th nearest other one.

    Raises:
      UserError: k < 1, another shape, or numbers that are not finite, or whose squares are not in float32.
    """
    if k < 1:
        raise UserError(f'k={k}: give at least 1')
    features = checks.matrix(features, 'features', at_least=k + 1)
    mesh = _mesh(devices)
    count, update = len(features), _nearest(mesh, k)
    columns = list(_columns(features, block, mesh))
    radii = []
    for numbers, rows in _rows(features, block, mesh):
        nearest = jax.device_put(np.full((len(numbers), k), np.inf, np.float32), rows.sharding)
        for start, column in columns:
            nearest = update(nearest, numbers, rows, column, start, count)
        radii.append(nearest[:, -1])
    radii = np.concatenate([np.asarray(part) for part in radii])[:count]
    if not np.isfinite(radii).all():
        raise UserError(f'features: numbers up to {np.max(np.abs(features)):.3g}, whose squares float32 does not hold')
    return radii


def inside(points, centres, radii, *, block=_BLOCK, devices=None):
    """Says which points lie in at least one ball.

    Args:
      points: [M, D].
      centres: of the balls, [N, D].
      radii: squared, [N].
      block, devices: as in `precision_recall`.

    Returns:
      bool [M].
    """
    mesh = _mesh(devices)
    update = _inside(mesh)
    # Balls that fill up the last block have nothing in them.
    columns = [
        (column, jax.device_put(_filled(radii[start : start + len(column)], len(column), -1), column.sharding))
        for start, column in _columns(centres, block, mesh)
    ]
    found = []
    for _, rows in _rows(points, block, mesh):
        found_here = jax.device_put(np.zeros(len(rows), bool), rows.sharding)
        for column, radius in columns:
            found_here = update(found_here, rows, column, radius)
        found.append(found_here)
    return np.concatenate([np.asarray(part) for part in found])[: len(points)]


def _squared_distances(rows, columns):
    """[R, D] and [C, D] -> [R, C]; samples that rounding alone tells apart are at 0."""
    squares = jnp.sum(jnp.square(rows), axis=1)[:, None] + jnp.sum(jnp.square(columns), axis=1)
    products = jnp.matmul(rows, columns.T, precision=jax.lax.Precision.HIGHEST)
    distances = squares - 2 * products
    return jnp.where(distances <= _ROUNDING * squares, 0, distances)


@functools.cache
def _nearest(mesh, k):
    """The compiled function that merges a block of columns into the k smallest squared distances [R, k], in order."""

    def update(nearest, numbers, rows, columns, start, count):
        """`numbers` [R] are the places of the rows among all, `start` is that of the first column of `count`."""
        distances = _squared_distances(rows, columns)
        places = start + jnp.arange(len(columns))
        others = (places < count) & (places != numbers[:, None])
        distances = jnp.where(others, distances, jnp.inf)
        here = jax.lax.top_k(-distances, min(k, len(columns)))[0]
        return -jax.lax.top_k(jnp.concatenate([-nearest, here], axis=1), k)[0]

    return _compiled(update, mesh, cut=3, whole=3)


@functools.cache
def _inside(mesh):
    """The compiled function that adds to what was found [R] in balls what is in those of a block of columns."""

    def update(found, rows, columns, radii):
        return found | jnp.any(_squared_distances(rows, columns) <= radii, axis=1)

    return _compiled(update, mesh, cut=2, whole=2)


def _compiled(function, mesh, *, cut, whole):
    """Each device gets its part of the first `cut` arguments, and all of the `whole` others."""
    return jax.jit(
        jax.shard_map(function, mesh=mesh, in_specs=(_CUT,) * cut + (_WHOLE,) * whole, out_specs=_CUT, check_vma=False)
    )


def _mesh(devices):
    return Mesh(np.array(devices or jax.local_devices()), (_AXIS,))


def _rows(features, block, mesh):
    """Yields (places [R], features [R, D]) in even parts of the devices, filled up with zeros."""
    size = min(block, -(-len(features) // mesh.size)) * mesh.size
    cut = NamedSharding(mesh, _CUT)
    for start in range(0, len(features), size):
        numbers = np.arange(start, start + size, dtype=np.int32)
        yield jax.device_put((numbers, _filled(features[start : start + size], size, 0)), cut)


def _columns(features, block, mesh):
    """Yields (place of the first, features [C, D]) on every device, filled up with zeros."""
    size = min(block, len(features))
    for start in range(0, len(features), size):
        yield start, jax.device_put(_filled(features[start : start + size], size, 0), NamedSharding(mesh, _WHOLE))


def _filled(values, size, value):
    """float32 [n, ...] -> [size, ...]."""
    widths = [(0, size - len(values))] + [(0, 0)] * (np.ndim(values) - 1)
    return np.pad(np.asarray(values, np.float32), widths, constant_values=value)
