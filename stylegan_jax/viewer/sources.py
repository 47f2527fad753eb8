"""The files of latents and directions that pages may name. What a page sends is a name in a table, never a path."""

import os
import re
import threading
import typing

from stylegan_jax.editing import latent_file
from stylegan_jax.editing.directions import Directions
from stylegan_jax.editing.latent_file import Latents
from stylegan_jax.editing.projection import Projection
from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.errors import UserError, unwritable

_PROJECTED = re.compile(r'projected-(\d{4,6})\.npz', re.ASCII)
_NAME_IT = 'name it by --latents or --directions when you start the viewer, or its folder by --outdir'
_MOST_ROWS = 200  # of a file, that a page lists


class Sources:
    """Files by their names; threads may share it.

    Attributes:
      folder: where latents of projected photos are written.
    """

    def __init__(self, folder: str, latents: typing.Sequence[str] = (), directions: typing.Sequence[str] = ()):
        """Reads files, and the photos that were projected into the folder before, so that old links find them.

        Args:
          folder: it is made when the first photo was projected.
          latents: paths of files of latents.
          directions: paths of files of directions.

        Raises:
          UserError: a file is missing, damaged, or something else.
        """
        self.folder = folder
        self._lock = threading.Lock()
        self._paths, self._latents, self._directions = {}, {}, {}
        self._earlier = set()  # names of photos of an earlier viewer, perhaps one of another network
        for path in latents:
            self._add(self._latents, path, Latents.load(path))
        for path in directions:
            self._add(self._directions, path, latent_file.load_directions(path))
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        for path in (os.path.join(folder, name) for name in names if _PROJECTED.fullmatch(name)):
            try:
                if path not in latents:
                    self._earlier.add(self._add(self._latents, path, Latents.load(path)))
            except UserError as error:
                print(f'left out: {error}', flush=True)
        self._number = max([int(_PROJECTED.fullmatch(name)[1]) for name in names if _PROJECTED.fullmatch(name)] or [0])

    def latents(self, name: str) -> Latents:
        """Returns the latents of a name; raises UserError for a name that is not in the table."""
        return self._found(self._latents, name)

    def directions(self, name: str) -> Directions:
        """Returns the directions of a name; raises UserError for a name that is not in the table."""
        return self._found(self._directions, name)

    def with_paths(self, recipe: Recipe) -> Recipe:
        """Returns a recipe with the paths of files in the place of their names, for a command line."""
        return recipe.named(self._paths)

    def with_names(self, recipe: Recipe) -> Recipe:
        """Returns a recipe with the names of files in the place of their paths, if it has some, as addresses have them.

        Raises:
          UserError: it names a file that is not in the table.
        """
        own = {name: name for name in self._paths}
        try:
            return recipe.named({path: name for name, path in self._paths.items()} | own)
        except UserError as error:
            raise UserError(str(error), remedy=_NAME_IT) from None

    def listed(self) -> dict[str, list]:
        """Returns what pages show: rows of files of latents as {id, title, file}, and directions as {name, file}."""
        with self._lock:
            rows = [
                {
                    'id': f'{name}#{row}',
                    'title': title + ' (earlier)' * (name in self._earlier),
                    'file': name,
                    'noise': not isinstance(found.noise, str),
                }
                for name, found in self._latents.items()
                for row, title in enumerate(found.names[:_MOST_ROWS])
            ]
            files = [{'file': name, 'names': list(found.names)} for name, found in self._directions.items()]
        return {'latents': rows, 'directions': files}

    def keep(self, found: Projection, title: str, lod: float) -> str:
        """Writes the latents of a projected photo to a file of the folder.

        Args:
          found: of one image.
          title: what people call it.
          lod: see `Latents`.

        Returns:
          The name of the file.

        Raises:
          UserError: it cannot be written.
        """
        kept = Latents(found.ws, (title,), found.noise or 'const', lod)
        with self._lock:
            self._number += 1
            while os.path.exists(os.path.join(self.folder, f'projected-{self._number:04d}.npz')):
                self._number += 1  # another viewer works in the same folder
            name = f'projected-{self._number:04d}.npz'
        path = os.path.join(self.folder, name)
        try:
            os.makedirs(self.folder, exist_ok=True)
            kept.save(path)
        except OSError as error:
            raise unwritable('outdir', self.folder, error) from None
        self._add(self._latents, path, kept)
        return name

    def _add(self, table, path, value):
        with self._lock:
            name, number = os.path.basename(path), 2
            while name in self._paths:  # two folders may hold files of one name
                stem, suffix = os.path.splitext(os.path.basename(path))
                name, number = f'{stem}-{number}{suffix}', number + 1
            self._paths[name], table[name] = path, value
        return name

    def _found(self, table, name):
        if name not in table:
            raise UserError(f'{name} is not among the files that the viewer knows', field='recipe', remedy=_NAME_IT)
        return table[name]
