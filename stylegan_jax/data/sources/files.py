"""Folders and zips of PNG, JPEG and WebP files."""

import abc
import os
import pathlib
import typing
import zipfile
from collections.abc import Sequence

from PIL import Image

from stylegan_jax.data import labels as labels_module
from stylegan_jax.data.fitting import Unusable
from stylegan_jax.data.label_names import names_of_folders
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
from stylegan_jax.data.sources.pictures import SUFFIXES, decode, failing_as_unusable, upright_size
from stylegan_jax.errors import UserError


class Container(abc.ABC):
    """Files below a folder or in a zip, by their relative names with forward slashes. Picklable.

    Attributes:
      kind: 'folder' or 'zip'.
      path: where it is.
    """

    kind: str
    path: pathlib.Path

    @abc.abstractmethod
    def has(self, name: str) -> bool:
        """Says whether there is a file of that name."""

    @abc.abstractmethod
    def names(self) -> set[str]:
        """Returns the names of all files."""

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
      class_names: of the K entries of a label, from the folders of a dataset.json's classes; or None.
      container: the folder or zip.
    """

    def __init__(
        self,
        path: str | os.PathLike | Container,
        *,
        labels: str = 'auto',
        count: int = 0,
        settings: SettingNames = PREPARATION,
    ):
        """Lists the files.

        Args:
          path: a folder, searched to any depth, or a .zip; or one that `open_container` opened.
          labels: 'auto' (those of its dataset.json, if it has one), 'none', or 'folders' (the first folder of each
            path is its class).
          count: use only the first `count` pictures; 0 = all.
          settings: the names of the caller's settings, for messages.

        Raises:
          UserError: there are no pictures at `path`, or labels are wrong.
        """
        container = path if isinstance(path, Container) else open_container(path, settings)
        check_labels_choice(labels, ('auto', 'none', 'folders'), container.path, settings)
        self.container, self.kind, self.path = container, container.kind, str(container.path)
        found = container.names()
        names = sorted(name for name in found if _is_picture(name))
        if not names:
            remedy = (
                'it holds an LMDB: unpack it and give that folder'
                if any(_is_lmdb(name) for name in found)
                else f'give a {settings.path} that has some'
            )
            raise UserError(f'{self.path}: there are no PNG, JPEG or WebP files in it', remedy=remedy)
        self.names = tuple(names[: check_count(count, len(names), self.path, settings)])
        self._label_file = labels_module.FILE_NAME if labels == 'auto' and labels_module.FILE_NAME in found else None
        if labels == 'folders':
            self.labels, self.label_names = labels_module.labels_of_folders(names, self.path)
            self.labels = self.labels[: len(self.names)]
        else:
            text = read_label_file(container, settings.without_labels) if labels == 'auto' else None
            self.labels = labels_module.find_labels(
                text, container.path / labels_module.FILE_NAME, self.names, settings.without_labels
            )
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
        names = self.names + ((self._label_file,) if self._label_file else ())
        return {f'{self.path}/{name}': stamp for name, stamp in zip(names, self.container.stamps(names))}

    def signature(self, indices: Sequence[int]) -> str:
        names = [self.names[index] for index in indices]
        with failing_as_unusable():
            sizes = self.container.sizes(names)
        return digest_of('\0'.join(f'{name}\0{size}' for name, size in zip(names, sizes)))


def read_label_file(container: Container, without_labels: str) -> bytes | None:
    """Returns the bytes of the dataset.json of a folder or zip; None if there is none.

    Args:
      container: the folder or zip.
      without_labels: how to do without labels, for messages.

    Raises:
      UserError: it cannot be read.
    """
    if not container.has(labels_module.FILE_NAME):
        return None
    try:
        with failing_as_unusable():
            return container.read(labels_module.FILE_NAME)
    except Unusable as error:
        raise UserError(
            f'{container.path / labels_module.FILE_NAME}: cannot be read ({error})',
            remedy=f'repair it, or {without_labels}',
        ) from error


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
    raise UserError(f'{path}: neither a folder nor a zip', remedy=f'check {settings.path}')


def _is_picture(name):
    parts = name.split('/')
    hidden = any(part.startswith('.') or part == '__MACOSX' for part in parts)
    return not hidden and name.lower().endswith(SUFFIXES)


def _is_lmdb(name):
    return name.rpartition('/')[2] == 'data.mdb'


class _Folder(Container):
    """Files below a folder."""

    kind = 'folder'

    def __init__(self, path):
        self.path = path

    def has(self, name):
        return (self.path / name).is_file()

    def names(self):
        def fail(error):
            raise UserError(f'{error.filename}: cannot be listed ({error.strerror})', remedy='check its permissions')

        return {
            (pathlib.Path(folder) / name).relative_to(self.path).as_posix()
            for folder, _, names in os.walk(self.path, onerror=fail)
            for name in names
        }

    def open(self, name):
        return open(self.path / name, 'rb')

    def read(self, name):
        return (self.path / name).read_bytes()

    def sizes(self, names):
        return [(self.path / name).stat().st_size for name in names]

    def stamps(self, names):
        return [stamp_of(self.path / name) for name in names]


class _Zip(Container):
    """Members of a zip; reading them from several threads is safe."""

    kind = 'zip'

    def __init__(self, path):
        self.path = path
        self._zip = PerProcess(_open_zip, path)

    def has(self, name):
        return name in self.names()

    def names(self):
        return {name for name in self._zip.get().namelist() if not name.endswith('/')}

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
        raise UserError(f'{path}: cannot be opened as a zip ({error}); copy or download it again') from error
