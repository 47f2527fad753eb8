"""Improved precision and recall: the share of one set of features that lies within the manifold of the other.

The manifold of a set is the union of balls around its samples; the radius of each is the distance to the k-th nearest
other sample. All distances are squared, in float32 with exact products, and computed in blocks on all local devices:
host memory holds all features, and the matrix of distances never exists as a whole.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks
from stylegan_jax.metrics.kind import MetricKind, Samples, Value

_AXIS = 'device'
_CUT, _WHOLE = PartitionSpec(_AXIS), PartitionSpec()
_BLOCK = 4096  # rows (of each device) and columns of a block, whose distances take 64 MiB
_NEIGHBOURS = 3  # Section 3.1 of the paper
# |a|^2 + |b|^2 - 2ab of a sample with itself is 0 up to rounding, which is below this share of |a|^2 + |b|^2.
_ROUNDING = 16 * np.finfo(np.float32).eps


class PrecisionRecall(NamedTuple):
    """Share of generated samples in the manifold of the real ones, and the other way round; floats."""

    precision: float
    recall: float


def precision_recall(
    reals: ArrayLike,
    fakes: ArrayLike,
    *,
    k: int = _NEIGHBOURS,
    block: int = _BLOCK,
    devices: Sequence[jax.Device] | None = None,
) -> PrecisionRecall:
    """Computes precision and recall of generated images by their features.

    Args:
      reals: features [N, D]; official StyleGAN2 takes VGG-16's second fully connected layer, D = 4096.
      fakes: features [M, D].
      k: the radius of a ball is the distance to the k-th nearest neighbour; the sample itself does not count.
      block: number of rows of each device, and of columns, in a block of distances.
      devices: of this process; None for all.

    Raises:
      UserError: shapes do not fit, a number is not finite, or a set has no k-th neighbours.

    Reference: Kynkäänniemi et al. 2019, equations 1 and 2.
    """
    reals = checks.matrix(reals, 'real features', at_least=k + 1)
    fakes = checks.matrix(fakes, 'generated features', at_least=k + 1)
    checks.same_columns(reals, fakes, 'real and generated features')
    # A common shift changes no distance, but makes the squares small that they are differences of.
    centre = reals.mean(axis=0, dtype=np.float64)
    reals, fakes = ((features - centre.astype(np.float32)).astype(np.float32) for features in (reals, fakes))
    options = {'block': block, 'devices': devices}
    precision = inside(fakes, reals, squared_radii(reals, k=k, **options), **options).mean()
    recall = inside(reals, fakes, squared_radii(fakes, k=k, **options), **options).mean()
    return PrecisionRecall(float(precision), float(recall))


def squared_radii(
    features: ArrayLike, *, k: int = _NEIGHBOURS, block: int = _BLOCK, devices: Sequence[jax.Device] | None = None
) -> np.ndarray:
    """Returns the squared distance [N] of each of the features [N, D] to its k-th nearest other one.

    Raises:
      UserError: k < 1, the shape is another one, or a number is not finite or its square too large for float32.
    """
    if k < 1:
        raise UserError('give at least 1', field='k', value=k)
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


def inside(
    points: np.ndarray,
    centres: np.ndarray,
    radii: np.ndarray,
    *,
    block: int = _BLOCK,
    devices: Sequence[jax.Device] | None = None,
) -> np.ndarray:
    """Finds the points that lie in at least one ball.

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
    # Padding of the last block gets a negative squared radius, so that no point is in it.
    columns = [
        (column, jax.device_put(_padded(radii[start : start + len(column)], len(column), -1), column.sharding))
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
    """Returns [R, C] for [R, D] and [C, D]; samples that differ by rounding alone have the distance 0."""
    squares = jnp.sum(jnp.square(rows), axis=1)[:, None] + jnp.sum(jnp.square(columns), axis=1)
    products = jnp.matmul(rows, columns.T, precision=jax.lax.Precision.HIGHEST)
    distances = squares - 2 * products
    return jnp.where(distances <= _ROUNDING * squares, 0, distances)


@functools.cache
def _nearest(mesh, k):
    """Compiles the function that merges a block of columns into the k smallest squared distances [R, k], sorted."""

    def update(nearest, numbers, rows, columns, start, count):
        """`numbers` [R] are the indices of the rows among all, `start` is that of the first column of `count`."""
        distances = _squared_distances(rows, columns)
        indices = start + jnp.arange(len(columns))
        others = (indices < count) & (indices != numbers[:, None])  # neither padding nor the sample itself
        distances = jnp.where(others, distances, jnp.inf)
        # The k smallest are the k largest of the negative ones.
        here = jax.lax.top_k(-distances, min(k, len(columns)))[0]
        return -jax.lax.top_k(jnp.concatenate([-nearest, here], axis=1), k)[0]

    return _compiled(update, mesh, cut=3, whole=3)


@functools.cache
def _inside(mesh):
    """Compiles the function that adds the points in balls of a block of columns to those that were found [R]."""

    def update(found, rows, columns, radii):
        return found | jnp.any(_squared_distances(rows, columns) <= radii, axis=1)

    return _compiled(update, mesh, cut=2, whole=2)


def _compiled(function, mesh, *, cut, whole):
    """Compiles a function of which each device gets its part of the first `cut` arguments, and the `whole` others."""
    return jax.jit(
        jax.shard_map(function, mesh=mesh, in_specs=(_CUT,) * cut + (_WHOLE,) * whole, out_specs=_CUT, check_vma=False)
    )


def _mesh(devices):
    return Mesh(np.array(devices or jax.local_devices()), (_AXIS,))


def _rows(features, block, mesh):
    """Yields (indices [R], features [R, D]), divided evenly between the devices and padded with zeros."""
    size = min(block, -(-len(features) // mesh.size)) * mesh.size
    cut = NamedSharding(mesh, _CUT)
    for start in range(0, len(features), size):
        numbers = np.arange(start, start + size, dtype=np.int32)
        yield jax.device_put((numbers, _padded(features[start : start + size], size, 0)), cut)


def _columns(features, block, mesh):
    """Yields (index of the first, features [C, D]), all on every device and padded with zeros."""
    size = min(block, len(features))
    for start in range(0, len(features), size):
        yield start, jax.device_put(_padded(features[start : start + size], size, 0), NamedSharding(mesh, _WHOLE))


def _padded(values, size, value):
    """Pads [n, ...] with a value to float32 [size, ...]."""
    widths = [(0, size - len(values))] + [(0, 0)] * (np.ndim(values) - 1)
    return np.pad(np.asarray(values, np.float32), widths, constant_values=value)


def _compute(samples: Samples):
    found = precision_recall(samples.reals['features'], samples.fakes['features'], devices=samples.devices)
    return [Value(value, about={'neighbours': _NEIGHBOURS}) for value in found]


PR = MetricKind(
    name='pr',
    published=('pr50k3',),
    count=50_000,
    compute=_compute,
    network='vgg',
    keeps=(('features', 'rows'),),
    with_reals=True,
    suffix='(?:(?<=k)3)?',  # the number of neighbours, which follows a number of thousands alone: not that of pr23
    fewest=_NEIGHBOURS + 1,  # the neighbours and the image itself
    results=('_precision', '_recall'),
    larger_is_better=True,
)
