"""Texture sticking: the share of fine detail that stays on the pixels while the picture moves.

Along a path in W the low frequencies of two pictures show a motion. Fine detail of the later picture is then explained
by that of the earlier one, once as it was (it stayed on the screen) and once carried along by the motion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from stylegan_jax.errors import UserError
from stylegan_jax.metrics import checks, motion
from stylegan_jax.metrics.kind import MetricKind, Samples, Value, Walks

# Parts of a path between its start and the later pictures. Half a path moves small pictures by a pixel; in large ones a
# sixteenth does, and of half a path no motion would be found.
LAGS = 1 / 16, 1 / 8, 1 / 4, 1 / 2
_DETAIL, _SHAPES = 0.6, 2.0  # standard deviations [pixels] of the filters between which detail is
_LEAST_MOTION = 1.0  # [pixels]; detail that moves by less is nearly where it was in either case
_MOST_UNEXPLAINED = 0.25  # of the mean square by which low frequencies changed, in a window
_BORDER = 3  # [pixels]; filters see the border there
_WINDOW = 3.0  # its standard deviation [pixels]
_FAINT = (4 / 255) ** 2  # mean square of detail that hardly counts: two grey levels of 256
_COLUMNS = 6  # of moments


class Sticking(NamedTuple):
    """How much of the detail stays.

    Attributes:
      share: 0 for detail that moves with what it is on, 1 for detail that stays on the pixels.
      standard_error: of the share.
      stays, moves: the two coefficients, of the detail as it was and of the detail that was carried along. Their sum is
        1 where nothing else happened.
      counted: share of the pixels that took part.
    """

    share: float
    standard_error: float
    stays: float
    moves: float
    counted: float


def moments(before: jax.Array, after: jax.Array) -> jax.Array:
    """Computes everything that the share needs of pairs of pictures; can be compiled.

    Args:
      before: [N, H, W, C] in -1..1.
      after: the same, a moment later.

    Returns:
      [N, 6], means over pixels: of s s, m m, s m, s d and m d, where d is the detail of the later picture, s the detail
      of the earlier one in its place, and m the same carried along; and the share of pixels that counted.
    """
    (stays, low_before), (detail, low_after) = _split(before), _split(after)
    flow = motion.estimated(low_before, low_after)
    moves = motion.moved(stays, flow)
    unexplained = _power(motion.moved(low_before, flow) - low_after)
    is_explained = unexplained <= _MOST_UNEXPLAINED * _power(low_before - low_after)
    counts = is_explained & (jnp.sum(jnp.square(flow), axis=-1) >= _LEAST_MOTION**2) & _from_inside(flow)
    # Faint textures count as much as contours, of which there are few.
    weights = counts / (_power(stays) + _power(detail) + _FAINT)
    pairs = (stays, stays), (moves, moves), (stays, moves), (stays, detail), (moves, detail)
    sums = [jnp.mean(weights * jnp.sum(one * other, axis=-1), axis=(1, 2)) for one, other in pairs]
    return jnp.stack([*sums, jnp.mean(counts.astype(before.dtype), axis=(1, 2))], axis=-1)


def _split(images):
    """Returns (detail, low frequencies). Detail has no frequencies that interpolation would lose."""
    low = motion.blur(images, _SHAPES)
    high = images - low
    # Once more, because a single filter leaves something of smooth shapes, which are stronger than textures.
    return motion.blur(high - motion.blur(high, _SHAPES), _DETAIL), low


def _from_inside(flow):
    """Says which pixels [N, H, W] have content that was not near the border, and are not near it themselves."""
    height, width = flow.shape[1:3]
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)

    def inside(place, size):
        return (place >= _BORDER) & (place <= size - 1 - _BORDER)

    is_inside = inside(rows, height) & inside(columns, width)
    return is_inside & inside(rows - flow[..., 0], height) & inside(columns - flow[..., 1], width)


def _power(images):
    """Returns the mean square in a window around each pixel, [N, H, W]."""
    return motion.blur(jnp.sum(jnp.square(images), axis=-1, keepdims=True), _WINDOW)[..., 0]


def moments_of_walks(
    starts: jax.Array,
    stops: jax.Array,
    *,
    interpolate: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    synthesize: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """Computes the `moments` of walks, each from its start to the places in `LAGS`.

    Args:
      starts: latents [N, ...].
      stops: latents [N, ...].
      interpolate: takes starts, stops and t [N].
      synthesize: latents [N, ...] -> images [N, H, W, C] in -1..1, those of a walk with the same noise.

    Returns:
      [N, 6], means over the places.
    """

    def at(place):
        return synthesize(interpolate(starts, stops, jnp.full(len(starts), place, starts.dtype)))

    # Loops compile the network and the motion once.
    images = jax.lax.map(at, jnp.asarray((0, *LAGS), starts.dtype))
    return jnp.mean(jax.lax.map(lambda later: moments(images[0], later), images[1:]), axis=0)


def sticking(samples: ArrayLike) -> Sticking:
    """Computes the share of detail that stays.

    With d = stays * s + moves * m, the coefficients solve the least squares over all pixels that count; negative ones
    count as 0. That s and m resemble each other where the motion is small is thus taken into account.

    Args:
      samples: [N, 6] from `moments`.

    Raises:
      UserError: the shape is another one, a number is not finite, there are fewer than two, or no motion was found.
    """
    samples = checks.matrix(samples, 'moments of walks', at_least=2, columns=_COLUMNS).astype(np.float64)
    total = samples.sum(axis=0)
    stays, moves = _coefficients(total)
    if stays + moves <= 0:
        raise UserError(
            f'in {len(samples)} walks nothing was seen to move by a pixel or more, so that it is not known what stays',
            remedy='ask for more walks, or for a network that has been trained for longer',
        )
    # The jackknife: how far the share moves as each walk is left out.
    without = np.array([_share(*_coefficients(total - sample)) for sample in samples])
    error = np.sqrt((len(samples) - 1) * np.mean(np.square(without - without.mean())))
    return Sticking(_share(stays, moves), float(error), stays, moves, float(samples[:, -1].mean()))


def _coefficients(sums):
    ss, mm, sm, sd, md = sums[:5]
    determinant = ss * mm - sm * sm
    if determinant <= 1e-9 * ss * mm:
        return 0.0, 0.0
    return max(0.0, (sd * mm - md * sm) / determinant), max(0.0, (md * ss - sd * sm) / determinant)


def _share(stays, moves):
    return float(stays / (stays + moves)) if stays + moves > 0 else np.nan


def _compute(samples: Samples):
    found = sticking(samples.fakes['moments'])
    about = {
        'stays': found.stays,
        'moves': found.moves,
        'counted': found.counted,
        'precision': 'float32',
        'psi': 1.0,
    }
    return [Value(found.share, found.standard_error, about)]


STICKING = MetricKind(
    name='sticking',
    published=('sticking',),
    count=1000,
    compute=_compute,
    network=None,
    keeps=(('moments', 'rows'),),
    source=Walks(),
    unit='walks',
)
