"""The kinds of animation: each returns an iterator of frames, which a `sampling.painter.Painter` draws.

Every frame is a pure function of the settings and of its number, and every scene ends where it began.
"""

import collections
import functools
import itertools
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from stylegan_jax.animation import paths
from stylegan_jax.errors import UserError
from stylegan_jax.figures import layer_ranges
from stylegan_jax.networks.generator import mix
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.engine import noise_of_keys
from stylegan_jax.sampling.latents import latents
from stylegan_jax.sampling.painter import Painter

# Pixels; smaller images are enlarged by powers of two until the longer side has as many.
_SMALLEST_SIDE, _SMALLEST_OF_SEVERAL = 256, 128
_LONGEST_PAST = 256  # frames


def walk(
    artist: Painter,
    seeds: Sequence[int],
    *,
    count: int,
    space: str = 'z',
    path: str | None = None,
    psi: float | None = None,
    rows: int = 1,
    columns: int = 1,
) -> Iterator[np.ndarray]:
    """Walks from seed to seed and back to the first one; every place of a grid has seeds of its own.

    Args:
      artist: a Painter.
      seeds: of all places, one place after another; each has the same number of seeds.
      count: frames.
      space: 'z' or 'w'.
      path: one of `paths.KINDS`; None for slerp in Z and a spline in W.
      psi: see `Generator.truncate`.
      rows: of the grid.
      columns: of the grid.

    Returns:
      An iterator of frames, uint8 [H, W, C].

    Raises:
      UserError: the seeds cannot be shared out evenly, those of a place are all the same, or the network has no W.
    """
    ws = _ws_of_walk(artist, seeds, count, space, path, psi, rows * columns)
    return _frames(artist, ws, columns)


def sticking(
    artist: Painter,
    seeds: Sequence[int],
    *,
    count: int,
    space: str = 'z',
    path: str | None = None,
    psi: float | None = None,
    column: int | None = None,
) -> Iterator[np.ndarray]:
    """Walks, and shows one column of pixels over time beside the picture: textures that stick are stripes in it.

    The picture's column is marked by a line. Beside it time goes to the right, and ends now. As the walk is
    closed, its end is the past of its first frames.

    Args:
      artist: a Painter.
      seeds: of the walk.
      count: frames.
      space, path, psi: see `walk`.
      column: number of the column, from the left [pixels]; None for the middle one.

    Returns:
      An iterator of frames, uint8 [H, W, C].

    Raises:
      UserError: see `walk`; or there is no such column.
    """
    width = artist.shape[1]
    column = width // 2 if column is None else column
    if not 0 <= column < width:
        raise UserError(f'give one from 0 to {width - 1}', field='column', value=column)
    ws = _ws_of_walk(artist, seeds, count, space, path, psi, 1)
    factor = _factor(artist.shape, 1)
    kept = frames_of_past(artist, count)

    def frames():
        images = itertools.chain.from_iterable(artist.batches(np.concatenate([ws[count - kept :], ws])[:, 0]))
        past = collections.deque(maxlen=kept)
        for number, image in enumerate(images):
            past.append(image[:, column].copy())  # a view would keep the whole image
            if number >= kept:
                yield _beside(image, np.stack(past, axis=1), column, factor)

    return frames()


def frames_of_past(artist: Painter, count: int) -> int:
    """Returns how many frames the column of `sticking` shows in a film of `count` frames; they are drawn twice."""
    return min(count, _factor(artist.shape, 1) * artist.shape[1], _LONGEST_PAST)


