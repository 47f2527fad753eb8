"""When what is drawn, and how large: a lower stage while a hand moves, full size at rest, and never a wait to compile.

Four threads work: one draws for hands that move, one for pictures at rest and for files, one computes what latents need
once, such as principal directions, and one compiles. A page that asks for a stage whose program is being compiled gets
the largest one that is there, and the right one when it is done.
"""

import asyncio
import collections.abc
import concurrent.futures
import contextlib
import threading
import time
import typing

import numpy as np

from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.editing.recipe_painter import RecipePainter
from stylegan_jax.errors import UserError, in_one_line
from stylegan_jax.viewer.networks import ShownNetwork

# Seconds of drawing that a picture may take while a hand moves; where that would leave less than 64 pixels to see,
# pictures may come more slowly.
_MOVING, _MOVING_SMALL = 0.035, 0.12
_FIRST_SIDE, _LEAST_SIDE = 64, 32  # pixels of the stage that is compiled first, and of the smallest that is
_REST, _LONGEST_MOVE = 0.2, 2.0  # seconds after which a hand counts as at rest, and thumbnails no longer wait for it
_SMOOTHING = 0.3  # weight of the newest time among those before


class Drawn(typing.NamedTuple):
    """A picture, and how it came about.

    Attributes:
      picture: uint8 [H, W, C], the cells of a grid side by side.
      stage: the stage that was drawn.
      wanted: the stage of the recipe.
      seconds: how long drawing took.
      nimg: the checkpoint that it was drawn from, see `Recipe`; None without a run.
      waiting: done when the program of the wanted stage is compiled; None if nothing is waited for.
    """

    picture: np.ndarray
    stage: int
    wanted: int
    seconds: float
    nimg: int | None
    waiting: concurrent.futures.Future | None


