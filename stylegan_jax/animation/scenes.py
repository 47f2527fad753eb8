"""What moves: an iterable of frames for each kind of animation, made from a `sampling.painter.Painter`.

Every frame is a pure function of the settings and of its number, and every scene ends where it began.
"""

import functools
import itertools

import jax
import numpy as np

from stylegan_jax.animation import paths
from stylegan_jax.errors import UserError
from stylegan_jax.figures import layer_ranges
from stylegan_jax.networks.generator import draw_noise, mix
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.latents import latents

# Pixels; smaller images are enlarged by powers of two until the longer side has as many.
_SMALLEST_SIDE, _SMALLEST_OF_SEVERAL = 256, 128


def walk(artist, seeds, *, count, space='z', path=None, psi=None, rows=1, columns=1):
    """A walk from seed to seed and back to the first, in every place of a grid with seeds of its own.

    Args:
      artist: a Painter.
      seeds: as many for each place of the grid; place after place.
      count: frames.
      space: 'z' or 'w'.
      path: one of `paths.KINDS`; None for slerp in Z and a spline in W.
      psi: see `Generator.truncate`.
      rows, columns: of the grid.

    Returns:
      An iterator of frames, uint8 [H, W, C].

    Raises:
      UserError: the seeds cannot be shared out, or the network has no W.
    """
    places = rows * columns
    if len(seeds) % places:
        raise UserError(
            f'--seeds: {len(seeds)} seeds cannot be shared out among {places} places of the grid; give a '
            f'multiple of {places}'
        )
    kind = path or ('slerp' if space == 'z' else 'spline')
    if space == 'w':
        if artist.config.is_progan:
            raise UserError('--space=w: a Progressive GAN generator has no W; leave the flag out')
        if kind == 'slerp':
            raise UserError('--path=slerp is for --space=z, whose latents are Gaussian; choose spline or linear')
        points = artist.ws(seeds, psi)
        route = functools.partial(paths.path, count=count, kind=kind)
        ws = np.stack([route(some) for some in np.split(points, places)], axis=1)
    else:
        points = latents(seeds, artist.generator.z_dim)
        z = np.stack([paths.path(some, count, kind) for some in np.split(points, places)], axis=1)
        ws = artist.ws_of_z(z.reshape(-1, z.shape[-1]), psi)
        ws = ws.reshape(count, places, *ws.shape[1:])
    return _frames(artist, ws, columns)


def mixing(artist, seeds, destinations, *, count, psi=None):
    """Images whose coarse, middle or fine styles (a column each) walk through W, while the others stay (a row each).

    Args:
      artist: a Painter.
      seeds: whose styles are passed.
      destinations: seeds of the rows.
      count: frames.
      psi: see `Generator.truncate`; None for none.

    Returns:
      An iterator of frames, uint8 [H, W, C].

    Raises:
      UserError: the network has no styles.
    """
    if not artist.config.use_styles:
        raise UserError('--kind=mixing: the layers of this network have no styles (configurations C to F have)')
    psi = 1.0 if psi is None else psi
    moving = paths.path(artist.ws(seeds, psi), count, 'spline')
    ws = np.stack(
        [
            np.asarray(mix(np.broadcast_to(still, moving.shape), moving, layers))
            for still in artist.ws(destinations, psi)
            for layers in ranges(artist)
        ],
        axis=1,
    )
    return _frames(artist, ws, len(ranges(artist)))


def ranges(artist):
    """Returns the layers of the columns of `mixing`."""
    return list(layer_ranges.split(artist.config.image, artist.stage + 1).values())


def truncation(artist, seeds, *, count, first=1.0, last=-1.0, columns=1):
    """Images as psi goes from one value to another and back, for all layers.

    Raises:
      UserError: the network has no mapping network.
    """
    if not artist.config.mapping_layers:
        raise UserError('--kind=truncation: without a mapping network there is no W to truncate in')
    w = artist.ws(seeds, 1.0)
    average = np.asarray(artist.generator.w_avg)
    psis = paths.there_and_back(first, last, count).astype(w.dtype)
    return _frames(artist, average + (w - average) * psis[:, None, None, None], columns)


def noise(artist, seeds, *, count, psi=None, columns=1):
    """Images of latents that stay, with noise inputs that turn smoothly, and are Gaussian at each instant.

    Raises:
      UserError: the network has no noise inputs.
    """
    if not artist.config.use_noise:
        raise UserError('--kind=noise: this network has no noise inputs (configurations E and F have)')
    ws = artist.ws(seeds, psi)
    ends = [_noise_of(artist, seeds, number) for number in range(2)]

    at_once = max(1, artist.batch // len(seeds))  # frames

    def frames():
        for start in range(0, count, at_once):
            turns = 2 * np.pi * np.arange(start, min(start + at_once, count)) / count
            cos, sin = (some.astype(ws.dtype)[:, None, None, None, None] for some in (np.cos(turns), np.sin(turns)))
            inputs = [(cos * a + sin * b).reshape(-1, *a.shape[1:]) for a, b in zip(*ends)]
            images = artist.images(np.tile(ws, (len(turns), 1, 1)), inputs)
            for some in np.split(images, len(turns)):
                yield _tiled(some, columns)

    return frames()


def _noise_of(artist, seeds, number):
    """Noise inputs [N, h, w, 1] a layer; each image's are those of its seed."""
    keys = [jax.random.fold_in(jax.random.key(np.uint32(seed)), number) for seed in seeds]
    each = [draw_noise(artist.config, key, 1, artist.stage, artist.dtype) for key in keys]
    return [np.concatenate(layer) for layer in zip(*each)]


def _frames(artist, ws, columns):
    """Yields a frame for each ws [F, N, L, W], laid out as a grid."""
    images = itertools.chain.from_iterable(artist.batches(ws.reshape(-1, *ws.shape[2:])))
    for _ in range(len(ws)):
        yield _tiled(np.stack(list(itertools.islice(images, ws.shape[1]))), columns)


def _tiled(images, columns):
    factor, smallest = 1, _SMALLEST_SIDE if len(images) == 1 else _SMALLEST_OF_SEVERAL
    while factor * max(images.shape[1:3]) < smallest:
        factor *= 2
    return grid.enlarge(grid.image_grid(images, columns), factor)
