"""Closed paths through latent space that pass given points at even times."""

import numpy as np
from scipy.interpolate import CubicSpline

from stylegan_jax.errors import UserError

KINDS = 'slerp', 'spline', 'linear'


def path(points: np.ndarray, count: int, kind: str) -> np.ndarray:
    """Returns places along a closed path through points.

    Args:
      points: [P, ...]; a single point is repeated.
      count: how many places. The first place is the first point, and the one after the last would be that point again.
      kind: 'slerp' (along great circles, for Gaussian latents), 'spline' (cubic) or 'linear'.

    Returns:
      [count, ...].

    Raises:
      UserError: there are fewer places than points.
    """
    points = np.asarray(points)
    if count < len(points):
        raise UserError(
            f'{count} frames are too few to pass {len(points)} points', remedy='ask for more frames or fewer seeds'
        )
    if len(points) == 1:
        return np.repeat(points, count, axis=0)
    times = np.arange(count) * len(points) / count
    if kind == 'spline':
        return on_spline(points, times)
    closed = np.concatenate([points, points[:1]])
    number = np.minimum(times.astype(int), len(points) - 1)  # of the piece that each time is in
    between = {'slerp': slerp, 'linear': lerp}[kind]
    places = [between(closed[n], closed[n + 1], time - n) for n, time in zip(number, times)]
    return np.stack(places).astype(points.dtype)


def on_spline(points: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Returns places on the closed cubic spline that passes point n at the time n.

    Args:
      points: [P, ...].
      times: [T]; one period is P.

    Returns:
      [T, ...].
    """
    if len(points) == 1:
        return np.repeat(points, len(times), axis=0)
    closed = np.concatenate([points, points[:1]])
    return CubicSpline(np.arange(len(closed)), closed, bc_type='periodic')(times).astype(points.dtype)


def lerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Returns the place at t in [0, 1] on the line from a to b."""
    return a + (b - a) * t


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Returns the place at t in [0, 1] on the great circle from a to b [Z], with lengths between theirs.

    Gaussian latents of many dimensions all have about the same length. A straight line between two of them would pass
    latents that are much shorter than any that the network was trained on.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / (norm_a * norm_b), -1, 1))
    if np.sin(angle) < 1e-6:  # (nearly) one direction or opposite ones: no great circle is defined
        return lerp(a, b, t)
    direction = (np.sin((1 - t) * angle) * a / norm_a + np.sin(t * angle) * b / norm_b) / np.sin(angle)
    return direction * lerp(norm_a, norm_b, t)


def there_and_back(first: float, last: float, count: int) -> np.ndarray:
    """Returns [count] values from first to last and back, slow at both ends."""
    return first + (last - first) * (1 - np.cos(2 * np.pi * np.arange(count) / count)) / 2