def _beside(image, past, column, factor):
    """Lays out a picture [H, W, C], its marked column, and that column over time [H, T, C]."""
    side = grid.enlarge(image, factor)
    line = side[:, column * factor : column * factor + max(1, factor // 8)]
    line[..., :3] = ~line[..., :3]  # is seen on any colour
    times = np.repeat(np.repeat(past, factor, axis=0), max(1, side.shape[1] // past.shape[1]), axis=1)
    gap = np.full((len(side), max(2, side.shape[1] // 64), side.shape[2]), 255, np.uint8)
    return np.concatenate([side, gap, times], axis=1)


def _ws_of_walk(artist, seeds, count, space, path, psi, places):
    """Returns the ws of `walk`, [count, places, L, W]."""
    if len(seeds) % places:
        raise UserError(
            f'{len(seeds)} seeds cannot be shared out among {places} places of the grid',
            field='seeds',
            remedy=f'give a multiple of {places}',
        )
    _check_moves(seeds, places)
    kind = path or ('slerp' if space == 'z' else 'spline')
    if space == 'w':
        if artist.config.is_progan:
            raise UserError('a Progressive GAN generator has no W', field='space', value=space, remedy='leave it out')
        if kind == 'slerp':
            raise UserError(
                'is for space=z, whose latents are Gaussian', field='path', value=kind, remedy='choose spline or linear'
            )
        points = artist.ws(seeds, psi)
        route = functools.partial(paths.path, count=count, kind=kind)
        return np.stack([route(some) for some in np.split(points, places)], axis=1)
    points = latents(seeds, artist.generator.z_dim)
    # Between seeds of different classes the label goes straight from one to the other, and so does the center.
    z, label = _along(points, places, count, kind), _along(artist.labels(seeds), places, count, 'linear')
    centers = artist.labels.centers(seeds)
    if centers is not None:
        centers = _along(centers, places, count, 'linear')
    ws = artist.ws_of_z(z, psi, label=label, centers=centers)
    return ws.reshape(count, places, *ws.shape[1:])


def _check_moves(seeds, places):
    """Raises UserError unless each place has two different seeds, because a walk among fewer is one still picture."""
    if any(len(set(some.tolist())) < 2 for some in np.split(np.asarray(seeds), places)):
        raise UserError(
            'a walk goes from seed to seed, and with one alone nothing moves',
            field='seeds',
            remedy='give at least two different ones' + (' for each place of the grid' if places > 1 else ''),
        )


def _along(points, places, count, kind):
    """Returns a path of each place, [count * places, ...], through its share of points [P, ...]."""
    routes = np.stack([paths.path(some, count, kind) for some in np.split(points, places)], axis=1)
    return routes.reshape(count * places, routes.shape[-1])


def mixing(
    artist: Painter, seeds: Sequence[int], destinations: Sequence[int], *, count: int, psi: float | None = None
) -> Iterator[np.ndarray]:
    """Lets the coarse, middle or fine styles of images (a column each) walk through W, while their other styles stay.

    Args:
      artist: a Painter.
      seeds: their styles are the points of the walk.
      destinations: seeds of the rows, which the other styles come from.
      count: frames.
      psi: see `Generator.truncate`; None for none.

    Returns:
      An iterator of frames, uint8 [H, W, C].

    Raises:
      UserError: the network has no styles, or the seeds are all the same.
    """
    if not artist.config.use_styles:
        raise UserError(
            'the layers of this network have no styles (configurations C to F have)', field='kind', value='mixing'
        )
    _check_moves(seeds, 1)
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


def ranges(artist: Painter) -> list[range]:
    """Returns the layers that move in each column of `mixing`."""
    return list(layer_ranges.split(artist.config.image, artist.stage + 1).values())


def truncation(
    artist: Painter, seeds: Sequence[int], *, count: int, first: float = 1.0, last: float = -1.0, columns: int = 1
) -> Iterator[np.ndarray]:
    """Moves psi from one value to another and back, for all layers (Figure 8 as a film).

    Args:
      artist: a Painter.
      seeds: of the images.
      count: frames.
      first: psi of the first frame.
      last: psi of the frame in the middle.
      columns: of the grid of images.

    Returns:
      An iterator of frames, uint8 [H, W, C].

    Raises:
      UserError: the network has no mapping network.
    """
    if not artist.config.mapping_layers:
        raise UserError('without a mapping network there is no W to truncate in', field='kind', value='truncation')
    w = artist.ws(seeds, 1.0)
    centers = artist.labels.centers(seeds)
    average = np.asarray(artist.generator.w_avg) if centers is None else centers[:, None]
    psis = paths.there_and_back(first, last, count).astype(w.dtype)
    return _frames(artist, average + (w - average) * psis[:, None, None, None], columns)


def noise(
    artist: Painter, seeds: Sequence[int], *, count: int, psi: float | None = None, columns: int = 1
) -> Iterator[np.ndarray]:
    """Lets noise inputs change smoothly, while latents stay.

    Args:
      artist: a Painter.
      seeds: of the images, and of their noise.
      count: frames.
      psi: see `Generator.truncate`.
      columns: of the grid of images.

    Returns:
      An iterator of frames, uint8 [H, W, C].

    Raises:
      UserError: the network has no noise inputs.
    """
    if not artist.config.use_noise:
        raise UserError('this network has no noise inputs (configurations E and F have)', field='kind', value='noise')
    ws = artist.ws(seeds, psi)
    # Two independent Gaussians a and b: cos(t) a + sin(t) b is Gaussian with the same variance at every t.
    ends = [_noise_of(artist, seeds, number) for number in range(2)]
    at_once = max(1, artist.batch // len(seeds))  # frames in a batch

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
    """Noise inputs [N, h, w, 1] a layer; those of an image depend on its seed alone."""
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), number))(np.array(seeds, np.uint32))
    return [np.asarray(layer) for layer in noise_of_keys(artist.config, keys, artist.stage, artist.dtype)]


def _frames(artist, ws, columns):
    """Yields a frame for each ws [F, N, L, W], laid out as a grid."""
    images = itertools.chain.from_iterable(artist.batches(ws.reshape(-1, *ws.shape[2:])))
    for _ in range(len(ws)):
        yield _tiled(np.stack(list(itertools.islice(images, ws.shape[1]))), columns)


def _tiled(images, columns):
    return grid.enlarge(grid.image_grid(images, columns), _factor(images.shape[1:], len(images)))


def _factor(shape, count):
    """Returns by how much images [H, W, C] are enlarged, of which a frame has `count`."""
    factor, smallest = 1, _SMALLEST_SIDE if count == 1 else _SMALLEST_OF_SEVERAL
    while factor * max(shape[:2]) < smallest:
        factor *= 2
    return factor
