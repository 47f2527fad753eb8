"""Folders and zips: the files in them, by their relative names."""

import abc
import collections
import os
import pathlib
import stat
import typing
import zipfile
from collections.abc import Iterable, Sequence

from stylegan_jax.data.fitting import Unusable
from stylegan_jax.data.sources.base import PREPARATION, PerProcess, SettingNames, stamp_of
from stylegan_jax.data.sources.pictures import SUFFIXES
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.stand_ins import stand_in_at


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


def is_picture(name: str) -> bool:
    """Says whether a file has the relative name of a picture; files without a suffix may be pictures as well."""
    return not is_hidden(name) and name.lower().endswith(SUFFIXES)


def is_hidden(name: str) -> bool:
    """Says whether a file is not meant to be seen, by its relative name."""
    return any(part.startswith('.') or part == '__MACOSX' for part in name.split('/'))


def listed(names: Iterable[str], most: int = 3) -> str:
    """Returns the first of some names, and how many more there are, as text."""
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
                    if entry.is_symlink() and not is_picture(name) and not os.path.exists(entry.path):
                        dangling.append(f'{name} -> {os.readlink(entry.path)}')
                elif entry.is_symlink():
                    links = sorted([*links, name])
                elif not is_linked or _identity(entry.path) not in seen:
                    seen.add(_identity(entry.path))
                    pending.append((name, is_linked))
        self.notes = (f'{self.path}: links to nothing: {listed(dangling)}',) if dangling else ()
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
            self.notes += (f'{self.path}: the last of several files is read where they share a name: {listed(twice)}',)
        if links:
            self.notes += (
                f'{self.path}: links in a zip are not followed: {listed(links)}; pack the files that they lead to',
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
