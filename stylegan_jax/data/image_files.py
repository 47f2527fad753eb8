"""A folder or a zip of PNG and JPEG files as full-size pixels and labels, not yet as batches.

Every file is looked at once when the set is opened, so that what is usable is known, and the same, at
every start. A small set is decoded into memory then; of a large one only headers are read.
"""
import contextlib
import io
import logging
import os
import pathlib
import zipfile

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stylegan_jax.data.labels import FILE_NAME, count_classes, read_labels
from stylegan_jax.data.pixels import box_reduce, central_crop, fits_memory, in_threads, to_uint8
from stylegan_jax.errors import UserError

MAX_UNUSABLE = 0.01                 # of the files; beyond this the set is wrong, not a file
_SUFFIXES = ('.png', '.jpg', '.jpeg')
_EXIF_ORIENTATION = 0x0112
_log = logging.getLogger(__name__)


class ImageFiles:
    """The usable images of a folder or zip, in the order of their names.

    Attributes:
      image: the ImageConfig that the pixels follow.
      path: the folder or zip.
      names: relative path of every usable image, with forward slashes.
      labels: one-hot, float32 [len, K].
      label_names: None; files have numbered classes.
      pixels: uint8 [len, H, W, C] while that fits the memory budget, else None.
    """
    label_names = None

    def __init__(self, path, image, count=0):
        """Opens the set.

        Args:
          path: a folder, searched to any depth, or a .zip.
          image: ImageConfig; files are cropped centrally to its aspect ratio and reduced to its full size.
          count: use the first so many files; 0 = all.

        Raises:
          UserError: there is nothing usable at `path`, too many files are unusable, or labels are wrong.
        """
        if image.channels not in (1, 3, 4):
            raise UserError(f'image.channels={image.channels}: '
                            'image files have 1 (grey), 3 (RGB) or 4 (RGBA)')
        self.path = path = pathlib.Path(path).expanduser()
        self.image = image
        self._files = _open_container(path)
        names = sorted(name for name in self._files.names if _is_image(name))
        if not names:
            raise UserError(f'{path}: there are no PNG or JPEG files in it; '
                            'give a folder or zip that has some')
        if count > len(names):
            raise UserError(f'data.count={count}: {path} has only {len(names)} images; '
                            'give fewer, or set --config.data.count=0 to use all')
        names = names[:count or None]
        labels = read_labels(self._labels_file() if image.label_dim else None, self.path / FILE_NAME, names,
                             image.label_dim)

        self._damaged = set()            # found when an image of a large set was read
        self.pixels = None
        if fits_memory(len(names), image.shape):
            self.pixels = np.empty([len(names), *image.shape], np.uint8)
        reasons = in_threads(lambda index: self._examine(names, index), len(names), 'reading images')
        _report_unusable(path, names, reasons)
        usable = np.array([reason is None for reason in reasons])
        self.names = tuple(name for name, reason in zip(names, reasons) if reason is None)
        self.labels = labels[usable]
        if self.pixels is not None and not usable.all():
            for row, index in enumerate(np.flatnonzero(usable)):        # in place: a copy may not fit
                self.pixels[row] = self.pixels[index]
            self.pixels = self.pixels[:len(self)]

    def __len__(self):
        return len(self.names)

    def full_size(self, index):
        """Returns the pixels of one image, uint8 [H, W, C].

        Where a file had a good header when the set was opened but cannot be decoded, it is named once and the next
        good image of its class takes its place.

        Raises:
          UserError: too many files cannot be decoded.
        """
        if self.pixels is not None:
            return self.pixels[index]
        for other in range(index, index + len(self)):
            other %= len(self)
            if np.array_equal(self.labels[other], self.labels[index]):
                try:
                    return _decode(self._files, self.names[other], self.image)
                except _Unusable as error:
                    self._note_damage(other, error)
        raise UserError(f'{self.path}: no image of the class of {self.names[index]} can be read; repair the set')

    def _note_damage(self, index, error):
        if index not in self._damaged:
            self._damaged.add(index)
            _log.warning('%s: skipping %s (%s)', self.path, self.names[index], error)
        if len(self._damaged) > MAX_UNUSABLE * len(self):
            raise UserError(f'{self.path / self.names[index]}: {error}; {len(self._damaged)} of {len(self)} images '
                            'cannot be read so far; repair or remove them') from error

    def _examine(self, names, index):
        """Decodes a file into memory, or looks at its header; returns why it is not usable, or None."""
        try:
            if self.pixels is None:
                with _failing_as_unusable(), self._files.open(names[index]) as file:
                    _open_picture(file, self.image)
            else:
                self.pixels[index] = _decode(self._files, names[index], self.image)
        except _Unusable as error:
            return str(error)
        return None

    def _labels_file(self):
        if FILE_NAME not in self._files.names:
            return None
        with _failing_as_user_error(self.path):
            return self._files.read(FILE_NAME)


def find_label_dim(path):
    """Returns how many classes the dataset.json of a folder or zip has; 0 without such labels.

    Raises:
      UserError: there is nothing at `path`, or its dataset.json cannot be read.
    """
    path = pathlib.Path(path).expanduser()
    files = _open_container(path)
    if FILE_NAME not in files.names:
        return 0
    with _failing_as_user_error(path):
        text = files.read(FILE_NAME)
    return count_classes(text, path / FILE_NAME)


