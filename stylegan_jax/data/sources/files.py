"""Folders and zips of PNG, JPEG and WebP files."""

import abc
import collections
import os
import pathlib
import stat
import typing
import zipfile
from collections.abc import Sequence

import numpy as np
from PIL import Image

from stylegan_jax.data import labels as labels_module
from stylegan_jax.data.fitting import Unusable
from stylegan_jax.data.sources import label_files
from stylegan_jax.data.sources.base import (
    PREPARATION,
    PerProcess,
    PictureSource,
    SettingNames,
    check_count,
    check_labels_choice,
    digest_of,
    stamp_of,
)
from stylegan_jax.data.sources.own_files import enclosing, find_own
from stylegan_jax.data.sources.pictures import SUFFIXES, decode, failing_as_unusable, upright_size
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.stand_ins import stand_in_at

_ARCHIVES = ('.zip', '.tar', '.tgz', '.tar.gz', '.7z', '.rar')


class Container(abc.ABC):
    """Files below a folder or in a zip, by their relative names with forward slashes. Picklable.

    Attributes:
      kind: 'folder' or 'zip'.
      path: where it is.
      notes: lines for people on what `names` found that no name is for.
    """

    kind: str
    path: pathlib.Path
    notes: tuple[str, ...] = ()

    @abc.abstractmethod
    def names(self) -> set[str]:
        """Returns the names of all files, and replaces `notes`."""

    @abc.abstractmethod
    def open(self, name: str) -> typing.BinaryIO:
        """Opens a file for reading."""

    @abc.abstractmethod
    def read(self, name: str) -> bytes:
        """Returns the content of a file."""

    @abc.abstractmethod
    def sizes(self, names: Sequence[str]) -> list[int]:
        """Returns the sizes of files [bytes]."""

    @abc.abstractmethod
    def stamps(self, names: Sequence[str]) -> list[str]:
        """Returns the fingerprints of files; see `PictureSource.fingerprints`."""


