"""Data sets that TensorFlow Datasets prepared as ArrayRecords, read without TensorFlow."""

import io
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

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
    sample_of,
    stamp_of,
)
from stylegan_jax.data.sources.pictures import decode, failing_as_unusable, upright_size
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.progress import progress_bar

_SPLIT = r'[A-Za-z_]\w*(?:\[[^\]]*\])?'  # train, or train[:50%]
_SPEC = re.compile(rf'tfds:(?P<where>.+?)(?::(?P<split>{_SPLIT}(?:\+{_SPLIT})*))?')
_BATCH = 1000  # labels read at once


class TFDSPictures(PictureSource):
    """The feature 'image' of a split, and 'label' if there is one, in stored order."""

    kind = 'tfds'

    def __init__(self, path: str, *, labels: str = 'auto', count: int = 0, settings: SettingNames = PREPARATION):
        """Opens the split.

        Args:
          path: 'tfds:NAME[:SPLIT]' of a data set that was prepared below ~/tensorflow_datasets or $TFDS_DATA_DIR, or
            'tfds:DIRECTORY[:SPLIT]' of the directory of a version. The split is 'train' if it is not given; 'all'
            joins all.
          labels: 'auto' (the feature 'label', if there is one) or 'none'.
          count: use only the first `count` pictures; 0 = all.
          settings: the names of the caller's settings, for messages.

        Raises:
          UserError: it is not there, not prepared as ArrayRecords, or has no pictures.
        """
        check_labels_choice(labels, ('auto', 'none'), path, settings)
        match = _SPEC.fullmatch(path)
        if not match:
            raise UserError(f'{path}: give tfds:NAME, tfds:NAME:SPLIT or a directory in the place of the name')
        self.path, self._split = path, match['split'] or 'train'
        builder = _find_builder(path, match['where'])
        self._directory = str(builder.data_dir)
        _check_format(path, builder, self._split)
        self._is_encoded = _is_encoded(path, builder)
        self._records = PerProcess(_Records, self._directory, self._split, 'image', self._is_encoded)
        count = check_count(count, len(self._records.get()), path, settings)
        self._check_first()
        self.labels = np.zeros([count, 0], np.float32)
        if labels == 'auto' and 'label' in builder.info.features:
            self._read_labels(builder.info.features['label'], count, settings.without_labels)

    def _check_first(self):
        try:
            self.picture(0)
        except Unusable as error:
            raise UserError(
                f'{self._directory}: its first record cannot be read ({error}); prepare it again'
            ) from error

    def _read_labels(self, feature, count, without_labels):
        """Reads every record, because labels are stored inside of them."""
        records = _Records(self._directory, self._split, 'label', False)
        num_classes = getattr(feature, 'num_classes', None)
        available = count if num_classes else len(records)  # only all labels together tell the number of classes
        found = []
        try:
            with progress_bar(available, 'reading labels') as bar:
                for start in range(0, available, _BATCH):
                    found += records.read(range(start, min(start + _BATCH, available)))
                    bar.update(len(found) - start)
            array = np.array(found)
        except Exception as error:  # array_record and the parser raise nearly anything
            raise UserError(
                f'{self._directory}: labels cannot be read ({_one_line(error)})',
                remedy=f'prepare it again, or {without_labels}',
            ) from error
        if num_classes:
            self.labels, self.label_names = self._one_hot(array, num_classes, without_labels), tuple(feature.names)
        else:
            self.labels = labels_module.labels_of_array(array, available, self._directory, without_labels)[:count]

    def _one_hot(self, array, num_classes, without_labels):
        wrong = [label for label in array.tolist() if not 0 <= label < num_classes]
        if wrong:
            raise UserError(
                f'{self._directory}: label {wrong[0]} is none of the {num_classes} classes of its '
                'features.json, as in splits kept for a contest',
                remedy=f'choose another split, or {without_labels}',
            )
        return labels_module.one_hot(array, num_classes)

    def name(self, index: int) -> str:
        return f'{self._split}, record {index}'

    def picture(self, index: int) -> Image.Image | np.ndarray:
        found = self._image_of(index)
        return decode(bytes(found)) if self._is_encoded else np.asarray(found)

    def size(self, index: int) -> tuple[int, int]:
        found = self._image_of(index)
        return upright_size(io.BytesIO(bytes(found))) if self._is_encoded else np.shape(found)[:2]

    def _image_of(self, index):
        with failing_as_unusable():
            (found,) = self._records.get().read([int(index)])
            if found is None:
                raise Unusable('its record has no image')
        return found

    def _paths(self):
        return sorted(pathlib.Path(self._directory).iterdir())

    def fingerprints(self) -> dict[str, str]:
        return {str(path): stamp_of(path) for path in self._paths()}

    def signature(self, indices: Sequence[int]) -> str:
        # Raw pixels of one shape make files of one size whatever they show.
        contents = [bytes(self._image_of(index)) for index in sample_of(indices)]
        return digest_of(self._split, names_and_sizes(self._paths()), np.asarray(indices, np.int64), *contents)