def _is_image(name):
    parts = name.split('/')
    hidden = any(part.startswith('.') or part == '__MACOSX' for part in parts)
    return not hidden and name.lower().endswith(_SUFFIXES)


@contextlib.contextmanager
def _failing_as_user_error(path):
    """Turns what can go wrong when the labels of `path` are read into a UserError."""
    try:
        with _failing_as_unusable():
            yield
    except _Unusable as error:
        raise UserError(f'{path / FILE_NAME}: cannot be read ({error}); '
                        'repair it, or train without labels (--noconfig.data.find_labels)') from error


def _report_unusable(path, names, reasons):
    """Warns of every unusable file; raises a UserError when they are too many."""
    unusable = [f'{name} ({reason})' for name, reason in zip(names, reasons) if reason is not None]
    if len(unusable) > MAX_UNUSABLE * len(names):
        raise UserError(f'{path}: {len(unusable)} of {len(names)} images cannot be used, such as '
                        f'{", ".join(unusable[:3])}; repair or remove them, or check --config.image')
    for description in unusable:
        _log.warning('%s: skipping %s', path, description)


class _Folder:
    """Files below a folder."""

    def __init__(self, path):
        def fail(error):
            raise UserError(f'{error.filename}: cannot be listed ({error.strerror}); check its permissions')
        self._path = path
        self.names = {(pathlib.Path(folder) / name).relative_to(path).as_posix()
                      for folder, _, names in os.walk(path, onerror=fail) for name in names}

    def open(self, name):
        return open(self._path / name, 'rb')

    def read(self, name):
        return (self._path / name).read_bytes()


class _Zip:
    """Members of a zip; reading them from several threads is safe."""

    def __init__(self, path):
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(f'{path}: cannot be opened as a zip ({error}); '
                            'copy or download it again') from error
        self.names = {name for name in self._zip.namelist() if not name.endswith('/')}

    def open(self, name):
        return self._zip.open(name)

    def read(self, name):
        return self._zip.read(name)


def _open_container(path):
    if not path.exists():
        raise UserError(f'{path}: there is no such folder or zip; check --config.data.path')
    if path.is_dir():
        return _Folder(path)
    if path.suffix.lower() == '.zip' or zipfile.is_zipfile(path):
        return _Zip(path)
    raise UserError(f'{path}: neither a folder nor a zip; check --config.data.path')


class _Unusable(Exception):
    """Why a file cannot be used."""


@contextlib.contextmanager
def _failing_as_unusable():
    """Turns any exception into _Unusable: damaged files make zipfile and Pillow raise nearly anything."""
    try:
        yield
    except _Unusable:
        raise
    except UnidentifiedImageError as error:
        raise _Unusable('not a PNG or JPEG image') from error
    except Exception as error:
        raise _Unusable(f'{type(error).__name__}: {error}') from error


def _open_picture(file, image):
    """Reads the header of a picture.

    Returns:
      A Pillow image, not decoded yet, and the box to cut out of it once it is upright.

    Raises:
      _Unusable: it is not a picture, or smaller than full size.
    """
    with _failing_as_unusable():
        picture = Image.open(file, formats=('PNG', 'JPEG'))
        # Only JPEG keeps the orientation in its header; asking a PNG would decode it.
        turned = _is_jpeg(picture) and picture.getexif().get(_EXIF_ORIENTATION) in (5, 6, 7, 8)
    width, height = picture.size[::-1] if turned else picture.size
    full_height, full_width, _ = image.shape
    box = left, top, right, bottom = central_crop(height, width, (full_height, full_width))
    if right - left < full_width or bottom - top < full_height:
        raise _Unusable(f'its {width}x{height} pixels are too few for {full_width}x{full_height}')
    return picture, box


def _is_jpeg(picture):
    return picture.format in ('JPEG', 'MPO')    # MPO: a JPEG with more pictures attached, as phones write


def _decode(files, name, image):
    """Returns full-size pixels, uint8 [H, W, C]; raises _Unusable."""
    with _failing_as_unusable():
        picture, box = _open_picture(io.BytesIO(files.read(name)), image)
        upright = ImageOps.exif_transpose(picture) if _is_jpeg(picture) else picture
        pixels = _to_channels(upright.crop(box), image.channels)
    return to_uint8(box_reduce(pixels, *image.shape[:2]))


def _to_channels(picture, channels):
    """Returns [H, W, C]: uint8, or unrounded float32 where transparency is composited on white."""
    if picture.mode.startswith('I'):    # 16-bit grey: the high byte, as Pillow does with 16-bit colour
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if channels == 4:
        return np.asarray(picture.convert('RGBA'))
    if not picture.has_transparency_data:
        pixels = np.asarray(picture.convert('L' if channels == 1 else 'RGB'))
        return pixels.reshape(*pixels.shape[:2], channels)
    picture = picture.convert('RGBA')
    pixels = np.asarray(picture.convert('LA') if channels == 1 else picture).astype(np.float32)
    return 255 + (pixels[..., :-1] - 255) * (pixels[..., -1:] / 255)
