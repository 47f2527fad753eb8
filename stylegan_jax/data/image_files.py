"""A folder or a zip of PNG, JPEG and WebP files as full-size pixels and labels, not yet as batches.

Every file is looked at once when the set is opened, so that what is usable is known, and the same, at
every start. A small set is decoded into memory then; of a large one only headers are read.
"""

import hashlib
import logging
import pathlib

import numpy as np

from stylegan_jax.data.fitting import Unusable, fitted, placement
from stylegan_jax.data.labels import FILE_NAME, WITHOUT, count_classes, read_labels
from stylegan_jax.data.pixels import to_uint8
from stylegan_jax.data.sources.base import MAX_UNUSABLE
from stylegan_jax.data.sources.files import PictureFiles, open_container, read_label_file
from stylegan_jax.data.sources.pictures import failing_as_unusable
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.threads import fits_memory, in_threads

_FLAG = '--config.data.path'
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
      signature: what tells these files, in this order, from others: a digest of their names and sizes, which are the
        same for a copy elsewhere.
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
            raise UserError(f'image.channels={image.channels}: image files have 1 (grey), 3 (RGB) or 4 (RGBA)')
        self.path = path = pathlib.Path(path).expanduser()
        self.image = image
        self._files = PictureFiles(path, labels='none', flag=_FLAG)
        if count > len(self._files):
            raise UserError(
                f'data.count={count}: {path} has only {len(self._files)} images; '
                'give fewer, or set --config.data.count=0 to use all'
            )
        names = self._files.names[: count or None]
        text = read_label_file(self._files.container, WITHOUT) if image.label_dim else None
        labels = read_labels(text, path / FILE_NAME, names, image.label_dim)

        self._damaged = set()  # found when an image of a large set was read
        self.pixels = None
        if fits_memory(len(names), image.shape):
            self.pixels = np.empty([len(names), *image.shape], np.uint8)
        reasons = in_threads(self._examine, len(names), 'reading images')
        _report_unusable(path, names, reasons)
        usable = np.array([reason is None for reason in reasons])
        self._rows = np.flatnonzero(usable)  # of the usable ones among all files
        self.names = tuple(names[row] for row in self._rows)
        self.labels = labels[usable]
        self.signature = self._signature()
        if self.pixels is not None and not usable.all():
            for row, index in enumerate(self._rows):  # in place: a copy may not fit
                self.pixels[row] = self.pixels[index]
            self.pixels = self.pixels[: len(self)]

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
                    return self._decode(self._rows[other])
                except Unusable as error:
                    self._note_damage(other, error)
        raise UserError(f'{self.path}: no image of the class of {self.names[index]} can be read; repair the set')

    def _signature(self):
        with failing_as_unusable():
            sizes = self._files.container.sizes(self.names)
        content = '\0'.join(f'{name}\0{size}' for name, size in zip(self.names, sizes))
        return hashlib.blake2b(content.encode('utf-8', 'surrogateescape'), digest_size=16).hexdigest()

    def _note_damage(self, index, error):
        if index not in self._damaged:
            self._damaged.add(index)
            _log.warning('%s: skipping %s (%s)', self.path, self.names[index], error)
        if len(self._damaged) > MAX_UNUSABLE * len(self):
            raise UserError(
                f'{self.path / self.names[index]}: {error}; {len(self._damaged)} of {len(self)} images '
                'cannot be read so far; repair or remove them'
            ) from error

    def _examine(self, row):
        """Decodes a file into memory, or looks at its header; returns why it is not usable, or None."""
        try:
            if self.pixels is None:
                placement(*self._files.size(row), self.image.shape, 'crop')
            else:
                self.pixels[row] = self._decode(row)
        except Unusable as error:
            return str(error)
        return None

    def _decode(self, row):
        """Returns full-size pixels, uint8 [H, W, C]; raises Unusable."""
        picture = self._files.picture(row)
        with failing_as_unusable():
            return to_uint8(fitted(picture, self.image.shape, fit='crop', resize_filter='box'))


def find_label_dim(path):
    """Returns how many classes the dataset.json of a folder or zip has; 0 without such labels.

    Raises:
      UserError: there is nothing at `path`, or its dataset.json cannot be read.
    """
    path = pathlib.Path(path).expanduser()
    text = read_label_file(open_container(path, _FLAG), WITHOUT)
    return 0 if text is None else count_classes(text, path / FILE_NAME)


def _report_unusable(path, names, reasons):
    """Warns of every unusable file; raises a UserError when they are too many."""
    unusable = [f'{name} ({reason})' for name, reason in zip(names, reasons) if reason is not None]
    if len(unusable) > MAX_UNUSABLE * len(names):
        raise UserError(
            f'{path}: {len(unusable)} of {len(names)} images cannot be used, such as '
            f'{", ".join(unusable[:3])}; repair or remove them, or check --config.image'
        )
    for description in unusable:
        _log.warning('%s: skipping %s', path, description)
