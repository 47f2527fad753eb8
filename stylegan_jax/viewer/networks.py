"""The networks that the viewer shows, and the checkpoints of a run that trains."""

import dataclasses
import os
import threading
import typing

from stylegan_jax.cli.network_flags import with_meaning
from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.editing.recipe_latents import principal_names
from stylegan_jax.editing.recipe_painter import RecipePainter
from stylegan_jax.errors import UserError
from stylegan_jax.figures import layer_ranges
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runtime.recent import Recent
from stylegan_jax.storage.loading import is_run, load, load_with_lod
from stylegan_jax.storage.places import FOLDER
from stylegan_jax.viewer.sources import Sources

_MOST_KEPT = 3  # checkpoints in memory beside the newest one


class ShownNetwork:
    """A network that is shown: of a file, or of a run directory, whose checkpoints it can show as well.

    Attributes:
      path: as it was given.
      which: 'ema' or 'G'.
      precision: see `sampling.sampler.Sampler`.
      is_run: whether it is a run directory.
      nimgs: images shown at the checkpoints that are there, in rising order.
    """

    def __init__(
        self, path: str, sources: Sources, *, which: str = 'ema', precision: str = 'auto', follow: bool = False
    ):
        """Loads the network.

        Args:
          path: see `storage.loading.load`.
          sources: the files that recipes may name.
          which, precision: see above.
          follow: whether `refresh` takes up newer checkpoints of the run.

        Raises:
          UserError: it cannot be loaded.
        """
        self.path, self.which, self.precision = path, which, precision
        self._sources, self._follow, self._lock = sources, follow, threading.Lock()
        self.is_run = is_run(path)
        self._others: Recent[int, RecipePainter] = Recent(_MOST_KEPT)
        self._current = self._load(None)  # (images shown, painter), replaced as one
        self.nimgs = self._listed() if self.is_run else []
        self._problem = None
        self._tried = 0  # images shown at the newest checkpoint that was opened, which may be a damaged one

    @property
    def label_dim(self) -> int:
        """Length of the labels of the network; 0 without labels."""
        return self._current[1].generator.label_dim

    @property
    def newest(self) -> int | None:
        """Images shown at the checkpoint that is drawn where nobody asks for another; None without a run."""
        return self._current[0]

    def pinned(self, recipe: Recipe) -> Recipe:
        """Returns a recipe with the checkpoint that it means now; without one where the network is no run."""
        nimg = self.newest if recipe.nimg is None else recipe.nimg
        return dataclasses.replace(recipe, nimg=nimg if self.is_run else None)

    def painter(self, nimg: int | None = None) -> RecipePainter:
        """Returns the painter of a checkpoint, which is loaded if need be; None means the newest one.

        Raises:
          UserError: there is no such checkpoint, or it cannot be read.
        """
        if found := self.loaded(nimg):
            return found
        with self._lock:
            if found := self._others.found(nimg):  # another thread was faster
                return found
            if nimg not in self.nimgs:
                problem = f'there is no checkpoint of {nimg:,} images; there are those of '
                raise UserError(problem + ', '.join(f'{one:,}' for one in self.nimgs), field='nimg')
            return self._others.keep(nimg, self._load(nimg)[1])

    def loaded(self, nimg: int | None) -> RecipePainter | None:
        """Returns the painter of a checkpoint if it is in memory; waits for nothing."""
        newest, painter = self._current
        return painter if nimg is None or nimg == newest or not self.is_run else self._others.found(nimg)

    def refresh(self) -> tuple[bool, str | None]:
        """Looks at the disk: takes up a newer checkpoint, and notices files that went.

        Returns:
          (whether anything changed that pages show, a line about a file that went or came back; None for nothing new).
        """
        before, problem = (self.newest, self.nimgs), None
        if not self.is_run:
            if os.sep in self.path or '.' in self.path:
                problem = None if os.path.exists(self.path) else f'{self.path} is gone; it is drawn from memory'
        else:
            try:
                self.nimgs = self._listed()
                if self._follow and self.nimgs and self.nimgs[-1] > max(self.newest or 0, self._tried):
                    newest = self.nimgs[-1]
                    found = self._load(None)
                    self._tried = newest  # a read that failed is tried again
                    if found[0] != self.newest:
                        self._others.keep(*self._current)  # pages still show pictures of it
                        self._current = found
                if self._follow and self._tried > (self.newest or 0):
                    problem = f'{self.path}: the checkpoint of {self._tried:,} images cannot be read'
            except (UserError, OSError) as error:
                problem = f'{self.path}: {error}; the checkpoint in memory is drawn'
        changed, self._problem = problem != self._problem, problem
        line = problem or (f'{self.path} is there again' if changed else None)
        return changed or before != (self.newest, self.nimgs), line if changed else None

    @property
    def problem(self) -> str | None:
        """What is wrong with the files of the network now, in words; None for nothing."""
        return self._problem

    def discriminator(self) -> Discriminator:
        """Returns the discriminator of the same file or run; raises UserError where there is none."""
        return load(self.path, 'D')

    def described(self) -> dict[str, typing.Any]:
        """Returns what pages show of the network, for JSON."""
        painter = self._current[1]
        generator, config = painter.generator, painter.config
        image = config.image
        groups = {layer: name for name, layers in layer_ranges.split(image).items() for layer in layers}
        meaning = generator.label_meaning
        names = list(meaning.names) if meaning and meaning.names else None
        return {
            'name': self.path,
            'shape': list(image.shape),
            'stages': [list(image.stage_shape(stage)) for stage in range(image.num_stages)],
            'layers': [
                {'side': image.stage_resolution(layer // 2), 'group': groups[layer]}
                for layer in range(config.num_layers)
            ],
            'styles': config.use_styles,
            'noise': config.use_noise,
            'psi': None if config.is_progan else config.truncation_psi,
            'cutoff': None if config.is_progan else config.truncation_cutoff,
            'truncates': not config.is_progan,
            'label_dim': generator.label_dim,
            'classes': list(meaning.classes) if meaning and meaning.classes else None,
            'names': names,
            'examples': [list(one) for one in meaning.examples] if meaning else [],
            'directions': list(principal_names(generator)),
            'lod': painter.lod,
            'run': self.is_run,
            'newest': self.newest,
            'nimgs': self.nimgs,
            'problem': self._problem,
        }

    def _listed(self):
        """The checkpoints that are there; Orbax renames a folder to the bare number when it is whole."""
        return sorted(int(name) for name in os.listdir(os.path.join(self.path, FOLDER)) if name.isdecimal())

    def _load(self, nimg):
        """Returns (images shown, RecipePainter)."""
        if self.is_run:
            from stylegan_jax.storage import networks_of_runs  # imports Orbax, which takes a second

            generator, saved = networks_of_runs.load_with_run(self.path, self.which, nimg)
            return saved.nimg, self._painter_of(generator, float(saved.state.lod))
        return None, self._painter_of(*load_with_lod(self.path, self.which))

    def _painter_of(self, generator: Generator, lod):
        return RecipePainter(
            with_meaning(generator, self.path),
            find_latents=self._sources.latents,
            find_directions=self._sources.directions,
            lod=lod,
            precision=self.precision,
        )
