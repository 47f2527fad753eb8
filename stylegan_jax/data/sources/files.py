"""Folders and zips of encoded pictures."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from stylegan_jax.data import labels as labels_module
from stylegan_jax.data.label_names import names_of_folders
from stylegan_jax.data.sources import label_files
from stylegan_jax.data.sources.base import (
    PREPARATION,
    PictureSource,
    SettingNames,
    check_count,
    check_labels_choice,
    digest_of,
)
from stylegan_jax.data.sources.containers import is_hidden, listed, open_container
from stylegan_jax.data.sources.own_files import enclosing, find_own
from stylegan_jax.data.sources.pictures import (
    KINDS,
    decode,
    describe_passed_over,
    failing_as_unusable,
    pictures_among,
    upright_size,
)
from stylegan_jax.errors import UserError

_ARCHIVES = ('.zip', '.tar', '.tgz', '.tar.gz', '.7z', '.rar')


class PictureFiles(PictureSource):
    """The pictures of a folder or zip, in the order of their names.

    Attributes:
      names: relative path of every picture, with forward slashes.
      class_names: of the K entries of a label, from the folders of a dataset.json's classes; or None.
      container: the folder or zip.
      absence: the reason why labels that were looked for are not there, else None.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        labels: str = 'auto',
        count: int = 0,
        settings: SettingNames = PREPARATION,
        label_dim: int = 0,
    ):
        """Lists the files.

        Args:
          path: a folder, searched to any depth, or a .zip.
          labels: 'auto' (those of its dataset.json, if it has one), 'none', or 'folders' (the first folder of each
            path is its class, below those that all share).
          count: use only the first `count` pictures; 0 = all.
          settings: the names of the caller's settings, for messages.
          label_dim: with 'auto' how many classes there are to be; 0 for as many as the dataset.json numbers.

        Raises:
          UserError: there are no pictures at `path`, or labels are wrong.
        """
        container = open_container(path, settings)
        check_labels_choice(labels, ('auto', 'none', 'folders'), container.path, settings)
        self.container, self.kind, self.path = container, container.kind, str(container.path)
        found = container.names()
        names, notes = _pictures_to_train_on(container, found, settings)
        self.names = tuple(names[: check_count(count, len(names), self.path, settings)])
        self.absence, self._label_files = None, ()
        if labels == 'folders':
            self.labels, self.label_names = labels_module.labels_of_folders(names, self.path)
            self.labels = self.labels[: len(self.names)]
        elif labels == 'none':
            self.labels = np.zeros([len(self.names), 0], np.float32)
        else:
            own = label_files.find_labels(container, found, names, len(self.names), settings, label_dim)
            self.labels, self._label_files, self.absence = own.labels, own.files, own.absence
            notes += own.notes
        self.notes = (*container.notes, *notes)
        self.class_names = self.label_names or names_of_folders(self.names, self.labels)

    def name(self, index: int) -> str:
        return self.names[index]

    def picture(self, index: int) -> Image.Image:
        with failing_as_unusable():
            content = self.container.read(self.names[index])
        return decode(content)

    def size(self, index: int) -> tuple[int, int]:
        with failing_as_unusable(), self.container.open(self.names[index]) as file:
            return upright_size(file)

    def fingerprints(self) -> dict[str, str]:
        names = self.names + self._label_files
        return {f'{self.path}/{name}': stamp for name, stamp in zip(names, self.container.stamps(names))}

    def signature(self, indices: Sequence[int]) -> str:
        names = [self.names[index] for index in indices]
        with failing_as_unusable():
            sizes = self.container.sizes(names)
        return digest_of('\0'.join(f'{name}\0{size}' for name, size in zip(names, sizes)))


def _pictures_to_train_on(container, found, settings):
    """Returns the pictures among the files of a folder or zip, sorted, and notes on those that are left out."""
    # A dataset.json is for labels, and is not said to be passed over.
    visible = sorted(name for name in found if not is_hidden(name) and not label_files.is_label_file(name))
    names, passed_over = pictures_among(visible, lambda name, size: _read_start(container, name, size))
    own = find_own(found, names, container.read)
    left_out = {name for each in own for name in each.pictures}
    names = [name for name in names if name not in left_out]
    if names:
        notes = [
            f'{container.path / each.folder} is {each.what}; left out of it: {listed(each.pictures)}'
            for each in own
            if each.pictures
        ]
        return names, [*notes, *filter(None, [describe_passed_over(passed_over)])]
    own_folder = (container.path / own[0].folder, own[0].what) if own else None
    if own_folder is None and container.kind == 'folder':
        own_folder = enclosing(container.path)
    if own_folder is not None:
        where, what = own_folder
        remedy = f'give a {settings.path} that has some'
        if what == 'a prepared data set':
            remedy = f'train on it as it is, with data.path={where}'
        raise UserError(f'{container.path}: there are no pictures to train on in it; {where} is {what}', remedy=remedy)
    raise UserError(f'{container.path}: there are no {KINDS} files in it', remedy=_remedy(found, settings))


def _read_start(container, name, size):
    try:
        with container.open(name) as file:
            return file.read(size)
    except Exception:  # nothing says that it would be a picture
        return b''


def _remedy(found, settings):
    """Returns what to do where there are no pictures among files."""
    for name in sorted(found):
        last = name.rpartition('/')[2].lower()
        if last == 'data.mdb':
            return 'it holds an LMDB: unpack it and give that folder'
        if last.endswith('.tfrecords'):
            return f'it holds TFRecords ({name}): unpack it and give the folder that they are in'
        if last.endswith(_ARCHIVES):
            return f'it holds the archive {name}: unpack it'
        if last.endswith('.npz'):
            return f'if {name} is what you mean, give that file'
    return f'give a {settings.path} that has some'
