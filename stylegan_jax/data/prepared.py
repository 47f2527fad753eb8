"""A prepared data set: where its files are, and reading any images at any stage. Making one is `preparation`'s."""

import collections
import contextlib
import json
import os
import pathlib
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data.records import RecordFormat
from stylegan_jax.data.staged_images import StagedImages
from stylegan_jax.errors import UserError, in_one_line

MARKER = 'prepared.json'  # describes the set; it exists only if the set is whole
LABELS = 'labels.npy'
WORK = '.preparing'  # folder of a preparation that is under way
VERSION = '1.0.0'
_READ_BYTES = 1 << 20  # of records per call of the reader: more would not stay in the processor's cache
_OPEN_FILES = 128  # of each process, which may often have 1024
_REMEDY = 'copy the data set again, or remove its folder and prepare it again'


def name_of(out: str | os.PathLike) -> str:
    """Returns the set's name for tfds, made from that of its folder."""
    name = ''.join(c if c.isalnum() else '_' for c in os.path.basename(os.path.normpath(out)).lower())
    return name if name[:1].isalpha() else f'set_{name}'


def folder_of(out: str | os.PathLike, image: ImageConfig, stage: int) -> str:
    """Returns the tfds directory of a stage."""
    return os.path.join(out, 'x'.join(map(str, image.stage_shape(stage))), VERSION)


def shard_name(name: str, shard: int, num_shards: int) -> str:
    """Returns the file name of a shard in the form that tfds expects."""
    return f'{name}-train.array_record-{shard:05d}-of-{num_shards:05d}'


class PreparedImages(StagedImages):
    """A prepared data set, which has all stages at hand. Files are opened when they are first read.

    Attributes:
      path: its folder.
      info: the content of prepared.json.
    """

    def __init__(self, path: str | os.PathLike, image: ImageConfig | None = None, count: int = 0):
        """Opens the set.

        Args:
          path: its folder.
          image: ImageConfig; of the set's base shape and channels, at most its resolution. None for the set's own.
          count: use only the first `count` images; 0 = all.

        Raises:
          UserError: it is not whole, or not as `image` asks for.
        """
        self.path = pathlib.Path(path).expanduser()
        self.info = read_info(self.path)
        stored = ImageConfig(**self.info['image'])
        self.image = image = image or stored
        self.fourth_channel = fourth_channel_of(self.info)
        _check_image(self.path, stored, image)
        self._check_files(image)
        total = self.info['count']
        if count > total:
            raise UserError(
                f'{path} has only {total} images',
                field='data.count',
                value=count,
                remedy='give fewer, or set data.count=0 to use all',
            )
        self._count = count or total
        self.labels = np.zeros([self._count, 0], np.float32)
        if image.label_dim:
            self.labels = self._read_labels(image)
        names = names_of_labels(self.info)
        self.label_names = names if image.label_dim else None
        self._readers = collections.OrderedDict()

    def __len__(self) -> int:
        return self._count

    @property
    def signature(self) -> str:
        """Tells these images, in this order, from others."""
        return f'{self.info["content_hash"]} {self._count}'

    def __getstate__(self):
        return self.__dict__ | {'_readers': collections.OrderedDict()}

    def full_size(self, index: int) -> np.ndarray:
        """Returns one image, uint8 [H, W, C]."""
        return self.stage_images([index], self.image.num_stages - 1)[0]

    def stage_images(self, indices: Sequence[int], stage: int) -> np.ndarray:
        """Reads images at a stage.

        Args:
          indices: which images, int [n].
          stage: which resolution; (h, w) = image.stage_shape(stage).

        Returns:
          uint8 [n, h, w, C].

        Raises:
          UserError: a record cannot be read; the message names the file.
        """
        form = RecordFormat((*self.image.stage_shape(stage), self.image.channels), self.info['encoding'])
        images = np.empty([len(indices), *form.shape], np.uint8)
        at_once = max(1, _READ_BYTES // images[0].nbytes) if len(images) else 1
        # Image i is in the first shard whose end lies beyond i.
        ends = np.cumsum([shard['count'] for shard in self.info['shards']])
        shards = np.searchsorted(ends, indices, side='right')
        for shard in np.unique(shards):
            rows = np.flatnonzero(shards == shard)
            places = np.asarray(indices)[rows] - (ends[shard] - self.info['shards'][shard]['count'])
            path = self._path(stage, shard)
            try:
                reader = self._reader(path)
                for start in range(0, len(places), at_once):
                    records = reader.read([int(place) for place in places[start : start + at_once]])
                    for row, record in zip(rows[start : start + at_once], records, strict=True):
                        images[row] = form.pixels_of(record)
            except Exception as error:  # damaged records fail in every way there is
                raise UserError(f'{path}: a record cannot be read ({in_one_line(error)})', remedy=_REMEDY) from error
        return images

    def _reader(self, path):
        from array_record.python.array_record_module import ArrayRecordReader

        reader = self._readers.pop(path, None) or ArrayRecordReader(path)
        self._readers[path] = reader
        while len(self._readers) > _OPEN_FILES:  # a thread may still read from one: it ends with its last user
            with contextlib.suppress(KeyError):
                self._readers.popitem(last=False)
        return reader

    def _path(self, stage, shard):
        return os.path.join(
            folder_of(self.path, self.image, stage), shard_name(self.info['name'], shard, len(self.info['shards']))
        )

    def _check_files(self, image):
        for stage in range(image.num_stages):
            for shard, entry in enumerate(self.info['shards']):
                path, size = self._path(stage, shard), entry['files'][stage][0]
                found = os.path.getsize(path) if os.path.exists(path) else None
                if found != size:
                    raise UserError(
                        f'{path}: ' + ('is missing' if found is None else f'has {found} bytes instead of {size}'),
                        remedy=_REMEDY,
                    )

    def _read_labels(self, image):
        path = self.path / LABELS
        try:
            labels = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f'{path}: cannot be read ({error})', remedy=_REMEDY) from error
        stored = self.info['image']['label_dim']
        if labels.shape != (self.info['count'], stored) or not np.all(np.isfinite(labels)):
            raise UserError(
                f'{path}: labels of shape {labels.shape} instead of ({self.info["count"]}, {stored}), or not finite',
                remedy=_REMEDY,
            )
        if stored != image.label_dim:
            raise UserError(
                f'{self.path}: it has labels of length {stored}',
                remedy=f'set image.label_dim={stored}, or 0 to ignore them (now {image.label_dim})',
            )
        return np.asarray(labels[: self._count], np.float32)


