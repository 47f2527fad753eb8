"""Folders and zips of PNG, JPEG and WebP files."""

import os
import pathlib
import zipfile

from stylegan_jax.data import labels as labels_module
from stylegan_jax.data.fitting import Unusable
from stylegan_jax.data.sources.base import PerProcess, PictureSource, check_count, check_labels_choice, stamp_of
from stylegan_jax.data.sources.pictures import SUFFIXES, decode, failing_as_unusable, upright_size
from stylegan_jax.errors import UserError

_WITHOUT = 'leave labels out (--labels=none)'


class PictureFiles(PictureSource):
    """The pictures of a folder or zip, in the order of their names.

    Attributes:
      names: relative path of every picture, with forward slashes.
      container: the folder or zip, see `open_container`.
    """

    def __init__(self, path, *, labels='auto', count=0, flag='--source'):
        """Lists the files.

        Args:
          path: a folder, searched to any depth, or a .zip.
          labels: 'auto' (those of its dataset.json, if it has one), 'none', or 'folders' (the first folder of each
            path is its class).
          count: use the first so many; 0 = all.
          flag: which flag gave the path, for messages.

        Raises:
          UserError: there are no pictures at `path`, or labels are wrong.
        """
        check_labels_choice(labels, ('auto', 'none', 'folders'), path)
        path = pathlib.Path(path).expanduser()
        self.container = container = open_container(path, flag)
        self.kind, self.path = container.kind, str(path)
        found = container.list()
        names = sorted(name for name in found if _is_picture(name))
        if not names:
            remedy = (
                'it holds an LMDB: unpack it and give that folder'
                if any(_is_lmdb(name) for name in found)
                else f'give a {flag} that has some'
            )
            raise UserError(f'{path}: there are no PNG, JPEG or WebP files in it; {remedy}')
        self.names = tuple(names[: check_count(count, len(names), path)])
        self._label_file = labels_module.FILE_NAME if labels == 'auto' and labels_module.FILE_NAME in found else None
        if labels == 'folders':
            self.labels, self.label_names = labels_module.labels_of_folders(names, path)
            self.labels = self.labels[: len(self.names)]
        else:
            text = read_label_file(container, _WITHOUT) if labels == 'auto' else None
            self.labels = labels_module.find_labels(text, path / labels_module.FILE_NAME, self.names, _WITHOUT)

    def name(self, index):
        return self.names[index]

    def picture(self, index):
        with failing_as_unusable():
            content = self.container.read(self.names[index])
        return decode(content)

    def size(self, index):
        """Returns (height, width) of a picture, without decoding it; raises Unusable."""
        with failing_as_unusable(), self.container.open(self.names[index]) as file:
            return upright_size(file)

    def fingerprints(self):
        names = self.names + ((self._label_file,) if self._label_file else ())
        return {f'{self.path}/{name}': stamp for name, stamp in zip(names, self.container.stamps(names))}


def read_label_file(container, without):
    """Returns the bytes of the dataset.json of a folder or zip; None if there is none.

    Args:
      container: what `open_container` returned.
      without: what messages say about doing without labels.

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
            f'{container.path / labels_module.FILE_NAME}: cannot be read ({error}); repair it, or {without}'
        ) from error


def open_container(path, flag):
    """Opens a folder or zip as something with `kind`, `path`, `has(name)`, `list()`, `open(name)`, `read(name)`,
    `sizes(names)` [bytes] and `stamps(names)`.

    Raises:
      UserError: there is no folder or zip at `path`.
    """
    if not path.exists():
        raise UserError(f'{path}: there is no such folder or zip; check {flag}')
    if path.is_dir():
        return _Folder(path)
    if path.suffix.lower() == '.zip' or zipfile.is_zipfile(path):
        return _Zip(path)
    raise UserError(f'{path}: neither a folder nor a zip; check {flag}')


def _is_picture(name):
    parts = name.split('/')
    hidden = any(part.startswith('.') or part == '__MACOSX' for part in parts)
    return not hidden and name.lower().endswith(SUFFIXES)


def _is_lmdb(name):
    return name.rpartition('/')[2] == 'data.mdb'


class _Folder:
    """Files below a folder."""

    kind = 'folder'

    def __init__(self, path):
        self.path = path

    def has(self, name):
        return (self.path / name).is_file()

    def list(self):
        def fail(error):
            raise UserError(f'{error.filename}: cannot be listed ({error.strerror}); check its permissions')

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


class _Zip:
    """Members of a zip; reading them from several threads is safe."""

    kind = 'zip'

    def __init__(self, path):
        self.path = path
        self._zip = PerProcess(_open_zip, path)

    def has(self, name):
        return name in self.list()

    def list(self):
        return {name for name in self._zip.get().namelist() if not name.endswith('/')}

    def open(self, name):
        return self._zip.get().open(name)

    def read(self, name):
        return self._zip.get().read(name)

    def sizes(self, names):
        return [self._zip.get().getinfo(name).file_size for name in names]

    def stamps(self, names):
        """Of the file as it is now, which may be another than when it was opened."""
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
