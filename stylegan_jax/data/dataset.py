"""The one interface to real images: pixels at any stage, and labels, wherever they come from."""

import dataclasses
import logging
import math
import typing
from collections.abc import Sequence

import numpy as np

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.config.run import Config, DataConfig
from stylegan_jax.data.drawn_images import DrawnImages
from stylegan_jax.data.fitted_pictures import Examined, FittedPictures, examine_some
from stylegan_jax.data.prepared import PreparedImages, fourth_channel_of, is_prepared, read_info
from stylegan_jax.data.sources.base import TRAINING
from stylegan_jax.data.sources.drawn import DrawnFaces
from stylegan_jax.data.sources.files import PictureFiles
from stylegan_jax.data.sources.opening import kind_of, open_source
from stylegan_jax.data.staged_images import StagedImages
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.threads import fits_memory

TOY_FACES_COUNT = 10000  # when data.count does not say
_log = logging.getLogger(__name__)


class _StageCache(typing.NamedTuple):
    """The images of one stage, as far as they have been asked for."""

    pixels: np.ndarray  # uint8 [len, h, w, C]
    filled: np.ndarray  # bool [len]


class Dataset:
    """Images at any stage, and labels. Threads may share it.

    Images that are not at hand are computed or read when they are first asked for and kept, while that fits the memory
    budget, until two other stages have been asked for.
    """

    def __init__(self, images: StagedImages):
        """Wraps images, of which nothing is read yet."""
        self._images = images
        self._caches = {}
        self._keeps = True

    def __len__(self) -> int:
        return len(self._images)

    @property
    def image(self) -> ImageConfig:
        """The ImageConfig that the images follow."""
        return self._images.image

    @property
    def labels(self) -> np.ndarray:
        """float32 [len, K], one-hot or attributes; K may be 0."""
        return self._images.labels

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The meaning of the K entries of a label; None if they have no names."""
        return self._images.label_names

    @property
    def signature(self) -> str:
        """A text that tells this set of images, in this order, from others as well as its source can."""
        return self._images.signature

    @property
    def at_once(self) -> int:
        """How many images may be read at once, by all threads and processes together."""
        return self._images.at_once

    @property
    def in_memory(self) -> bool:
        """Whether every process that reads holds all pictures in memory, so that reading decodes nothing."""
        return self._images.in_memory

    def images(self, indices: Sequence[int], stage: int) -> np.ndarray:
        """Returns images at a stage.

        Args:
          indices: which images, int [n], each from 0 to len - 1.
          stage: which resolution; (h, w) = image.stage_shape(stage). Each level is the mean over the
            whole factor of the full-size pixels, rounded to nearest once.

        Returns:
          uint8 [n, h, w, C].

        Raises:
          UserError: a file that is read on demand cannot be decoded.
        """
        indices = np.asarray(indices, np.int64)
        if stage == self.image.num_stages - 1 and (images := self._images.ready(indices)) is not None:
            return images
        shape = (*self.image.stage_shape(stage), self.image.channels)
        if not self._keeps or not fits_memory(len(self), shape):
            return self._images.stage_images(indices, stage)
        # Threads may fill the same row at once; they write the same bytes.
        cache = self._cache_of(stage, shape)
        missing = np.unique(indices[~cache.filled[indices]])
        if len(missing):
            cache.pixels[missing] = self._images.stage_images(missing, stage)
            cache.filled[missing] = True
        return cache.pixels[indices]

    def prepare(self) -> None:
        """Makes what would otherwise be made when images are first asked for, where that takes long (drawing)."""
        self._images.prepare()

    def __getstate__(self):
        # Copies in processes that read ahead keep nothing, because each would keep as much as this one may.
        return self.__dict__ | {'_caches': {}, '_keeps': False}

    def _cache_of(self, stage, shape):
        """Returns the cache of a stage. Two are kept, because the next stage is read ahead while one still trains."""
        caches = self._caches
        if stage not in caches:
            # A new dict in place of a change, because other threads may look into the old one.
            kept = dict(list(caches.items())[-1:])
            kept[stage] = _StageCache(np.empty([len(self), *shape], np.uint8), np.zeros(len(self), bool))
            caches = self._caches = kept
        return caches[stage]


class Found(typing.NamedTuple):
    """What `DataOpener.look` found.

    Attributes:
      labels: float32 [n, K], of the images that are not known to be unusable.
      label_names: the meaning of the K entries of a label; None if they have no names.
      examined: what was looked at among pictures of a source; None for images that need no looking at.
    """

    labels: np.ndarray
    label_names: tuple[str, ...] | None
    examined: Examined | None = None


class DataOpener:
    """Opens the images of a run in two steps, and nothing twice.

    The length of their labels comes first, because the networks depend on it; the pixels come when the run has its
    devices and its folder, because reading them may take minutes.
    """

    def __init__(self, data: DataConfig):
        """Names the images; nothing is opened yet."""
        self._data, self._sources = data, {}

    def with_found_labels(self, config: Config) -> Config:
        """Returns a Config whose `image.label_dim` is that of the images, where `data.find_labels` asks for it.

        Raises:
          UserError: the images' labels cannot be read.
        """
        self._check_path()
        config = self._with_fourth_channel(config)
        data, image = self._data, config.image
        if not data.find_labels or image.label_dim or (data.source == 'images' and not data.path):
            return config
        return dataclasses.replace(config, image=dataclasses.replace(image, label_dim=self.label_dim()))

    def _with_fourth_channel(self, config):
        """Returns a Config that follows what a prepared set says of the last of four channels."""
        if config.image.channels != 4 or config.data.source != 'images' or not is_prepared(self._data.path):
            return config
        meaning = fourth_channel_of(read_info(self._data.path))
        return dataclasses.replace(config, data=dataclasses.replace(config.data, fourth_channel=meaning))

    def label_dim(self) -> int:
        """Returns the length of the labels that the images have; 0 without labels.

        Raises:
          UserError: there is nothing at the path, or its labels cannot be read.
        """
        if self._data.source == 'toy_faces':
            return len(toy_faces.ATTRIBUTES)
        if is_prepared(self._data.path):
            return read_info(self._data.path)['image']['label_dim']
        return self._source('auto').labels.shape[1]

    def available(self, label_dim: int = 0) -> int:
        """Returns the number of images that `open` finds, or more if some cannot be used; it reads none of them.

        Args:
          label_dim: the length of the labels that `open` will be asked for, so that pictures are listed once.

        Raises:
          UserError: there are no images, or fewer than `data.count`.
        """
        data = self._data
        if data.source == 'toy_faces':
            return data.count or TOY_FACES_COUNT
        if data.path and is_prepared(data.path):
            return min(data.count or math.inf, read_info(data.path)['count'])
        if not data.path:
            raise _no_path()
        return self._count(self._source_with(label_dim))

    def open(self, image: ImageConfig) -> Dataset:
        """Opens the images themselves.

        Args:
          image: the shape of the images and the length of the labels that the run asks for.

        Raises:
          UserError: the images are not there, or not as `image` asks for; the message says what to do.
        """
        images = self._open_at_hand(image)
        if images is None:
            source, labels, label_names = self._open_pictures(image)
            images = FittedPictures(source, image, labels, label_names, self._data.fourth_channel)
        return Dataset(images)

    def look(self, image: ImageConfig) -> Found:
        """Looks for what `open` would refuse: it lists pictures, which takes minutes of millions, and looks at some.

        Args:
          image: see `open`.

        Raises:
          UserError: see `open`.
        """
        images = self._open_at_hand(image)
        if images is not None:
            return Found(images.labels, images.label_names)
        source, labels, label_names = self._open_pictures(image)
        examined = examine_some(source, image, len(labels), self._data.fourth_channel)
        return Found(labels[examined.usable], label_names, examined)

    def _open_at_hand(self, image):
        """Returns drawn or prepared images, of which opening reads no pixels; None for pictures of a source."""
        data = self._data
        self._check_path()
        if data.source == 'toy_faces':
            return _open_toy_faces(image, data.count or TOY_FACES_COUNT)
        if not data.path:
            raise _no_path()
        if is_prepared(data.path):
            return PreparedImages(data.path, image, data.count)
        if image.channels not in (1, 3, 4):
            raise UserError(
                'image files have 1 (grey), 3 (RGB) or 4 (RGBA)', field='image.channels', value=image.channels
            )
        return None

    def _check_path(self):
        if self._data.source == 'toy_faces' and self._data.path:
            raise UserError(
                'toy faces are drawn, not read',
                field='data.path',
                value=repr(self._data.path),
                remedy='for images of your own set data.source=images data.count=0 data.find_labels=True, or take the '
                'experiment custom',
            )

    def _source(self, labels, label_dim=0):
        """Returns the source, opened once for each choice of labels, because listing millions of files takes minutes.

        Args:
          labels: 'auto', or 'none'.
          label_dim: how long those of a folder or zip are to be; 0 for as long as they are.
        """
        if labels not in self._sources:
            self._sources[labels] = self._open_source(labels, label_dim)
        return self._sources[labels]

    def _source_with(self, label_dim):
        """Returns the source with labels of some length, or without any if it is 0 and none are to be found."""
        if label_dim or self._data.find_labels:
            return self._source('auto', label_dim)
        return self._source('none')  # labels that are wrong, or take long to read, are no matter

    def _open_source(self, labels, label_dim):
        data = self._data
        if kind_of(data.path, TRAINING) is PictureFiles:
            source = PictureFiles(data.path, labels=labels, count=data.count, settings=TRAINING, label_dim=label_dim)
        else:
            source = open_source(data.path, labels=labels, settings=TRAINING)
        if data.max_skipped is not None:
            source.max_skipped = data.max_skipped
        return source

    def _open_pictures(self, image):
        """Opens any source that is not prepared; returns (source, labels [n, K] of its first n pictures, their names).

        The labels are those that a preparation takes by itself.
        """
        source = self._source_with(image.label_dim)
        for note in source.notes:
            _log.warning('%s', note)
        count, found = self._count(source), source.labels.shape[1]
        if image.label_dim not in (0, found):
            if not found and (absence := getattr(source, 'absence', None)):
                raise UserError(
                    f'{absence}, but image.label_dim={image.label_dim} needs labels',
                    remedy=f'add the labels, or {TRAINING.without_labels}',
                )
            raise UserError(
                f'the labels of {source.path} have {found} entries' if found else f'{source.path} has no labels',
                field='image.label_dim',
                value=image.label_dim,
                remedy=(f'set image.label_dim={found}, or ' if found else '') + TRAINING.without_labels,
            )
        names = getattr(source, 'class_names', source.label_names) if image.label_dim else None
        return source, source.labels[:count, : image.label_dim], names

    def _count(self, source):
        count = self._data.count
        if count > len(source):
            raise UserError(
                f'{source.path} has only {len(source)} images',
                field='data.count',
                value=count,
                remedy='give fewer, or set data.count=0 to use all',
            )
        return count or len(source)


def _no_path():
    return UserError(
        'it is empty, so that there are no images to train on',
        field='data.path',
        remedy='give a prepared data set, a folder or a zip of images',
    )


def with_found_labels(config: Config) -> Config:
    """Returns a Config whose `image.label_dim` is that of the images; see `DataOpener.with_found_labels`."""
    return DataOpener(config.data).with_found_labels(config)


def open_dataset(data: DataConfig, image: ImageConfig) -> Dataset:
    """Opens the images of a run in one step; see `DataOpener.open`."""
    return DataOpener(data).open(image)


def _open_toy_faces(image, count):
    """Returns faces that are drawn at the very size that is trained on."""
    height, width, channels = image.shape
    num_attributes = len(toy_faces.ATTRIBUTES)
    if height != width:
        raise UserError('toy faces are square', field='image.base_shape', value=image.base_shape, remedy='give (4, 4)')
    if not toy_faces.MIN_RESOLUTION <= height <= toy_faces.MAX_RESOLUTION:
        raise UserError(
            f'toy faces are drawn at {toy_faces.MIN_RESOLUTION} to {toy_faces.MAX_RESOLUTION} pixels',
            field='image.resolution',
            value=height,
        )
    if channels != 3:
        raise UserError('toy faces are in colour', field='image.channels', value=channels, remedy='give 3')
    if image.label_dim not in (0, num_attributes):
        raise UserError(
            f'toy faces have {num_attributes} attributes',
            field='image.label_dim',
            value=image.label_dim,
            remedy=f'set image.label_dim={num_attributes}, or 0 for no labels',
        )
    source = DrawnFaces(f'toy_faces:{count}@{height}', labels='attributes' if image.label_dim else 'none')
    signature = f'ToyFaces {count}'  # by which runs resume, and measured results are found again
    if fits_memory(count, image.shape):
        return DrawnImages(source, image, signature)
    faces = FittedPictures(source, image, source.labels, source.label_names)
    faces.signature = signature
    return faces
