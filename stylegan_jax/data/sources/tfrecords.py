"""The official multi-resolution TFRecords, read without TensorFlow.

Only the file of the highest resolution is read: the levels below it are the box means of it that `fitting.pyramid`
computes. Checksums come from google_crc32c, which is C: in Python, those of one large picture would take seconds.
"""

import array
import os
import pathlib
import re
import struct
from collections.abc import Sequence

import google_crc32c
import numpy as np

from stylegan_jax.data import labels as labels_module
from stylegan_jax.data.fitting import Unusable
from stylegan_jax.data.sources.base import (
    PREPARATION,
    PerProcess,
    PictureSource,
    SettingNames,
    check_count,
    check_labels_choice,
    digest_of,
    names_and_sizes,
    stamp_of,
)
from stylegan_jax.data.sources.pictures import failing_as_unusable
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.progress import progress_bar
from stylegan_jax.runtime.stand_ins import stand_in_at

_NAME = re.compile(r'(.*)-r(\d+)\.tfrecords')

# A record, little-endian: length, uint64; checksum of the length, uint32; content; checksum of the content, uint32.
_HEAD = struct.Struct('<QI')
_TAIL = struct.Struct('<I')


class TFRecords(PictureSource):
    """The pictures of a folder of NAME-r02.tfrecords to NAME-r10.tfrecords and NAME-rxx.labels, in stored order."""

    kind = 'tfrecords'

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        labels: str = 'auto',
        count: int = 0,
        settings: SettingNames = PREPARATION,
    ):
        """Lists the records.

        Args:
          path: the folder.
          labels: 'auto' (those of NAME-rxx.labels, if there is one) or 'none'.
          count: use only the first `count` pictures; 0 = all.
          settings: the names of the caller's settings, for messages.

        Raises:
          UserError: the files are not as the official tool writes them, or not whole.
        """
        check_labels_choice(labels, ('auto', 'none'), path, settings)
        folder = pathlib.Path(path).expanduser()
        self.path = str(folder)
        self._path, labels_path = _find_files(folder)
        self._labels_path = labels_path if labels == 'auto' and labels_path.exists() else None
        self._file = PerProcess(_open, self._path)
        self._starts, self._lengths = _find_records(self._file.get(), self._path)
        available = len(self._starts)
        count = check_count(count, available, self._path, settings)
        try:
            self._first_size = self.picture(0).shape[:2]
        except Unusable as error:
            raise UserError(
                f'{self._path}: its first record cannot be read ({error})',
                remedy='give TFRecords of the official tool, or copy them again',
            ) from error
        self.labels = self._read_labels(available, settings.without_labels)[:count]

    def _read_labels(self, available, without_labels):
        if self._labels_path is None:
            return np.zeros([available, 0], np.float32)
        try:
            found = np.load(self._labels_path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise UserError(
                f'{self._labels_path}: cannot be read as an array of NumPy ({stand_in_at(self._labels_path) or error})',
                remedy=f'copy it again, or {without_labels}',
            ) from error
        return labels_module.labels_of_array(found, available, self._labels_path, without_labels)

    def name(self, index: int) -> str:
        return f'{self._path.name}, record {index}'

    def picture(self, index: int) -> np.ndarray:
        start, length = int(self._starts[index]), int(self._lengths[index])
        with failing_as_unusable():
            content = os.pread(self._file.get().fileno(), length + _TAIL.size, start)
        if len(content) != length + _TAIL.size:
            raise Unusable('the file ends in it')
        if _masked_crc(content[:length]) != _TAIL.unpack_from(content, length)[0]:
            raise Unusable('its checksum is wrong')
        return _parse(content[:length])

    def common_size(self) -> tuple[int, int] | None:
        # Pixels are stored raw: records of one length hold pictures of one size.
        return self._first_size if np.all(self._lengths == self._lengths[0]) else None

    def fingerprints(self) -> dict[str, str]:
        return {str(path): stamp_of(path) for path in (self._path, self._labels_path) if path is not None}

    def signature(self, indices: Sequence[int]) -> str:
        # Files of as many pictures of one size have one size, so the checksums of the records tell them apart.
        file = self._file.get().fileno()
        checksums = [os.pread(file, _TAIL.size, int(self._starts[index] + self._lengths[index])) for index in indices]
        return digest_of(names_and_sizes([self._path]), *checksums)


def official_files(folder: pathlib.Path) -> dict[pathlib.Path, re.Match]:
    """Returns the files in a folder that are called NAME-rNN.tfrecords, with the matches of NAME and NN."""
    return {path: match for path in folder.glob('*.tfrecords') if (match := _NAME.fullmatch(path.name))}


def _find_files(folder):
    """Returns the paths of the highest resolution and of the labels, which may not exist."""
    found = official_files(folder)
    if not found:
        raise UserError(
            f'{folder}: no file in it is called NAME-rNN.tfrecords as the official tool does; '
            'give a folder that has some, such as ffhq-r10.tfrecords'
        )
    names = sorted({match[1] for match in found.values()})
    if len(names) > 1:
        raise UserError(f'{folder}: it holds the TFRecords of {" and ".join(names)}; give each a folder of its own')
    return max(found, key=lambda path: int(found[path][2])), folder / f'{names[0]}-rxx.labels'


def _open(path):
    try:
        return open(path, 'rb', buffering=0)
    except OSError as error:
        raise UserError(f'{path}: cannot be opened ({error.strerror}); check its permissions') from error


def _find_records(file, path):
    """Returns where the content of each record starts and how long it is, int64 [N] each."""
    size, position = os.fstat(file.fileno()).st_size, 0
    starts, lengths = array.array('q'), array.array('q')
    with progress_bar(size, f'listing {path.name}') as bar:
        while position < size:
            head = os.pread(file.fileno(), _HEAD.size, position)
            if len(head) < _HEAD.size:
                raise UserError(f'{path}: it is cut off in record {len(starts)}; copy or download it again')
            length, crc = _HEAD.unpack(head)
            if _masked_crc(head[:8]) != crc:
                if not position and (kind := stand_in_at(path)):
                    raise UserError(f'{path}: this is no file of TFRecords: it is {kind}')
                raise UserError(
                    f'{path}: record {len(starts)}, at byte {position}, is damaged, or this is no file of '
                    'TFRecords; copy or download it again'
                )
            end = position + _HEAD.size + length + _TAIL.size
            if end > size:
                raise UserError(f'{path}: it is cut off in record {len(starts)}; copy or download it again')
            starts.append(position + _HEAD.size)
            lengths.append(length)
            bar.update(end - position)
            position = end
    return np.array(starts, np.int64), np.array(lengths, np.int64)


def _masked_crc(content):
    """Returns the CRC32C of bytes, rotated and shifted as TensorFlow does.

    The CRC of content that has its own CRC at the end would be a constant; the mask prevents that.
    """
    crc = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _parse(content):
    """Returns uint8 [H, W, C] of a tf.train.Example with "shape" (C, H, W) and "data"."""
    # TensorFlow Datasets brings these messages along, so that TensorFlow is not needed; importing them takes a while.
    from tensorflow_datasets.proto import tf_example_generated_pb2

    with failing_as_unusable():
        features = tf_example_generated_pb2.Example.FromString(content).features.feature
        missing = {'shape', 'data'} - set(features)
        if missing:
            raise Unusable(f'it has no "{min(missing)}"')
        shape, data = list(features['shape'].int64_list.value), features['data'].bytes_list.value
        if len(shape) != 3 or shape[0] not in (1, 3, 4) or min(shape) < 1:
            raise Unusable(f'its shape is {shape}, not [C, H, W]')
        if len(data) != 1 or len(data[0]) != shape[0] * shape[1] * shape[2]:
            raise Unusable(f'its {sum(map(len, data))} bytes are not of shape {shape}')
        return np.frombuffer(data[0], np.uint8).reshape(shape).transpose(1, 2, 0)
