"""A look ahead at the set that a preparation would make: what it takes, and what would be wrong with it."""

import shutil
import typing

import numpy as np

from stylegan_jax.data import values
from stylegan_jax.data.channels import value_extrema
from stylegan_jax.data.fitting import Unusable
from stylegan_jax.data.preparing.shards import Job, Options
from stylegan_jax.data.records import ENCODINGS, RecordFormat
from stylegan_jax.data.source_sample import some_pictures
from stylegan_jax.data.sources.base import PictureSource
from stylegan_jax.errors import UserError

_PICTURES = (2, 24)  # at least and at most so many are encoded ...
_PIXELS = 1 << 21  # ... and no more than those that have so many pixels
_RECORD_BYTES = 160  # of a record beside the encoded image: names, the label, and what the file adds
_LABEL_BYTES = 4  # of each entry of a label
_LEFT_FREE = 1 << 20  # bytes; the files beside the records need room as well
_UNCERTAINTY = 0.8  # share of an estimate that must fit; raw pixels are not estimated


class Outlook(typing.NamedTuple):
    """The findings of `look_ahead`.

    Attributes:
      sizes: {encoding: bytes of the whole set}; estimates, but for 'raw'. An encoding that has no images of such
        channels is not in it.
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


def look_ahead(source: PictureSource, options: Options, encodings: typing.Sequence[str] = ENCODINGS) -> Outlook:
    """Reads a few pictures, evenly spread, and encodes them.

    Args:
      source: where the pictures are.
      options: of the set.
      encodings: those whose size is asked for.
    """
    image = options.image
    most = int(np.clip(_PIXELS // (image.shape[0] * image.shape[1]), *_PICTURES))
    encoded, number, extrema = dict.fromkeys(encodings, 0), 0, []
    if list(encodings) != ['raw'] or options.value_range is None:
        for _, picture in some_pictures(source, most):
            if options.value_range is None and not isinstance(picture, np.ndarray):
                extrema += filter(None, [value_extrema(picture)])
            try:
                levels = options.levels_of(picture)
            except Unusable:
                continue
            number += 1
            for encoding in encodings:
                encoded[encoding] += sum(_encoded_bytes(level, encoding) for level in levels)
    sizes = {}
    overhead = len(source) * image.num_stages * (_RECORD_BYTES + _LABEL_BYTES * image.label_dim)
    for encoding in encodings:
        try:
            RecordFormat(image.shape, encoding)
        except UserError:
            continue
        if encoding == 'raw':
            pixels = sum(int(np.prod(image.stage_shape(stage))) for stage in range(image.num_stages))
            sizes[encoding] = overhead + len(source) * pixels * image.channels
        elif number:
            sizes[encoding] = overhead + len(source) * encoded[encoding] // number
    return Outlook(sizes, values.warning_of(extrema))


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


def _encoded_bytes(level, encoding):
    try:
        return RecordFormat(level.shape, encoding).encoded_size(level)
    except UserError:  # there is no such encoding of such images
        return 0


def readable(size: float) -> str:
    """Returns a number of bytes in MiB or GiB."""
    return f'{size / 2**30:.1f} GiB' if size >= 2**30 else f'{size / 2**20:.1f} MiB'
