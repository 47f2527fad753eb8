"""What a page can take away: a picture, latents, a figure, a film, and the command line that makes the picture."""

import asyncio
import io
import os
import shlex
import tempfile
import typing

import numpy as np

from stylegan_jax.animation import film
from stylegan_jax.editing.recipe import Recipe, Source
from stylegan_jax.errors import UserError
from stylegan_jax.figures.look import Look
from stylegan_jax.sampling import grid
from stylegan_jax.viewer.drawing import Drawing
from stylegan_jax.viewer.networks import ShownNetwork
from stylegan_jax.viewer.sources import Sources

KINDS = 'picture', 'latents', 'figure', 'film'
_FPS, _FRAMES_A_SEED = 15, 24
_MOST_FILM = 2**28  # bytes of all frames
_SMALLEST_FRAME = 256  # pixels; smaller ones are enlarged, as films of the command animate are


class SavedFile(typing.NamedTuple):
    """A file for a browser to keep: its name, its type, and its bytes."""

    name: str
    type: str
    content: bytes


def command_line(network: ShownNetwork, recipe: Recipe, sources: Sources) -> str:
    """Returns the command that makes exactly this picture."""
    recipe = sources.with_paths(recipe)
    recipe = Recipe.from_dict(recipe.to_dict() | {'nimg': _checkpoint(network, recipe)})
    words = ['python', '-m', 'stylegan_jax.generate', f'--network={network.path}', '--outdir=out']
    if network.which != 'ema':
        words.append(f'--which={network.which}')
    if network.precision != 'auto':
        words.append(f'--precision={network.precision}')
    return f'{shlex.join(words)} --recipe={shlex.quote(str(recipe))}'


def _checkpoint(network, recipe):
    """The checkpoint that a command has to name: a run that trains has a newer one by the time that it is run."""
    if not network.is_run:
        return None
    return network.newest if recipe.nimg is None else recipe.nimg


async def saved_file(kind: str, drawing: Drawing, network: ShownNetwork, recipe: Recipe) -> SavedFile:
    """Makes a file.

    Args:
      kind: one of KINDS.
      drawing: draws it.
      network: what it is drawn with.
      recipe: a Recipe; that of a film has a loop as its source.

    Raises:
      UserError: see `RecipePainter.picture`; or a film would be too long.
    """
    if kind == 'picture':
        content = _png(await drawing.picture(network, recipe))
        return SavedFile('picture.png', 'image/png', content)
    if kind == 'figure':
        return SavedFile('figure.png', 'image/png', _png(await _figure(drawing, network, recipe)))
    if kind == 'film':
        return SavedFile('loop.webp', 'image/webp', await _film(drawing, network, recipe))
    if kind != 'latents':
        raise UserError(f'{kind!r} is no kind of file', remedy='choose ' + ', '.join(KINDS))
    content = await asyncio.to_thread(lambda: _latents(network.painter(recipe.nimg), recipe))
    return SavedFile('latents.npz', 'application/octet-stream', content)


def _png(picture):
    file = io.BytesIO()
    grid.write_png(file, picture)
    return file.getvalue()


def _latents(painter, recipe):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'latents.npz')
        painter.saved(recipe).save(path)
        with open(path, 'rb') as file:
            return file.read()


async def _figure(drawing, network, recipe):
    """A row: each source alone, with the layers that it gives, and the picture that they make together."""
    look = Look()

    async def drawn(**changes):
        changed = Recipe.from_dict(recipe.to_dict() | changes)
        return look.enlarge((await drawing.picture(network, changed))[None])[0]

    cells, titles = [], []
    if recipe.layers:
        for layers, source in (('the other layers', recipe.source), *recipe.layers):
            cells.append(await drawn(source=str(source), layers=(), moves=(), grid=(1, 1)))
            titles.append(f'{source}\n{layers if source is recipe.source else "layers " + layers}')
    if recipe.moves:
        cells.append(await drawn(moves=(), grid=(1, 1)))
        titles.append('before it is moved')
    cells.append(await drawn())
    titles.append('the picture')
    # The text has no spaces, at which a caption could be broken into lines.
    title = str(recipe).replace(';', '; ')
    return look.table([cells], height=cells[0].shape[0], columns=titles, title=title).picture


async def _film(drawing, network, recipe):
    if recipe.source.kind != 'loop':
        raise UserError('a film goes along a loop of seeds', remedy='name the seeds of the loop first')
    seeds = recipe.source.seeds
    count = _FRAMES_A_SEED * len(seeds)
    frames, factor = [], None
    for number in range(count):
        source = Source('loop', seeds, (number / _FRAMES_A_SEED,))
        frame = await drawing.picture(network, Recipe.from_dict(recipe.to_dict() | {'source': str(source)}))
        if factor is None:
            factor = 1
            while factor * max(frame.shape[:2]) < _SMALLEST_FRAME:
                factor *= 2
            if count * frame.nbytes * factor**2 > _MOST_FILM:
                raise UserError(
                    f'{count} frames of {frame.shape[1]}x{frame.shape[0]} are too many',
                    remedy='take fewer seeds, or a lower stage',
                )
        frames.append(frame)
    return await asyncio.to_thread(_encoded, frames, factor)


def _encoded(frames: list[np.ndarray], factor):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'loop.webp')
        film.write(path, (grid.enlarge(frame, factor) for frame in frames), len(frames), _FPS)
        with open(path, 'rb') as file:
            return file.read()
