"""The one interface to real images: pixels at any stage, and labels, whatever they come from."""

import dataclasses
import typing

import numpy as np

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data.image_files import ImageFiles, find_label_dim
from stylegan_jax.data.pixels import box_reduce, to_uint8
from stylegan_jax.data.prepared import PreparedImages, is_prepared, read_info
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.data.toy_faces.pool import draw_all
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.threads import fits_memory, in_threads

TOY_FACES_COUNT = 10000  # when data.count does not say


class Source(typing.Protocol):
    """Full-size images and their labels; one that has smaller stages at hand also has `stage_images`.

    Attributes:
      image: the ImageConfig that the pixels follow.
      labels: float32 [len, K].
      label_names: what the K entries of a label mean, or None.
      pixels: uint8 [len, H, W, C] if they are in memory, else None.
    """

    image: ImageConfig
    labels: np.ndarray
    label_names: tuple[str, ...] | None
    pixels: np.ndarray | None

    def __len__(self): ...

    def full_size(self, index):
        """Returns one image, uint8 [H, W, C]."""


class ToyFaces:
    """Faces drawn by code, a `Source`; in memory while that fits the budget, else drawn when asked for."""

    def __init__(self, image, count):
        """Draws the faces.

        Args:
          image: ImageConfig, square and in colour; its label_dim is 0 or the number of attributes.
          count: how many faces.

        Raises:
          UserError: toy faces do not come in the shape or with the labels that `image` asks for.
        """
        height, width, channels = image.shape
        num_attributes = len(toy_faces.ATTRIBUTES)
        if height != width:
            raise UserError(f'image.base_shape={image.base_shape}: toy faces are square; give (4, 4)')
        if not toy_faces.MIN_RESOLUTION <= height <= toy_faces.MAX_RESOLUTION:
            raise UserError(
                f'image.resolution={height}: toy faces are drawn at '
                f'{toy_faces.MIN_RESOLUTION} to {toy_faces.MAX_RESOLUTION} pixels'
            )
        if channels != 3:
            raise UserError(f'image.channels={channels}: toy faces are in colour; give 3')
        if image.label_dim not in (0, num_attributes):
            raise UserError(
                f'image.label_dim={image.label_dim}: toy faces have {num_attributes} attributes; '
                f'set --config.image.label_dim={num_attributes}, or 0 for no labels'
            )
        self.image = image
        self.label_names = tuple(toy_faces.ATTRIBUTES) if image.label_dim else None
        self.labels = np.zeros([count, image.label_dim], np.float32)
        if image.label_dim:
            self.labels[:] = [toy_faces.attributes(index) for index in range(count)]
        self.pixels = draw_all(count, height) if fits_memory(count, image.shape) else None

    def __len__(self):
        return len(self.labels)

    def full_size(self, index):
        """Returns one face, uint8 [H, W, 3]."""
        if self.pixels is not None:
            return self.pixels[index]
        return toy_faces.draw(int(index), self.image.resolution)


class _StageCache(typing.NamedTuple):
    """The images of one stage, as far as they have been asked for."""

    pixels: np.ndarray  # uint8 [len, h, w, C]
    filled: np.ndarray  # bool [len]


class Dataset:
    """Images at any stage, and labels. Threads may share it.

    Images that are not at hand are computed or read when they are first asked for and kept, while that fits the memory
    budget, until two other stages have been asked for.
    """

    def __init__(self, source):
        self._source = source
        self._caches = {}
        self._keeps = True

    def __len__(self):
        return len(self._source)

    @property
    def image(self):
        """The ImageConfig that the images follow."""
        return self._source.image

    @property
    def labels(self):
        """float32 [len, K], one-hot or attributes; K may be 0."""
        return self._source.labels

    @property
    def label_names(self):
        """What the K entries of a label mean, a tuple of str; None if they have no names."""
        return self._source.label_names

    @property
    def signature(self):
        """A text that tells this set of images, in this order, from others as well as its source can."""
        return getattr(self._source, 'signature', f'{type(self._source).__name__} {len(self)}')

    def images(self, indices, stage):
        """Returns images at a stage.

        Args:
          indices: which, int [n], each from 0 to len - 1.
          stage: which resolution; (h, w) = image.stage_shape(stage). Each level is the mean over the
            whole factor of the full-size pixels, rounded to nearest once.

        Returns:
          uint8 [n, h, w, C].

        Raises:
          UserError: a file that is read on demand cannot be decoded.
        """
        indices = np.asarray(indices, np.int64)
        if stage == self.image.num_stages - 1 and self._source.pixels is not None:
            return self._source.pixels[indices]
        shape = (*self.image.stage_shape(stage), self.image.channels)
        if not self._keeps or not fits_memory(len(self), shape):
            return self._read(indices, stage)
        # Threads may fill the same row at once; they write the same bytes.
        cache = self._cache_of(stage, shape)
        missing = np.unique(indices[~cache.filled[indices]])
        if len(missing):
            cache.pixels[missing] = self._read(missing, stage)
            cache.filled[missing] = True
        return cache.pixels[indices]

    def __getstate__(self):
        # Processes that read ahead keep nothing: each would keep as much as this one may.
        return self.__dict__ | {'_caches': {}, '_keeps': False}

    def _cache_of(self, stage, shape):
        """Two stages are kept: the next one is read ahead while one still trains."""
        caches = self._caches
        if stage not in caches:
            kept = dict(list(caches.items())[-1:])
            kept[stage] = _StageCache(np.empty([len(self), *shape], np.uint8), np.zeros(len(self), bool))
            caches = self._caches = kept
        return caches[stage]

    def _read(self, indices, stage):
        """Reads images at a stage, or computes them from full size."""
        if hasattr(self._source, 'stage_images'):
            return self._source.stage_images(indices, stage)
        shape = (*self.image.stage_shape(stage), self.image.channels)
        images = np.empty([len(indices), *shape], np.uint8)

        def reduce(row):
            images[row] = to_uint8(box_reduce(self._source.full_size(indices[row]), *shape[:2]))

        in_threads(reduce, len(indices))
        return images


def with_found_labels(config):
    """Returns a Config whose `image.label_dim` is that of the images, where `data.find_labels` asks for it.

    Raises:
      UserError: the images' labels cannot be read.
    """
    data, image = config.data, config.image
    if not data.find_labels or image.label_dim or data.source != 'images' or not data.path:
        return config
    label_dim = read_info(data.path)['image']['label_dim'] if is_prepared(data.path) else find_label_dim(data.path)
    return dataclasses.replace(config, image=dataclasses.replace(image, label_dim=label_dim))


def open_dataset(data, image):
    """Opens the images of a run.

    Args:
      data: DataConfig.
      image: ImageConfig.

    Returns:
      A `Dataset`.

    Raises:
      UserError: the images are not there, or not as `image` asks for; the message says what to do.
    """
    if data.source == 'toy_faces':
        if data.path:
            raise UserError(
                f'data.path={data.path!r}: toy faces are drawn, not read; for images of your own use '
                "--experiment=custom, or data.source='images'"
            )
        return Dataset(ToyFaces(image, data.count or TOY_FACES_COUNT))
    if not data.path:
        raise UserError('data.path is empty: there are no images to train on; give --config.data.path=FOLDER_OR_ZIP')
    if is_prepared(data.path):
        return Dataset(PreparedImages(data.path, image, data.count))
    return Dataset(ImageFiles(data.path, image, data.count))