class PictureFiles(PictureSource):
    """The pictures of a folder or zip, in the order of their names.

    Attributes:
      names: relative path of every picture, with forward slashes.
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


def open_container(path: str | os.PathLike, settings: SettingNames = PREPARATION) -> Container:
    """Opens a folder or zip; nothing in it is read yet.

    Raises:
      UserError: there is no folder or zip at `path`.
    """
    path = pathlib.Path(path).expanduser()
    if not path.exists():
        raise UserError(f'{path}: there is no such folder or zip', remedy=f'check {settings.path}')
    if path.is_dir():
        return _Folder(path)
    if path.suffix.lower() == '.zip' or zipfile.is_zipfile(path):
        return _Zip(path)
    kind = stand_in_at(path)
    raise UserError(
        f'{path}: neither a folder nor a zip' + (f': it is {kind}' if kind else ''), remedy=f'check {settings.path}'
    )


def _is_picture(name):
    parts = name.split('/')
    hidden = any(part.startswith('.') or part == '__MACOSX' for part in parts)
    return not hidden and name.lower().endswith(SUFFIXES)


def _pictures_to_train_on(container, found, settings):
    """Returns the pictures among the files of a folder or zip, sorted, and notes on those that are left out."""
    names = {name for name in found if _is_picture(name)}
    own = find_own(found, names, container.read)
    names -= {name for each in own for name in each.pictures}
    if names:
        notes = [
            f'{container.path / each.folder} is {each.what}; left out of it: {_listed(each.pictures)}'
            for each in own
            if each.pictures
        ]
        others = [name for name in found if name.lower().endswith((*_ARCHIVES, '.tfrecords', 'data.mdb'))]
        if others:
            notes.append(f'{container.path}: not read, beside the pictures: {_listed(others)}')
        return sorted(names), notes
    own_folder = (container.path / own[0].folder, own[0].what) if own else None
    if own_folder is None and container.kind == 'folder':
        own_folder = enclosing(container.path)
    if own_folder is not None:
        where, what = own_folder
        remedy = f'give a {settings.path} that has some'
        if what == 'a prepared data set':
            remedy = f'train on it as it is, with data.path={where}'
        raise UserError(f'{container.path}: there are no pictures to train on in it; {where} is {what}', remedy=remedy)
    raise UserError(f'{container.path}: there are no PNG, JPEG or WebP files in it', remedy=_remedy(found, settings))


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


def _listed(names, most=3):
    """Returns the first of some names and how many more there are."""
    names = sorted(names)
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')


class _Folder(Container):
    """Files below a folder."""

    kind = 'folder'

    def __init__(self, path):
        self.path = path

    def names(self):
        # Links to folders are followed, each real folder once: under its own path, or else under the first link to it.
        names, dangling, links, seen = set(), [], [], {_identity(self.path)}
        pending = [('', False)]  # prefixes of folders, and whether a link led there
        while pending or links:
            if not pending:
                link = links.pop(0)
                if _identity(self.path / link) in seen:
                    continue
                seen.add(_identity(self.path / link))
                pending.append((link, True))
            folder, is_linked = pending.pop()
            for entry in _entries(os.path.join(self.path, folder)):
                name = f'{folder}/{entry.name}' if folder else entry.name
                if not _is_dir(entry):
                    names.add(name)
                    if entry.is_symlink() and not _is_picture(name) and not os.path.exists(entry.path):
                        dangling.append(f'{name} -> {os.readlink(entry.path)}')
                elif entry.is_symlink():
                    links = sorted([*links, name])
                elif not is_linked or _identity(entry.path) not in seen:
                    seen.add(_identity(entry.path))
                    pending.append((name, is_linked))
        self.notes = (f'{self.path}: links to nothing: {_listed(dangling)}',) if dangling else ()
        return names

    def open(self, name):
        try:
            return open(self.path / name, 'rb')
        except OSError as error:
            if os.path.islink(self.path / name) and not os.path.exists(self.path / name):
                raise Unusable(f'a link to nothing ({os.readlink(self.path / name)})') from error
            raise

    def read(self, name):
        with self.open(name) as file:
            return file.read()

    def sizes(self, names):
        return [(self.path / name).stat().st_size for name in names]

    def stamps(self, names):
        return [stamp_of(self.path / name) for name in names]


def _entries(folder):
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f'{folder}: cannot be listed ({error.strerror})', remedy='check its permissions') from error


def _is_dir(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(path):
    status = os.stat(path)
    return status.st_dev, status.st_ino


class _Zip(Container):
    """Members of a zip; reading them from several threads is safe."""

    kind = 'zip'

    def __init__(self, path):
        self.path = path
        self._zip = PerProcess(_open_zip, path)

    def names(self):
        members = [info for info in self._zip.get().infolist() if not info.is_dir()]
        times = collections.Counter(info.filename for info in members)
        twice = [name for name, number in times.items() if number > 1]
        links = [info.filename for info in members if stat.S_ISLNK(info.external_attr >> 16)]
        self.notes = ()
        if twice:
            self.notes += (f'{self.path}: the last of several files is read where they share a name: {_listed(twice)}',)
        if links:
            self.notes += (
                f'{self.path}: links in a zip are not followed: {_listed(links)}; pack the files that they lead to',
            )
        return set(times)

    def open(self, name):
        return self._zip.get().open(name)

    def read(self, name):
        return self._zip.get().read(name)

    def sizes(self, names):
        return [self._zip.get().getinfo(name).file_size for name in names]

    def stamps(self, names):
        # Of the zip as it is now, which may be another one than when it was opened.
        if not self.path.exists():
            return ['absent'] * len(names)
        with _open_zip(self.path) as archive:
            members = {info.filename: f'{info.file_size} bytes of CRC {info.CRC:08x}' for info in archive.infolist()}
        return [members.get(name, 'absent') for name in names]


def _open_zip(path):
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        if kind := stand_in_at(path):
            raise UserError(f'{path}: cannot be opened as a zip: it is {kind}') from error
        raise UserError(f'{path}: cannot be opened as a zip ({error}); copy or download it again') from error