class Drawing:
    """Draws recipes with networks, in threads of its own."""

    def __init__(
        self,
        networks: collections.abc.Sequence[ShownNetwork],
        said: collections.abc.Callable[[str | None], object] = lambda text: None,
    ):
        """Starts to compile in a thread: a small stage first, then larger ones while they are fast, then full size.

        Args:
          networks: those that are shown.
          said: called in a thread with what is compiled, and with None when nothing is.
        """
        self.networks, self._said = networks, said
        thread = concurrent.futures.ThreadPoolExecutor
        self._moving, self._resting = thread(1, 'moving'), thread(1, 'resting')
        self._preparer, self._compiler = thread(1, 'preparer'), thread(1, 'compiler')
        self._compiling, self._seconds, self._lock = {}, {}, threading.Lock()
        self._moved = -_REST  # when a picture of a hand that moves was asked for last [seconds]
        for painter in (network.painter() for network in networks):
            self._warm_up(painter, _stage_of(painter, _FIRST_SIDE))

    def close(self) -> None:
        """Ends the threads after the work under way; what waits is dropped."""
        for threads in (self._moving, self._resting, self._preparer, self._compiler):
            threads.shutdown(wait=False, cancel_futures=True)

    async def draw(self, network: ShownNetwork, recipe: Recipe, moving: bool, small: bool = False) -> Drawn:
        """Draws a recipe.

        Args:
          network: one of `networks`.
          recipe: a Recipe.
          moving: whether a hand is moving: then a stage that is fast enough is drawn, if need be a small one.
          small: whether it is a thumbnail: it is drawn at such a stage as well, but while hands are at rest.

        Raises:
          UserError: see `RecipePainter.picture`; or its size cannot be compiled.
        """
        loop, recipe = asyncio.get_running_loop(), network.pinned(recipe)
        painter = network.loaded(recipe.nimg) or await loop.run_in_executor(None, network.painter, recipe.nimg)
        wanted = painter.stage_and_alpha(recipe)[0]
        if not painter.latents.is_prepared(recipe):
            await loop.run_in_executor(self._preparer, painter.latents.prepare, recipe)
        if not self._ready(painter, wanted):  # nothing can be shown before the first program is there
            await self._compiled(painter, min(wanted, _stage_of(painter, _FIRST_SIDE)))
        waiting = None
        if moving or small:
            stage = self._fast_stage(painter, wanted, recipe.grid[0] * recipe.grid[1])
        else:
            waiting = self._compile(painter, wanted)
            if waiting.done():
                await self._compiled(painter, wanted)  # says so if it failed
            stage = wanted if waiting.done() else max(self._ready(painter, wanted))
        if small:
            await self._hands_at_rest()
        elif moving:
            self._moved = time.monotonic()
        threads = self._moving if moving else self._resting
        picture, seconds = await loop.run_in_executor(threads, self._timed, painter, recipe, stage)
        # The program may have been finished meanwhile: it is the stage that says whether this picture is the last word.
        return Drawn(picture, stage, wanted, seconds, recipe.nimg, None if stage == wanted else waiting)

    async def picture(self, network: ShownNetwork, recipe: Recipe) -> np.ndarray:
        """Draws a recipe at its own size, however long that takes; see `draw`."""
        drawn = await self.draw(network, recipe, moving=False)
        if drawn.waiting is None:
            return drawn.picture
        with contextlib.suppress(Exception):  # the second drawing says what went wrong
            await finished(drawn.waiting)
        return (await self.draw(network, recipe, moving=False)).picture

    def seconds(self, painter: RecipePainter, stage: int) -> float | None:
        """Returns how long an image of a stage takes: as it was measured, or by the pixels of a smaller one."""
        for below in range(stage, -1, -1):
            if (painter.config, below) in self._seconds:
                return self._seconds[painter.config, below] * 4 ** (stage - below)
        return None

    async def _hands_at_rest(self):
        """Waits while hands move, whose pictures share the cores of the machine, but not for ever, as a loop plays."""
        end = time.monotonic() + _LONGEST_MOVE
        while time.monotonic() < min(end, self._moved + _REST):
            await asyncio.sleep(_REST / 4)

    def _timed(self, painter, recipe, stage):
        start = time.perf_counter()
        picture = painter.picture(recipe, stage)
        seconds = time.perf_counter() - start
        each, key = seconds / (recipe.grid[0] * recipe.grid[1]), (painter.config, stage)
        before = self._seconds.get(key, each)
        self._seconds[key] = before + _SMOOTHING * (min(each, 4 * before) - before)
        return picture, seconds

    def _fast_stage(self, painter, wanted, cells):
        """The largest stage that is compiled, and fast enough for a hand that moves."""
        ready = sorted(self._ready(painter, wanted))
        fast = [stage for stage in ready if self._is_fast(painter, stage, cells)]
        return fast[-1] if fast else ready[0]

    def _is_fast(self, painter, stage, cells=1):
        is_small = stage <= _stage_of(painter, _FIRST_SIDE)
        return (self.seconds(painter, stage) or 0) * cells <= (_MOVING_SMALL if is_small else _MOVING)

    def _ready(self, painter, wanted):
        """The stages up to the wanted one whose programs are compiled."""
        return [
            stage
            for stage in range(wanted + 1)
            if (future := self._compiling.get((painter.config, stage))) and _is_there(future)
        ]

    def _compile(self, painter, stage):
        """Returns the future of the program of a stage, which is compiled once for all networks of one form."""
        key = painter.config, stage
        with self._lock:
            if key not in self._compiling:
                self._compiling[key] = self._compiler.submit(self._compile_now, painter, stage)
            return self._compiling[key]

    async def _compiled(self, painter, stage):
        """Waits for the program of a stage. Raises UserError if there is none; the next request then tries again."""
        try:
            await finished(self._compile(painter, stage))
        except Exception as error:  # whatever XLA raises
            self._compiling.pop((painter.config, stage), None)
            height, width = painter.config.image.stage_shape(stage)
            raise UserError(f'{width}x{height} cannot be compiled ({in_one_line(error)})') from None

    def _compile_now(self, painter, stage):
        height, width = painter.config.image.stage_shape(stage)
        self._said(f'compiling {width}×{height}')
        try:
            painter.compile(stage)
            whole = Recipe(lod=0.0)  # a network in the middle of its growth would draw no more than its stage
            self._timed(painter, whole, stage)  # the first run of a program is slower than those after it
            self._seconds.pop((painter.config, stage), None)
            self._timed(painter, whole, stage)
        finally:
            self._said(None)

    def _warm_up(self, painter, stage):
        """Queues the stages that a hand will need: fast ones from 64 pixels on, or smaller ones; then the full one."""
        wanted, first = painter.stage_and_alpha(Recipe())[0], _stage_of(painter, _FIRST_SIDE)
        least = _stage_of(painter, _LEAST_SIDE)
        if self.seconds(painter, stage) is None:
            following = stage  # nothing was measured yet
        elif not self._is_fast(painter, stage):
            following = stage - 1 if least < stage <= first else wanted
        else:
            following = stage + 1 if stage >= first else wanted
        self._compile(painter, min(following, wanted))
        if following < wanted:
            self._compiler.submit(self._warm_up, painter, following)
        else:
            self._preparer.submit(painter.latents.prepare, Recipe())


async def finished(future: concurrent.futures.Future) -> None:
    """Waits for the work of a thread. A waiter that is cancelled, as of a page that closes, leaves it to the others."""
    await asyncio.shield(asyncio.wrap_future(future))


def _is_there(future):
    return future.done() and not future.cancelled() and not future.exception()


def _stage_of(painter, most):
    """The largest stage of a network with at most this many pixels."""
    image = painter.config.image
    return max([0] + [stage for stage in range(image.num_stages) if image.stage_resolution(stage) <= most])
