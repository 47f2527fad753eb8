"""Which dataset.json belongs to the pictures of a folder or zip, and what it says of them."""

import typing
from collections.abc import Collection, Sequence

import numpy as np

from stylegan_jax.data import labels as labels_module
from stylegan_jax.data.fitting import Unusable
from stylegan_jax.data.sources.base import SettingNames
from stylegan_jax.data.sources.containers import Container, is_hidden
from stylegan_jax.data.sources.pictures import failing_as_unusable
from stylegan_jax.errors import UserError

_LISTED = 3  # folders in a note


class FoundLabels(typing.NamedTuple):
    """The labels of some pictures.

    Attributes:
      labels: float32 [len, K]; K is 0 if there are none.
      files: the names of the files that decide about them.
      notes: lines for people on where the labels come from, and on what was found but not taken.
      absence: where there are no labels, the reason; else None.
    """

    labels: np.ndarray
    files: tuple[str, ...]
    notes: tuple[str, ...]
    absence: str | None


def find_labels(
    container: Container,
    found: Collection[str],
    pictures: Sequence[str],
    count: int,
    settings: SettingNames,
    label_dim: int = 0,
) -> FoundLabels:
    """Finds the labels of the first pictures of a folder or zip.

    The dataset.json in a folder that all pictures are in is theirs, the uppermost one with labels. One that lies
    elsewhere is taken if it labels all of them.

    Args:
      container: the folder or zip.
      found: all files in it.
      pictures: the pictures in it, sorted; not empty.
      count: of how many of them labels are wanted.
      settings: the names of the caller's settings, for messages.
      label_dim: how many classes there are to be; 0 for as many as a file numbers.

    Raises:
      UserError: the file cannot be read, is malformed, or does not label the pictures.
    """
    root = labels_module.root_of([labels_module.with_slashes(name) for name in pictures])
    names, notes, files = pictures[:count], [], []
    absence = f'{container.path / labels_module.FILE_NAME}: there is no such file'
    for name in _candidates(found):
        folder, where = labels_module.with_slashes(name).rpartition('/')[0], container.path / name
        is_above = not folder or f'{root}/'.startswith(f'{folder}/')
        try:
            files.append(name)
            entries = labels_module.parse_labels(
                _read(container, name, settings.without_labels), where, settings.without_labels
            )
            if not entries:
                if is_above:
                    absence = f'{where}: it has no "labels"'
                if entries is None:
                    notes.append(f'{where}: it has no "labels", and is not taken')
                continue
            matches = labels_module.match_names(entries, names, folder, root)
            labels = labels_module.labels_of_file(entries, matches, where, names, settings.without_labels, label_dim)
        except UserError as error:
            if is_above:
                raise
            files.pop()
            notes.append(f'{where.relative_to(container.path)} is not taken: {error.problem}')
            continue
        if name != labels_module.FILE_NAME:
            notes.append(f'labels are those of {where}')
        return FoundLabels(labels, tuple(files), tuple(notes), None)
    notes += _class_folders(container, pictures)
    return FoundLabels(np.zeros([len(names), 0], np.float32), tuple(files), tuple(notes), absence)


def _candidates(found):
    """Returns all files called dataset.json, in any capitals, the uppermost first."""
    suffix = labels_module.FILE_NAME
    names = [name for name in found if name[-len(suffix) :].lower() == suffix and is_label_file(name)]
    return sorted(names, key=lambda name: (name.count('/'), not name.endswith(suffix), name))


def is_label_file(name: str) -> bool:
    """Says whether a file is called dataset.json, in any capitals, and is not hidden."""
    name = labels_module.with_slashes(name)
    return name.rpartition('/')[2].lower() == labels_module.FILE_NAME and not is_hidden(name)


def _read(container, name, without_labels):
    try:
        with failing_as_unusable():
            return container.read(name)
    except Unusable as error:
        raise UserError(
            f'{container.path / name}: cannot be read ({error})', remedy=f'repair it, or {without_labels}'
        ) from error


def _class_folders(container, pictures):
    """Yields a note where folders look like classes, which are taken only where it is asked for."""
    root, below = labels_module.below_class_root(pictures)
    if not all('/' in name for name in below):
        return
    folders = sorted({name.partition('/')[0] for name in below})
    # Large sets are often cut into folders with numbers for names.
    if 1 < len(folders) <= len(pictures) / 2 and not any(folder.isdigit() for folder in folders):
        some = ', '.join(folders[:_LISTED]) + ', ...' * (len(folders) > _LISTED)
        where = container.path / root if root else container.path
        found = f'no labels; the {len(folders)} folders of {where} ({some})'
        yield f'{found} become classes with prepare_data --labels=folders'