def is_prepared(path: str | os.PathLike) -> bool:
    """Says whether there is a prepared data set, or one that was begun, in a folder."""
    path = os.path.expanduser(path)
    return bool(path) and (os.path.exists(os.path.join(path, MARKER)) or os.path.isdir(os.path.join(path, WORK)))


def names_of_labels(info: Mapping[str, typing.Any]) -> tuple[str, ...] | None:
    """Returns the names of the entries of labels, from the content of prepared.json; None if they have none."""
    names = info['label_names'] or info.get('class_names')
    return tuple(names) if names else None


def read_info(path: str | os.PathLike) -> dict[str, typing.Any]:
    """Returns the content of prepared.json.

    Raises:
      UserError: there is none, or it cannot be read.
    """
    path = os.path.expanduser(path)
    marker = os.path.join(path, MARKER)
    if not os.path.exists(marker):
        if is_prepared(path):
            raise UserError(
                f'{path}: the preparation of this data set was interrupted',
                remedy='start the same prepare_data command again',
            )
        raise UserError(f'{path}: there is no prepared data set here (no {MARKER})')
    try:
        with open(marker) as file:
            info = json.load(file)
        if info['format'] != 'stylegan_jax prepared data' or info['version'] != 1:
            raise ValueError(f'version {info["version"]}')
        return info
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{marker}: cannot be read ({error})', remedy=_REMEDY) from error


def fourth_channel_of(info: dict[str, typing.Any]) -> str:
    """Returns the meaning of the last of four channels, from the content of prepared.json.

    Sets that do not say so have lower stages in which each channel was reduced alone.
    """
    return info.get('fourth_channel', 'data')


def _check_image(path, stored, image):
    shape, wanted = stored.shape, image.shape
    if (stored.base_shape, stored.channels) != (image.base_shape, image.channels):
        raise UserError(
            f'{path}: its images are {shape[0]}x{shape[1]}x{shape[2]} over a base shape of '
            f'{stored.base_shape}, and this run asks for {wanted[0]}x{wanted[1]}x{wanted[2]} over '
            f'{image.base_shape}',
            remedy='set image.base_shape and image.channels to them',
        )
    if image.num_stages > stored.num_stages:
        raise UserError(
            f'{path} has at most {stored.resolution} pixels',
            field='image.resolution',
            value=image.resolution,
            remedy='set it to that, or prepare the set at a larger size',
        )
