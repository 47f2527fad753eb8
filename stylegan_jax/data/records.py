"""One image and its label as one record, in the form that TensorFlow Datasets reads."""

from __future__ import annotations

import dataclasses
import functools
import io
import typing

import numpy as np
from PIL import Image

from stylegan_jax.errors import UserError

if typing.TYPE_CHECKING:
    import tensorflow_datasets as tfds

ENCODINGS = ('raw', 'png', 'webp', 'jpeg')
_JPEG_QUALITY = 95
_MODES = {1: 'L', 3: 'RGB', 4: 'RGBA'}  # of Pillow, by the number of channels


@dataclasses.dataclass(frozen=True)
class RecordFormat:
    """How images of one shape and their labels are stored.

    Attributes:
      shape: (H, W, C).
      encoding: one of ENCODINGS; 'png' and 'webp' lose nothing, 'jpeg' does.
      label_dim: K; 0 for no labels.
      is_class: whether labels are one-hot, and stored as a number.
      label_names: the meaning of the K entries of a label, or None.
    """

    shape: tuple[int, int, int]
    encoding: str
    label_dim: int = 0
    is_class: bool = True
    label_names: tuple[str, ...] | None = None

    def __post_init__(self):
        # WebP has no grey images, and JPEG none with transparency.
        missing = {'webp': (1,), 'jpeg': (4,)}.get(self.encoding, ())
        if self.shape[2] not in _MODES or self.shape[2] in missing:
            raise UserError(
                f'it has no images of {self.shape[2]} channels',
                field='encoding',
                value=self.encoding,
                remedy='choose ' + ('raw' if self.shape[2] not in _MODES else 'png or raw'),
            )

    @functools.cached_property
    def features(self) -> tfds.features.FeaturesDict:
        """The tfds FeaturesDict: 'image', and 'label' where there are labels."""
        import tensorflow_datasets as tfds  # takes most of a second, and reading does without it

        # tfds knows no WebP by name, but reads it where it is told no name.
        features = {
            'image': tfds.features.Tensor(shape=self.shape, dtype=np.uint8, encoding='bytes')
            if self.encoding == 'raw'
            else tfds.features.Image(
                shape=self.shape, encoding_format=None if self.encoding == 'webp' else self.encoding
            )
        }
        if self.label_dim and self.is_class:
            names = self.label_names or [str(label) for label in range(self.label_dim)]
            features['label'] = tfds.features.ClassLabel(names=list(names))
        elif self.label_dim:
            features['label'] = tfds.features.Tensor(shape=(self.label_dim,), dtype=np.float32)
        return tfds.features.FeaturesDict(features)

    @functools.cached_property
    def _serializer(self):
        from tensorflow_datasets.core import example_serializer  # slow too, and for writing only

        return example_serializer.ExampleSerializer(self.features.get_serialized_info())

    def serialize(self, pixels: np.ndarray, label: np.ndarray) -> bytes:
        """Returns the record of uint8 pixels [H, W, C] and a float32 label [K]."""
        assert pixels.shape == self.shape and pixels.dtype == np.uint8, (pixels.shape, pixels.dtype)
        example = {'image': pixels if self.encoding == 'raw' else self._encode(pixels)}
        if self.label_dim:
            example['label'] = int(np.argmax(label)) if self.is_class else np.asarray(label, np.float32)
        # Without `deterministic`, entries of a map come in an order that changes from process to process.
        return self._serializer.get_tf_example(self.features.encode_example(example)).SerializeToString(
            deterministic=True
        )

    def pixels_of(self, record: bytes) -> np.ndarray:
        """Returns the pixels of a record, uint8 [H, W, C]; ValueError if it does not hold such an image."""
        data = _image_bytes(record)
        if self.encoding == 'raw':
            return np.frombuffer(data, np.uint8).reshape(self.shape)
        picture = Image.open(io.BytesIO(data), formats=(self.encoding,))
        pixels = np.asarray(picture.convert(_MODES[self.shape[2]])).reshape(*picture.size[::-1], -1)
        if pixels.shape != self.shape:
            raise ValueError(f'an image of shape {pixels.shape} instead of {self.shape}')
        return pixels

    def encoded_size(self, pixels: np.ndarray) -> int:
        """Returns how many bytes uint8 pixels [H, W, C] take in a record, without anything around them."""
        return pixels.nbytes if self.encoding == 'raw' else len(self._encode(pixels))

    def _encode(self, pixels):
        picture, file = Image.fromarray(pixels[..., 0] if self.shape[2] == 1 else pixels), io.BytesIO()
        options = {
            'png': {},
            'webp': {'lossless': True, 'exact': True},
            'jpeg': {'quality': _JPEG_QUALITY, 'subsampling': 0},
        }[self.encoding]
        picture.save(file, self.encoding, **options)
        return file.getvalue()


def _image_bytes(record):
    """Finds the bytes of the feature 'image' in a serialized tf.train.Example, without a copy.

    The message is Example{1: Features{1: map entry{1: name, 2: Feature{1: BytesList{1: bytes}}}}}. A library that
    parses it would copy the megabytes of an image to get at a few tags.
    """
    for _, features in _fields(memoryview(record)):
        for _, entry in _fields(features):
            parts = dict(_fields(entry))
            if bytes(parts.get(1, b'')) == b'image':
                _, values = next(_fields(parts[2]))
                return next(_fields(values))[1]
    raise ValueError('there is no image in the record')


def _fields(message):
    """Yields (number, bytes) of the length-delimited fields of a protocol buffer, and passes over all others.

    Before each field stands a tag: the number of the field, and in the lower three bits its wire type.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        if tag & 7 == 2:  # a length, and that many bytes
            size, place = _varint(message, place)
            if place + size > len(message):
                raise ValueError('the record is cut off')
            yield tag >> 3, message[place : place + size]
            place += size
        elif tag & 7 == 0:  # a varint
            _, place = _varint(message, place)
        elif tag & 7 in (1, 5):  # 8 bytes, or 4
            place += 8 if tag & 7 == 1 else 4
        else:
            raise ValueError('the record is no protocol buffer')


def _varint(message, place):
    """Returns a number stored seven bits a byte, lowest first, and the place behind it; bit 8 says that more follow."""
    value, shift = 0, 0
    while place < len(message) and shift < 64:
        byte = message[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place
    raise ValueError('the record is cut off')
