"""What a page can take away: a picture, latents, a figure, a film, and the command line that makes the picture."""

import asyncio
import collections.abc
import io
import shlex
import threading
import time
import typing

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
# Bytes of all frames, of which one is in memory at a time; what WebP makes of them, which is in memory, is smaller.
_MOST_FILM = 2**31
_SMALLEST_FRAME = 256  # pixels; smaller ones are enlarged, as films of the command animate are
_FILMS_AT_ONCE, _OTHERS_AT_ONCE, _MOST_WAITING = 1, 2, 16  # files that are made, and that wait
_BETWEEN_NEWS = 0.5  # seconds

_Said = collections.abc.Callable[[dict[str, typing.Any]], object]


class SavedFile(typing.NamedTuple):
    """A file for a browser to keep: its name, its type, and its bytes."""

    name: str
    type: str
    content: bytes


def command_line(network: ShownNetwork, recipe: Recipe, sources: Sources) -> str:
    """Returns the command that makes exactly this picture; a recipe that names no checkpoint means the newest one."""
    # A run that trains has a newer checkpoint by the time that the command is run.
    recipe = network.pinned(sources.with_paths(recipe))
    words = ['python', '-m', 'stylegan_jax.generate', f'--network={network.path}', '--outdir=out']
    if network.which != 'ema':
        words.append(f'--which={network.which}')
    if network.precision != 'auto':
        words.append(f'--precision={network.precision}')
    return f'{shlex.join(words)} --recipe={shlex.quote(str(recipe))}'


class Saving:
    """Makes files, in memory and few at a time: one film, and beside it other files."""

    def __init__(self, drawing: Drawing):
        """Takes what draws."""
        self._drawing, self._waiting = drawing, 0
        self._films, self._others = asyncio.Semaphore(_FILMS_AT_ONCE), asyncio.Semaphore(_OTHERS_AT_ONCE)

    async def file(
        self, kind: str, network: ShownNetwork, recipe: Recipe, *, title: str = '', said: _Said = lambda values: None
    ) -> SavedFile:
        """Makes a file; whoever waits for it may be cancelled.

        Args:
          kind: one of KINDS.
          network: what it is drawn with.
          recipe: a Recipe; that of a film has a loop as its source.
          title: what a figure calls the network; '' for nothing.
          said: called with news: {'state': 'waiting'}, {'state': 'making', 'done': frames, 'count': of all}.

        Raises:
          UserError: see `RecipePainter.picture`; or a film would be too long, or too many files wait.
        """
        if kind not in KINDS:
            raise UserError(f'{kind!r} is no kind of file', remedy='choose ' + ', '.join(KINDS))
        if self._waiting >= _MOST_WAITING:
            raise UserError(f'{self._waiting} files are waiting; try again when some are done')
        turn = self._films if kind == 'film' else self._others
        said({'state': 'waiting' if turn.locked() else 'making'})
        self._waiting += 1
        try:
            await turn.acquire()
        finally:
            self._waiting -= 1
        try:
            said({'state': 'making'})
            # A checkpoint that a run writes in the meantime changes nothing of a file that has begun.
            return await self._made(kind, network, network.pinned(recipe), title, said)
        finally:
            turn.release()

    async def _made(self, kind, network, recipe, title, said):
        drawing = self._drawing
        if kind == 'picture':
            return SavedFile('picture.png', 'image/png', _png(await drawing.picture(network, recipe)))
        if kind == 'figure':
            return SavedFile('figure.png', 'image/png', _png(await _figure(drawing, network, recipe, title)))
        if kind == 'film':
            return SavedFile('loop.webp', 'image/webp', await _film(drawing, network, recipe, said))
        content = await asyncio.to_thread(lambda: _latents(network.painter(recipe.nimg), recipe))
        return SavedFile('latents.npz', 'application/octet-stream', content)


def _png(picture):
    file = io.BytesIO()
    grid.write_png(file, picture)
    return file.getvalue()


def _latents(painter, recipe):
    file = io.BytesIO()
    painter.saved(recipe).save(file)
    return file.getvalue()


async def _figure(drawing, network, recipe, title):
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
    title = f'{title}: ' * bool(title) + str(recipe).replace(';', '; ')
    return look.table([cells], height=cells[0].shape[0], columns=titles, title=title).picture


async def _film(drawing, network, recipe, said):
    if recipe.source.kind != 'loop':
        raise UserError('a film goes along a loop of seeds', remedy='name the seeds of the loop first')
    seeds = recipe.source.seeds
    count, loop, stopped = _FRAMES_A_SEED * len(seeds), asyncio.get_running_loop(), threading.Event()

    async def drawn(number):
        source = Source('loop', seeds, (number / _FRAMES_A_SEED,))
        picture = await drawing.picture(network, Recipe.from_dict(recipe.to_dict() | {'source': str(source)}))
        return film.as_rgb(picture)

    first = await drawn(0)
    factor = 1
    while factor * max(first.shape[:2]) < _SMALLEST_FRAME:
        factor *= 2
    if count * first.nbytes * factor**2 > _MOST_FILM:
        raise UserError(
            f'{count} frames of {first.shape[1]}x{first.shape[0]} are too many',
            remedy='take fewer seeds, or a lower stage',
        )

    def frames():
        """Draws one frame after another, when the thread that encodes them asks for it."""
        told = 0.0
        for number in range(count):
            if stopped.is_set():
                raise _Stopped
            if time.monotonic() > told + _BETWEEN_NEWS:
                told = time.monotonic()
                loop.call_soon_threadsafe(said, {'state': 'making', 'done': number, 'count': count})
            frame = first if number == 0 else asyncio.run_coroutine_threadsafe(drawn(number), loop).result()
            yield grid.enlarge(frame, factor)

    file = io.BytesIO()
    try:
        await asyncio.to_thread(film.write_webp, file, frames(), count, _FPS)
    finally:
        stopped.set()
    return file.getvalue()


class _Stopped(Exception):
    """Nobody waits for the film any longer."""
