"""Perceptual path length: the perceptual distance of two images over a small step on a path between two latents."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks
from stylegan_jax.metrics.kind import MetricKind, Paths, Samples, Value

SPACES = 'z', 'w'
EPSILON = 1e-4  # Section 4.1
_LONGEST = 256  # VGG was made for 224x224


class PathLength(NamedTuple):
    """Mean distance over steps, without the extremes.

    Attributes:
      mean: of the distances that were kept, a float.
      standard_error: of that mean; NaN if one was kept.
      kept: number of distances that were kept, an int.
      bounds: the smallest and the largest that could be kept, floats.
    """

    mean: float
    standard_error: float
    kept: int
    bounds: tuple[float, float]


def path_length(distances: ArrayLike, *, percentiles: tuple[float, float] = (1, 99)) -> PathLength:
    """Averages `distances` without the extremes, as official StyleGAN does.

    Args:
      distances: [N] from the function `distances`.
      percentiles: distances below the first and above the second are left out. Each percentile is rounded outwards to
        the next sample, so that all of 100 samples or fewer are kept; (0, 100) keeps all in any case.

    Raises:
      UserError: the shape is another one, there are no samples, a number is not finite, or percentiles are out of
        order.

    Reference: Karras et al. 2019, Section 4.1.
    """
    distances = checks.vector(distances, 'distances along paths')
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise UserError('give two from 0 to 100, the smaller one first', field='percentiles', value=percentiles)
    bounds = np.percentile(distances, low, method='lower'), np.percentile(distances, high, method='higher')
    kept = distances[(bounds[0] <= distances) & (distances <= bounds[1])].astype(np.float64)
    error = kept.std(ddof=1) / np.sqrt(len(kept)) if len(kept) > 1 else np.nan
    return PathLength(float(kept.mean()), float(error), len(kept), tuple(map(float, bounds)))


def distances(
    z: jax.Array,
    t: jax.Array,
    *,
    space: str,
    map_latents: Callable[[jax.Array], jax.Array],
    synthesize: Callable[[jax.Array], jax.Array],
    perceptual: Callable[[jax.Array, jax.Array], jax.Array],
    epsilon: float = EPSILON,
    crop: bool = False,
) -> jax.Array:
    """Computes perceptual distances over steps of length `epsilon`, divided by its square; can be compiled.

    The two images of a step differ in their fourth digit, so everything should be float32 with exact products.

    Args:
      z: ends of paths, [2 n, Z]: even rows where paths start, odd rows where they end.
      t: places on the paths, [n]: uniform in 0..1 for 'full' paths, 0 for 'end', the paths' starting points.
      space: 'z' (equation 2: slerp between latents) or 'w' (equation 3: lerp between mapped latents).
      map_latents: z [2 n, Z] -> ws [2 n, ...].
      synthesize: ws [2 n, ...] -> images [2 n, H, W, C] in -1..1. Rows 2i and 2i + 1 are one step, whose two images
        should get the same noise; official StyleGAN has one for the whole batch.
      perceptual: two batches of images [n, H, W, C] in 0..255 (floats, not rounded) -> squared distances [n].
      epsilon: length of a step.
      crop: whether images are of aligned faces, of which official StyleGAN compares the face alone (`face`).

    Returns:
      [n].

    Raises:
      UserError: shapes do not fit, or there is no such space.

    Reference: Karras et al. 2019, Section 4.1, equations 2 and 3.
    """
    if space not in SPACES:
        raise UserError('choose ' + ', '.join(map(repr, SPACES)), field='space', value=repr(space))
    if jnp.ndim(z) != 2 or len(z) % 2 or jnp.shape(t) != (len(z) // 2,):
        raise UserError(f'z and t: shapes {jnp.shape(z)} and {jnp.shape(t)}', remedy='give [2 n, Z] and [n]')
    if space == 'w':
        ws = _steps(lerp, map_latents(z), t, epsilon)
    else:
        ws = map_latents(_steps(slerp, z, t, epsilon))
    images = synthesize(ws)
    images = at_most_256(face(images) if crop else images)
    images = (images + 1) * (255 / 2)
    return perceptual(images[0::2], images[1::2]) * (1 / epsilon**2)


def _steps(interpolate, ends, t, epsilon):
    """Returns the start and the end of a step on each path, in turn, [2 n, ...], from the ends of paths [2 n, ...]."""
    starts, stops = ends[0::2], ends[1::2]
    both = interpolate(starts, stops, t), interpolate(starts, stops, t + epsilon)
    return jnp.stack(both, axis=1).reshape(ends.shape)


def lerp(a: jax.Array, b: jax.Array, t: jax.Array) -> jax.Array:
    """Interpolates along lines: [n, ...], [n, ...], t [n] -> [n, ...]."""
    return a + (b - a) * _as_column(t, a)


def slerp(a: jax.Array, b: jax.Array, t: jax.Array) -> jax.Array:
    """Interpolates along great circles: [n, Z], [n, Z], t [n] -> vectors of length 1, [n, Z].

    Mapping networks normalise their input, so its length does not matter to them. Where a and b have the same
    direction, the result has it as well.

    Reference: Shoemake 1985.
    """
    a, b = _unit(a), _unit(b)
    cosine = jnp.sum(a * b, axis=-1, keepdims=True)
    angle = _as_column(t, a) * jnp.arccos(jnp.clip(cosine, -1, 1))
    across = _unit(b - cosine * a)  # the part of b that is orthogonal to a
    return _unit(a * jnp.cos(angle) + across * jnp.sin(angle))


def face(images: jax.Array) -> jax.Array:
    """Crops [N, H, W, C] to the rows from 3/8 to 7/8 and the columns from 2/8 to 6/8: the face in aligned pictures.

    Official StyleGAN has square images; of others the same shares of each side are taken.
    """
    height, width = images.shape[1] // 8, images.shape[2] // 8
    if not height or not width:
        raise UserError(
            f'images of {images.shape[1]}x{images.shape[2]}: too small to crop a face', remedy='at least 8x8'
        )
    return images[:, 3 * height : 7 * height, 2 * width : 6 * width]


def at_most_256(images: jax.Array) -> jax.Array:
    """Averages boxes of pixels of images [N, H, W, C] where a side is 512 or more.

    The side of a box is the integer part of the longer side over 256, as in official StyleGAN for square images, so
    that an oblong image has the scale of the square that it fits into. Where that does not divide both sides (which
    are then no power of two times 4x4), the next smaller number that does is taken.
    """
    count, height, width, channels = images.shape
    box = max(1, max(height, width) // _LONGEST)
    while height % box or width % box:
        box -= 1
    if box == 1:
        return images
    boxes = images.reshape(count, height // box, box, width // box, box, channels)
    return boxes.mean(axis=(2, 4))


def _as_column(t, like):
    return t.reshape((-1,) + (1,) * (like.ndim - 1))


def _unit(vectors):
    """Vectors of length 1 in the directions of these [..., Z]; 0 stays 0."""
    lengths = jnp.sqrt(jnp.sum(jnp.square(vectors), axis=-1, keepdims=True))
    return vectors / jnp.where(lengths > 0, lengths, 1)


def _compute(samples: Samples):
    length = path_length(samples.fakes['distances'][:, 0])
    # Steps are neither in another precision nor truncated, whatever other metrics are asked for with them.
    about = {'kept': length.kept, 'precision': 'float32', 'psi': 1.0}
    return [Value(length.mean, length.standard_error, about)]


# Section 4.1: in each space, steps anywhere on 'full' paths, or at the 'end' points of paths alone.
PPL = tuple(
    MetricKind(
        name=f'ppl_{space}{where}',
        published=(f'ppl_{space}{where}',),
        count=100_000,
        compute=_compute,
        network='lpips',
        keeps=(('distances', 'rows'),),
        source=Paths(space, ends=where == 'end'),
        unit='steps',
    )
    for where in ('full', 'end')
    for space in SPACES
)
