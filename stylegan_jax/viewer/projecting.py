"""Projects photos one after another in a thread, with progress, and can be told to stop."""

import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import itertools
import threading
import time

import numpy as np

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.editing import comparison, projection
from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.errors import UserError
from stylegan_jax.viewer.networks import ShownNetwork
from stylegan_jax.viewer.sources import Sources

MOST_STEPS = 2000
_MOST_WAITING = 8  # photos
_EVERY = 5  # steps between two pictures of the progress


class _Cancelled(Exception):
    """Nobody waits for the result any longer."""


@dataclasses.dataclass(eq=False)
class Job:
    """A photo that is projected.

    Attributes:
      number: of the job.
      network: the network that is to make it.
      client: the id of the page that sent it.
      title: what people call it.
      target: uint8 [H, W, C].
      steps: of the optimiser.
      recipe: the class or label that latents are searched near, and the level of detail.
    """

    number: int
    network: ShownNetwork
    client: str
    title: str
    target: np.ndarray
    steps: int
    recipe: Recipe
    cancelled: threading.Event = dataclasses.field(default_factory=threading.Event)


class Projector:
    """Projects photos with one network after another, in a thread of its own."""

    def __init__(self, sources: Sources, said: collections.abc.Callable[[Job, dict, np.ndarray | None], object]):
        """Starts nothing yet.

        Args:
          sources: where results are kept.
          said: called in the thread with a job, values for its page (`state` and others), and perhaps its picture.
        """
        self._sources, self._said = sources, said
        self._thread = concurrent.futures.ThreadPoolExecutor(1, 'projector')
        self._numbers, self._jobs, self._lock = itertools.count(1), {}, threading.Lock()
        self._arriving = 0  # photos that have a place and are not queued yet

    def close(self) -> None:
        """Cancels what is under way, and drops what waits."""
        for job in list(self._jobs.values()):
            job.cancelled.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @contextlib.contextmanager
    def place(self, network: ShownNetwork, recipe: Recipe) -> collections.abc.Iterator[None]:
        """Holds a place for a photo while it is sent and decoded, so that there are never more than can be queued.

        Raises:
          UserError: too many are waiting, or the network has no w.
        """
        if network.painter(recipe.nimg).config.is_progan:
            raise UserError('a Progressive GAN generator has no latents w to find')
        with self._lock:
            if len(self._jobs) + self._arriving >= _MOST_WAITING:
                count = len(self._jobs) + self._arriving
                raise UserError(f'{count} photos are waiting; try again when some are done')
            self._arriving += 1
        try:
            yield
        finally:
            with self._lock:
                self._arriving -= 1

    def start(
        self, network: ShownNetwork, target: np.ndarray, recipe: Recipe, *, client: str, title: str, steps: int
    ) -> Job:
        """Queues a photo that has a `place`.

        Args:
          network: the network that is to make it.
          target: uint8 [H, W, C].
          recipe: whose class or label, checkpoint and level of detail count.
          client, title, steps: see `Job`.
        """
        with self._lock:
            job = Job(next(self._numbers), network, client, title, target, max(1, min(steps, MOST_STEPS)), recipe)
            before = len(self._jobs)
            self._jobs[job.number] = job
        self._said(job, {'state': 'waiting', 'before': before}, None)
        self._thread.submit(self._run, job)
        return job

    def cancel(self, client: str, number: int | None = None) -> None:
        """Stops a job of a page, or all of them; others' are left alone."""
        for job in list(self._jobs.values()):
            if job.client == client and number in (None, job.number):
                job.cancelled.set()

    def _run(self, job):
        start = time.monotonic()
        try:
            if job.cancelled.is_set():
                raise _Cancelled
            self._said(job, {'state': 'beginning'}, None)
            found, lod = self._project(job)
            name = self._sources.keep(found, job.title, lod)
            seconds, psnr = time.monotonic() - start, float(found.psnr[0])
            self._said(job, {'state': 'done', 'source': f'{name}#0', 'psnr': psnr}, found.images[0])
            where = f'{self._sources.folder}/{name}'
            print(f'{job.title}: projected in {seconds:.0f} s, PSNR {psnr:.1f} dB: {where}', flush=True)
        except _Cancelled:
            self._said(job, {'state': 'cancelled'}, None)
            print(f'{job.title}: cancelled', flush=True)
        except Exception as error:  # a photo that fails must not keep the next one waiting
            text = str(error) if isinstance(error, UserError) else f'{type(error).__name__}: {error}'
            self._said(job, {'state': 'failed', 'text': text}, None)
            print(f'{job.title}: {" ".join(text.split())}', flush=True)
        finally:
            with self._lock:
                self._jobs.pop(job.number, None)

    def _project(self, job):
        """Returns (Projection, level of detail)."""
        network = job.network
        painter = network.painter(job.recipe.nimg)
        generator, lod = painter.generator, painter.lod if job.recipe.lod is None else job.recipe.lod
        stage_and_alpha(generator.config.image, lod)  # an error here names the level of detail
        compared = comparison.choose((1, *job.target.shape), network.discriminator, where=network.path)

        def report(step, found):
            if job.cancelled.is_set():
                raise _Cancelled
            values = {'state': 'running', 'step': step, 'steps': job.steps, 'psnr': float(found.psnr[0])}
            self._said(job, values, found.images[0])

        found = projection.project(
            generator,
            job.target[None],
            discriminator=compared.discriminator,
            lpips=compared.lpips,
            options=projection.Options(noise='optimize' if generator.config.use_noise else 'none', steps=job.steps),
            label=painter.latents.labels(job.recipe),
            lod=lod,
            every=_EVERY,
            report=report,
        )
        return found, lod
