"""Which files of a folder or zip this package wrote, so that none of them is taken for a picture to train on.

They are known by the files beside them that only this package writes; the modules that write them are named below.
"""

import collections
import io
import json
import os
import pathlib
import re
import typing
import zipfile
from collections.abc import Callable, Collection

import numpy as np

from stylegan_jax.data.prepared import MARKER, WORK

# Names of the pictures, by kind.
_SHEET = 'contact_sheet.png'  # prepare_data --describe
_OF_RUN = re.compile(r'(fakes\d+|reals)\.png')  # run.sample_grid
_OF_PROJECTION = ('projection.png', 'current.png', 'optimisation.webp')  # project
_OF_FIGURES = tuple(  # figures.catalogue
    f'{name}.png'
    for name in ('uncurated', 'style-mixing', 'noise-detail', 'noise-components', 'truncation', 'style-table')
)
_GRID, _SEED = 'grid.png', re.compile(r'seed\d{4,}(-class\d+)?\.png')  # generate
_PREPARED = 'stylegan_jax prepared data'  # the format in prepared.json
_CONFIG = {'image', 'generator', 'discriminator', 'schedule', 'train'}  # sections of a run's config.json
_MARKERS = {MARKER, 'config.json', 'latents.npz', _GRID, *_OF_FIGURES}
_MOST_READ = 1 << 26  # bytes of a marker


class OwnFiles(typing.NamedTuple):
    """What this package wrote into a folder.

    Attributes:
      folder: relative to the whole, '' for the top.
      what: such as 'a prepared data set'.
      pictures: those of its pictures that are not to be trained on, relative to the whole.
    """

    folder: str
    what: str
    pictures: frozenset[str]


def find_own(found: Collection[str], pictures: Collection[str], read: Callable[[str], bytes]) -> list[OwnFiles]:
    """Finds the folders that this package wrote.

    Args:
      found: all files, relative paths with forward slashes.
      pictures: those of them that would be taken for pictures.
      read: returns the content of a file; whatever it raises means that the file marks nothing.

    Returns:
      Them, in the order of their names.
    """
    beside = collections.defaultdict(set)  # folder -> names in it, of the folders that may be ours
    for name in found:
        folder, _, last = name.rpartition('/')
        if last in _MARKERS:
            beside[folder].add(last)
        elif last == 'plan.json' and (folder == WORK or folder.endswith(f'/{WORK}')):
            beside[folder[: -len(WORK) - 1]].add(MARKER + WORK)
        elif last.endswith('.npz'):
            beside[folder].add(last)
    here = {folder: set() for folder in beside}  # folder -> pictures in it
    for name in pictures:
        folder, _, last = name.rpartition('/')
        if folder in here:
            here[folder].add(last)
    own = []
    for folder in sorted(beside):
        prefix = f'{folder}/' if folder else ''
        for what, names in _kinds(beside[folder], here[folder], lambda name, prefix=prefix: read(prefix + name)):
            own.append(OwnFiles(folder, what, frozenset(prefix + name for name in names)))
    return own


def _kinds(markers, pictures, read):
    """Yields (what, names of pictures) of a folder."""
    if MARKER + WORK in markers or (MARKER in markers and _json(read, MARKER).get('format') == _PREPARED):
        yield 'a prepared data set', pictures & {_SHEET}
    if 'config.json' in markers and _json(read, 'config.json').keys() >= _CONFIG:
        yield 'the folder of a run', {name for name in pictures if _OF_RUN.fullmatch(name)}
    if 'latents.npz' in markers and 'projection.png' in pictures:
        yield 'the folder of a projection', pictures & set(_OF_PROJECTION)
    if _GRID in pictures and any(map(_SEED.fullmatch, pictures)):
        yield 'a folder of generated pictures', {_GRID}
    figures = pictures & set(_OF_FIGURES)
    if len(figures) > 1 or (figures and figures == pictures):
        yield 'a folder of figures', figures
    # latents --apply writes NAME.png and the latents of its rows as NAME.npz.
    moved = {name for name in pictures if f'{name.removesuffix(".png")}.npz' in markers}
    if moved and kind_of_npz(
        lambda: read(f'{min(moved).removesuffix(".png")}.npz')
    ):  # there may be many of another kind
        yield 'a folder of edited pictures', moved


def _json(read, name):
    """Returns the content of a file of JSON if it is a dict, else {}."""
    try:
        content = json.loads(read(name))
    except Exception:  # whatever it is, it is none of ours
        return {}
    return content if isinstance(content, dict) else {}


def kind_of_npz(read: Callable[[], bytes]) -> str | None:
    """Says what an .npz of this package holds, such as 'a network (generator)'; None if it is another's.

    Args:
      read: returns the bytes of the file; whatever it raises means that it is another's.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read())) as archive:
            if archive.getinfo('header.npy').file_size > _MOST_READ:
                return None
            header = json.loads(str(np.load(io.BytesIO(archive.read('header.npy')), allow_pickle=False)))
        kinds = {'stylegan_jax': 'a network', 'stylegan_jax latents': 'latents'}
        return f'{kinds[header["format"]]} ({header["kind"]}) saved by stylegan_jax'
    except Exception:  # of zipfile, NumPy, JSON, missing keys
        return None


def enclosing(path: str | os.PathLike) -> tuple[pathlib.Path, str] | None:
    """Returns the folder of this package that a folder is a part of, and what that is; None if there is none."""
    path = pathlib.Path(os.path.abspath(path))
    for folder in (path, *path.parents[:3]):
        try:
            found = set(os.listdir(folder))
        except OSError:
            continue
        names = found | ({f'{WORK}/plan.json'} & {f'{name}/plan.json' for name in found})
        own = find_own(names, found, lambda name, folder=folder: (folder / name).read_bytes())
        kinds = [each.what for each in own if not each.folder]
        if kinds and (folder == path or kinds[0] in ('a prepared data set', 'the folder of a run')):
            return folder, kinds[0]
    return None
