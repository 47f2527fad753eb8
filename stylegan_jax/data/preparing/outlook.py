"""A look ahead at the set that a preparation would make: what it takes, and what would be wrong with it."""

import math
import shutil
import typing

import numpy as np

from stylegan_jax.data import values
from stylegan_jax.data.channels import value_extrema
from stylegan_jax.data.preparing.shards import Job, Options
from stylegan_jax.data.records import ENCODINGS, RecordFormat
from stylegan_jax.data.source_sample import map_some
from stylegan_jax.data.sources.base import PictureSource
from stylegan_jax.errors import UserError

_PICTURES = (2, 24)  # at least and at most so many are encoded ...
_PIXELS = 1 << 21  # ... and no more than those that have so many pixels
_RECORD_BYTES = 64 + 17  # of a record beside the encoded image: what the file adds, and the names of the features
_LABEL_BYTES = 16, 4  # of a label, and of each of its entries
_BLOCK = 1 << 16  # bytes; a file is made of whole blocks, of which the last describes the others
_LEFT_FREE = 1 << 20  # bytes; the files beside the records need room as well
_UNCERTAINTY = 0.8  # share of an estimate that must fit; raw pixels are not estimated


class Outlook(typing.NamedTuple):
    """The findings of `look_ahead`.

    Attributes:
      sizes: {encoding: bytes of the whole set}; estimates, but for 'raw'. Encodings that have no such images are not in
        it.
      warning: a line about values of more than 8 bits that leave pictures nearly black; None if there is nothing.
    """

    sizes: dict[str, int]
    warning: str | None

    def lines(self, options: Options) -> list[str]:
        """Returns lines for people."""
        sizes = ', '.join(
            f'{encoding} {"" if encoding == "raw" else "about "}{readable(size)}'
            for encoding, size in self.sizes.items()
        )
        return [f'room that it takes: {sizes} (now {options.encoding})', *([self.warning] if self.warning else [])]


def look_ahead(
    source: PictureSource, options: Options, per_shard: int, encodings: typing.Sequence[str] = ENCODINGS
) -> Outlook:
    """Reads a few pictures, evenly spread, and encodes them.

    Args:
      source: where the pictures are.
      options: of the set.
      per_shard: how many images a shard is made of.
      encodings: those whose size is asked for.
    """
    encodings = [encoding for encoding in encodings if _exists(options.image, encoding)]
    encoded, extrema = _encode_some(source, options, encodings)
    # Bytes of an image at each stage, or None where no picture could be used.
    by_stage = {encoding: [np.mean(sizes) if sizes else None for sizes in encoded[encoding]] for encoding in encodings}
    if 'raw' in by_stage:
        by_stage['raw'] = [
            int(np.prod(options.image.stage_shape(stage))) * options.image.channels
            for stage in range(options.image.num_stages)
        ]
    sizes = {
        encoding: sum(_size_of_files(len(source), per_shard, size, options.image.label_dim) for size in sizes)
        for encoding, sizes in by_stage.items()
        if None not in sizes
    }
    return Outlook(sizes, values.warning_of(extrema))


def _exists(image, encoding):
    try:
        RecordFormat(image.shape, encoding)
    except UserError:
        return False
    return True


def _encode_some(source, options, encodings):
    """Returns ({encoding: for each stage the sizes of some images}, extrema of values where the range is not given)."""
    image = options.image
    most = int(np.clip(_PIXELS // (image.shape[0] * image.shape[1]), *_PICTURES))
    encoded, extrema = {encoding: [[] for _ in range(image.num_stages)] for encoding in encodings}, []

    def encode(picture):
        if options.value_range is None and not isinstance(picture, np.ndarray):
            extrema.extend(filter(None, [value_extrema(picture)]))
        for stage, level in enumerate(reversed(options.levels_of(picture))):
            for encoding in encodings:
                encoded[encoding][stage].append(RecordFormat(level.shape, encoding).encoded_size(level))

    map_some(encode, source, most)
    return encoded, extrema


def _size_of_files(count, per_shard, image_bytes, label_dim):
    """Returns how many bytes the shards of a stage take."""
    record = image_bytes + _RECORD_BYTES + (_LABEL_BYTES[0] + _LABEL_BYTES[1] * label_dim if label_dim else 0)
    return sum(
        (math.ceil(min(per_shard, count - first) * record / _BLOCK) + 1) * _BLOCK
        for first in range(0, count, per_shard)
    )


def check_room(job: Job, missing_share: float, size: int) -> None:
    """Refuses a preparation that cannot end, from which an error would come after hours.

    Args:
      job: the set.
      missing_share: of the shards that are not made yet.
      size: of the whole set [bytes], by `look_ahead`.

    Raises:
      UserError: there is no room.
    """
    needed = size * missing_share * (1 if job.options.encoding == 'raw' else _UNCERTAINTY) + _LEFT_FREE
    free = shutil.disk_usage(job.out).free
    if free < needed:
        raise UserError(
            f'{job.out}: there is no room: {readable(needed)} are needed, and {readable(free)} are free',
            remedy='make room or choose another out, and start the same command again, or choose another encoding',
        )


def readable(size: float) -> str:
    """Returns a number of bytes in MiB or GiB."""
    return f'{size / 2**30:.1f} GiB' if size >= 2**30 else f'{size / 2**20:.1f} MiB'