def _find_builder(path, where):
    import tensorflow_datasets as tfds  # takes most of a second, which other sources need not wait for

    directory = pathlib.Path(where).expanduser()
    is_directory = where.startswith(('/', '.', '~')) or (directory / 'dataset_info.json').exists()
    if is_directory:
        if not (directory / 'dataset_info.json').exists():
            raise UserError(
                f'{path}: there is no dataset_info.json in {directory}; give the directory of a version, '
                'such as ~/tensorflow_datasets/mnist/3.0.1'
            )
        _refuse_foreign_features(directory)
        try:
            return tfds.builder_from_directory(directory)
        except Exception as error:  # of JSON, of protobuf, of missing features
            raise UserError(
                f'{directory}: cannot be opened by TensorFlow Datasets ({_one_line(error)}); prepare it again'
            ) from error
    try:  # unlike tfds.builder, this needs no code of the data set, and never asks the network
        return tfds.core.read_only_builder.builder_from_files(where)
    except Exception as error:
        raise UserError(
            f'{path}: it is not on disk; prepare it with tfds.builder({where!r}, file_format='
            "'array_record').download_and_prepare(), or give its directory"
        ) from error


def _refuse_foreign_features(directory):
    """Raises a UserError where features.json names classes of other packages, which tfds would import."""
    path = directory / 'features.json'
    text = path.read_text(errors='replace') if path.exists() else ''
    foreign = [
        name
        for name in re.findall(r'"python_?[cC]lass_?[nN]ame"\s*:\s*"([^"]*)"', text)
        if not name.startswith('tensorflow_datasets.')
    ]
    if foreign:
        raise UserError(
            f'{path}: it asks for the class {foreign[0]}, which is not of TensorFlow Datasets; nothing is '
            'imported on behalf of a file'
        )


def _check_format(path, builder, split):
    import tensorflow_datasets as tfds

    if builder.info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
        raise UserError(
            f'{path}: it is prepared as {builder.info.file_format.value}, which cannot be read in any '
            "order; prepare it again with file_format='array_record'"
        )
    try:
        files = builder.info.splits[split].file_instructions
    except Exception as error:
        raise UserError(
            f'{path}: there is no split {split!r}; it has {", ".join(builder.info.splits) or "none"}, and all'
        ) from error
    for file in files:
        _check_file(file.filename, file.examples_in_shard)


def _check_file(path, count):
    """Raises a UserError unless a file has `count` records; one that is cut off may open and return empty ones."""
    from array_record.python.array_record_module import ArrayRecordReader

    if not pathlib.Path(path).exists():
        raise UserError(
            f'{path}: there is no such file',
            remedy='copy the data set again, or remove its folder and prepare it again',
        )
    try:
        reader = ArrayRecordReader(str(path))
        found = reader.num_records()
        reader.close()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f'{path}: cannot be read ({_one_line(error) or "cut off"}); copy or prepare it again'
        ) from error
    if found != count:
        raise UserError(
            f'{path}: it has {found} records, not {count} as dataset_info.json says; copy or prepare it again'
        )


def _is_encoded(path, builder):
    """Says whether pictures are encoded, in which case Pillow decodes them and not TensorFlow Datasets."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    feature = features['image'] if isinstance(features, tfds.features.FeaturesDict) and 'image' in features else None
    if feature is None or feature.np_dtype != np.uint8 or len(feature.shape) != 3:
        raise UserError(
            f"{path}: its features have no 'image' that is a picture of uint8; they are {_one_line(features)}"
        )
    return isinstance(feature, tfds.features.Image)


class _Records:
    """One feature of the records of a split; other features are not decoded."""

    def __init__(self, directory, split, feature, is_encoded):
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(directory)
        self._feature = feature
        # Only with TensorFlow can tfds leave features undecoded, so records are asked for as they are stored.
        self._raw = builder.as_data_source(split=split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        self._features = tfds.features.FeaturesDict({feature: builder.info.features[feature]})
        self._decoders = {feature: tfds.decode.SkipDecoding()} if is_encoded else None

    def __len__(self):
        return len(self._raw)

    def read(self, rows):
        """Returns the feature of some records, a list."""
        return [
            self._features.deserialize_example_np(record, decoders=self._decoders)[self._feature]
            for record in self._raw.__getitems__(list(rows))
        ]


def _one_line(value):
    return ' '.join(str(value).split())[:200]
