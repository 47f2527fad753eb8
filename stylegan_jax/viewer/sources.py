"""The files of latents and directions that pages may name. What a page sends is a name in a table, never a path."""

import contextlib
import os
import re
import secrets
import threading
import typing

from stylegan_jax.editing import latent_file
from stylegan_jax.editing.directions import Directions
from stylegan_jax.editing.latent_file import Latents
from stylegan_jax.editing.projection import Projection
from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.errors import UserError, unwritable
from stylegan_jax.runtime.recent import Recent

_PROJECTED = re.compile(r'projected-(\d{4,6})\.npz', re.ASCII)
_NAME_IT = 'name it by --latents or --directions when you start the viewer, or its folder by --outdir'
_MOST_ROWS = 200  # of a file, that a page lists
_MOST_LISTED = 200  # photos that a page lists, the newest ones
_MOST_BYTES = 2**28  # of latents of photos in memory; those of 1024x1024 have 11 MB with their noise inputs
_LONGEST_WRITING = 3.0  # seconds that the end of the viewer waits for a file


class Sources:
    """Files by their names; threads may share it.

    Files that were named when the viewer started are in memory. Those of photos are read when they are asked for, and
    the least recently used ones leave the memory again.

    Attributes:
      folder: where latents of projected photos are written.
    """

    def __init__(self, folder: str, latents: typing.Sequence[str] = (), directions: typing.Sequence[str] = ()):
        """Reads files, and finds the photos that were projected into the folder before, so that old links find them.

        Args:
          folder: it is made when the first photo was projected.
          latents: paths of files of latents.
          directions: paths of files of directions.

        Raises:
          UserError: a file is missing, damaged, or something else.
        """
        self.folder = folder
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._paths, self._latents, self._directions = {}, {}, {}
        self._rows = {}  # what pages list, by the names of files
        self._recent: Recent[str, Latents] = Recent(_MOST_BYTES, _size)  # latents of photos
        for path in latents:
            found = Latents.load(path)
            self._list(self._add(self._latents, path, found), found)
        for path in directions:
            self._add(self._directions, path, latent_file.load_directions(path))
        names = [name for name in os.listdir(folder) if _PROJECTED.fullmatch(name)] if os.path.isdir(folder) else []
        names.sort(key=lambda name: int(_PROJECTED.fullmatch(name)[1]))
        for place, name in enumerate(names, _MOST_LISTED - len(names)):
            path = os.path.join(folder, name)
            if path not in latents:
                self._find_earlier(path, listed=place >= 0)
        self._number = max([int(_PROJECTED.fullmatch(name)[1]) for name in names] or [0])

    def latents(self, name: str) -> Latents:
        """Returns the latents of a name.

        Raises:
          UserError: the name is not in the table, or the file of a photo has gone.
        """
        with self._lock:
            found = self._latents.get(name) or self._recent.found(name)
            path = self._paths.get(name)
        if found is None and path is not None and name not in self._directions:
            try:
                found = self._recent.keep(name, Latents.load(path))
            except UserError as error:
                raise UserError(f'the latents of a photo are no longer there: {error}', field='recipe') from None
        return self._known(name, found)

    def directions(self, name: str) -> Directions:
        """Returns the directions of a name; raises UserError for a name that is not in the table."""
        return self._known(name, self._directions.get(name))

    def with_paths(self, recipe: Recipe) -> Recipe:
        """Returns a recipe with the paths of files in the place of their names, for a command line."""
        return recipe.named(self._paths)

    def with_names(self, recipe: Recipe) -> Recipe:
        """Returns a recipe with the names of files in the place of their paths, if it has some, as addresses have them.

        Raises:
          UserError: it names a file that is not in the table.
        """
        with self._lock:
            paths = dict(self._paths)  # a photo may be added by another thread
        try:
            return recipe.named({path: name for name, path in paths.items()} | {name: name for name in paths})
        except UserError as error:
            raise UserError(str(error), remedy=_NAME_IT) from None

    def listed(self) -> dict[str, list]:
        """Returns what pages show: rows of files of latents as {id, title, file}, and directions as {name, file}."""
        with self._lock:
            rows = [row for rows in self._rows.values() for row in rows]
            files = [{'file': name, 'names': list(found.names)} for name, found in self._directions.items()]
        return {'latents': rows, 'directions': files}

    def keep(self, found: Projection, title: str, lod: float) -> str:
        """Writes the latents of a projected photo to a new file of the folder.

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
        temporary, path = os.path.join(self.folder, f'.{secrets.token_hex(8)}.npz'), None
        with self._writing:
            try:
                os.makedirs(self.folder, exist_ok=True)
                kept.save(temporary)
                path = self._claimed()
                os.replace(temporary, path)
            except OSError as error:
                for unfinished in filter(None, (temporary, path)):
                    with contextlib.suppress(OSError):
                        os.unlink(unfinished)
                raise unwritable('outdir', self.folder, error) from None
        name = self._add(None, path, kept)
        self._recent.keep(name, kept)
        self._list(name, kept)
        return name

    def close(self) -> None:
        """Waits until a file that is being written is whole; nothing is written afterwards."""
        self._writing.acquire(timeout=_LONGEST_WRITING)

    def _claimed(self):
        """Makes an empty file of a name that nobody else has, as another viewer in the same folder might; its path."""
        while True:
            self._number += 1
            path = os.path.join(self.folder, f'projected-{self._number:04d}.npz')
            with contextlib.suppress(FileExistsError), open(path, 'xb'):
                return path

    def _find_earlier(self, path, listed):
        """Takes in a photo of an earlier viewer, perhaps one of another network."""
        try:
            found = Latents.load(path) if listed else None  # the others are read when somebody asks for them
        except UserError as error:
            print(f'left out: {error}', flush=True)
            return
        name = self._add(None, path, None)
        if listed:
            self._recent.keep(name, found)
            self._list(name, found, ' (earlier)')

    def _add(self, table, path, value):
        with self._lock:
            name, number = os.path.basename(path), 2
            while name in self._paths:  # two folders may hold files of one name
                stem, suffix = os.path.splitext(os.path.basename(path))
                name, number = f'{stem}-{number}{suffix}', number + 1
            self._paths[name] = path
            if table is not None:
                table[name] = value
        return name

    def _list(self, name, found, words=''):
        """Adds the rows of a file to those that pages list; the oldest photo leaves the list if there are too many."""
        noise = not isinstance(found.noise, str)
        rows = [
            {'id': f'{name}#{row}', 'title': title + words, 'file': name, 'noise': noise}
            for row, title in enumerate(found.names[:_MOST_ROWS])
        ]
        with self._lock:
            self._rows[name] = rows
            photos = [one for one in self._rows if one not in self._latents]
            if len(photos) > _MOST_LISTED:
                del self._rows[photos[0]]

    def _known(self, name, found):
        if found is None:
            raise UserError(f'{name} is not among the files that the viewer knows', field='recipe', remedy=_NAME_IT)
        return found


def _size(latents):
    """Bytes of latents in memory."""
    noise = () if isinstance(latents.noise, str) else latents.noise
    return latents.ws.nbytes + sum(layer.nbytes for layer in noise)
