"""Closed paths through latent space that pass given points at even times."""

import numpy as np
from scipy.interpolate import CubicSpline

from stylegan_jax.errors import UserError

KINDS = 'slerp', 'spline', 'linear'


def path(points, count, kind):
    """Returns places along a path that goes through points and back to the first one.

    Args:
      points: [P, ...]; a single one stays where it is.
      count: how many places; the first is the first point, and the one after the last would be that again.
      kind: 'slerp' (along great circles, for Gaussian latents), 'spline' (without corners) or 'linear'.

    Returns:
      [count, ...].

    Raises:
      UserError: there are fewer places than points.
    """
    points = np.asarray(points)
    if count < len(points):
        raise UserError(f'{count} frames are too few to pass {len(points)} points; ask for more frames or fewer seeds')
    if len(points) == 1:
        return np.repeat(points, count, axis=0)
    times = np.arange(count) * len(points) / count
    closed = np.concatenate([points, points[:1]])
    if kind == 'spline':
        return CubicSpline(np.arange(len(closed)), closed, bc_type='periodic')(times).astype(points.dtype)
    number = np.minimum(times.astype(int), len(points) - 1)
    between = {'slerp': slerp, 'linear': lerp}[kind]
    places = [between(closed[n], closed[n + 1], time - n) for n, time in zip(number, times)]
    return np.stack(places).astype(points.dtype)


def lerp(a, b, t):
    """Returns the place at t in [0, 1] on the line from a to b."""
    return a + (b - a) * t


def slerp(a, b, t):
    """Returns the place at t in [0, 1] on the great circle from a to b [Z], with lengths between theirs.

    Straight lines between Gaussian latents would pass shorter ones than are ever drawn.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / (norm_a * norm_b), -1, 1))
    if np.sin(angle) < 1e-6:  # (nearly) one direction: the circle is a line
        return lerp(a, b, t)
    direction = (np.sin((1 - t) * angle) * a / norm_a + np.sin(t * angle) * b / norm_b) / np.sin(angle)
    return direction * lerp(norm_a, norm_b, t)


def there_and_back(first, last, count):
    """Returns [count] values from first to last and back, slow at both ends."""
    return first + (last - first) * (1 - np.cos(2 * np.pi * np.arange(count) / count)) / 2
