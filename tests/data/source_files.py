"""Small files of every kind of source, as the tools that make them write them."""

import io
import json
import struct
import zipfile

import numpy as np
from PIL import Image


def random_pixels(seed, height=8, width=8, channels=3):
    return np.random.default_rng(seed).integers(0, 256, [height, width, channels], np.uint8)


def encode(pixels, kind='png', **options):
    """Returns the bytes of a file of pixels [H, W, C], or of a PIL.Image."""
    file = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.squeeze(pixels))
    picture.save(file, kind, **options)
    return file.getvalue()


def write_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_zip(path, files):
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


# TFRecords, byte by byte.


def crc32c(content):
    """Castagnoli's polynomial, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(content):
    crc = crc32c(content)
    return struct.pack('<I', ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def varint(number):
    digits = []
    while number > 127:
        digits.append(number % 128 + 128)
        number //= 128
    return bytes([*digits, number])


def field(number, content):
    """A length-delimited field of protobuf."""
    return varint(number * 8 + 2) + varint(len(content)) + content


def example(shape, data):
    """A tf.train.Example: Features with a map of "shape", an Int64List, and "data", a BytesList."""
    shape = field(3, field(1, b''.join(map(varint, shape))))
    entries = [(b'shape', shape), (b'data', field(1, field(1, data)))]
    return field(1, b''.join(field(1, field(1, name) + field(2, feature)) for name, feature in entries))


def record(content):
    length = struct.pack('<Q', len(content))
    return length + masked(length) + content + masked(content)


def write_tfrecords(folder, pictures, labels=None, name='toy'):
    """Writes [N, H, W, C] at its resolution and all below, as the official tool does."""
    folder.mkdir(exist_ok=True)
    level = round(np.log2(pictures.shape[1]))
    while level >= 2:
        (folder / f'{name}-r{level:02d}.tfrecords').write_bytes(
            b''.join(record(example(picture.shape, picture.tobytes())) for picture in pictures.transpose(0, 3, 1, 2))
        )
        pictures, level = pictures[:, ::2, ::2], level - 1
    if labels is not None:
        with open(folder / f'{name}-rxx.labels', 'wb') as file:
            np.save(file, labels)
    return folder


def write_lmdb(folder, values):
    """Writes {key: content}."""
    import lmdb

    folder.mkdir()
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)
    return folder


def write_tfds(
    folder, pictures_by_split, *, names=('cat', 'dog'), image=None, label=None, form='array_record', classes=None
):
    """Writes the directory of a version; labels count up unless `classes` lists them."""
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.core import example_serializer

    folder.mkdir(parents=True)
    encoded = image is None
    features = {'image': image or tfds.features.Image(shape=(None, None, 3)), 'note': tfds.features.Text()}
    if names:
        features['label'] = label or tfds.features.ClassLabel(names=list(names))
    features = tfds.features.FeaturesDict(features)
    features.save_config(folder)
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
    for split, pictures in pictures_by_split.items():
        writer = ArrayRecordWriter(str(folder / f'toy-{split}.array_record-00000-of-00001'), 'group_size:1')
        for number, pixels in enumerate(pictures):
            content = {'image': io.BytesIO(encode(pixels)) if encoded else pixels, 'note': 'seen'}
            if names:
                content['label'] = number % len(names)
            encoded_content = features.encode_example(content)
            if classes is not None:
                encoded_content['label'] = np.int64(classes[number])
            writer.write(serializer.serialize_example(encoded_content))
        writer.close()
    splits = [
        {
            'name': split,
            'shardLengths': [str(len(pictures))],
            'numBytes': '1000',
            'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}',
        }
        for split, pictures in pictures_by_split.items()
    ]
    (folder / 'dataset_info.json').write_text(
        json.dumps({'name': 'toy', 'version': '1.0.0', 'configName': '', 'fileFormat': form, 'splits': splits})
    )
    return folder
