"""The one adapter from sources to training: pictures of any size become full-size pixels, not yet batches.

Every picture is looked at once when the set is opened, so that every start finds the same pictures usable. A set that
fits the memory budget is decoded then; of a larger one only the sizes of the pictures are read.
"""

import itertools
import logging
import math
import pathlib
import typing

import numpy as np

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data import too_small, values
from stylegan_jax.data.channels import value_extrema
from stylegan_jax.data.fitting import Unusable, fitted, placement
from stylegan_jax.data.pixels import to_uint8
from stylegan_jax.data.source_sample import extrema_of_some, pictures_at_once, some_indices
from stylegan_jax.data.sources.base import MAX_UNUSABLE, PictureSource, share_that_allows
from stylegan_jax.data.sources.pictures import failing_as_unusable
from stylegan_jax.data.staged_images import StagedImages
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.threads import NUM_THREADS, fits_memory, in_threads

_FIT = 'crop'
_EXAMINED = 1000  # pictures whose sizes `examine_some` reads ...
_DECODED = 64  # ... and how many of them it decodes, which takes seconds where they are large photos
_STANDARD_ERRORS = 4  # by which a share among these exceeds the largest one, before it is taken for that of all
_log = logging.getLogger(__name__)


class FittedPictures(StagedImages):
    """The usable pictures of a source, cropped centrally and reduced to the shape of an ImageConfig."""

    def __init__(
        self,
        source: PictureSource,
        image: ImageConfig,
        labels: np.ndarray,
        label_names: tuple[str, ...] | None = None,
        fourth_channel: str = 'alpha',
    ):
        """Finds the usable pictures, and decodes them if they fit the memory budget.

        Args:
          source: where the pictures are.
          image: the shape of the images; channels are 1, 3 or 4.
          labels: float32 [n, K], of the first n pictures of the source; later ones are left out.
          label_names: the meaning of the K entries, or None.
          fourth_channel: the meaning of the last of four channels; see `pixels.box_reduce`.

        Raises:
          UserError: too many pictures are unusable.
        """
        self.image, self.label_names = image, label_names
        self._source, self.fourth_channel = source, fourth_channel
        self.at_once = pictures_at_once(source)
        self._damaged = set()  # pictures of a large set that proved damaged only when they were read
        count = len(labels)
        self.pixels = source.all_pixels(image.shape) if fits_memory(count, image.shape) else None
        if self.pixels is not None:
            self.pixels, reasons = self.pixels[:count], [None] * count
        else:
            extrema = []  # of the pictures of more than 8 bits
            reasons = self._examine_all(count, extrema)
            if warning := values.warning_of(extrema):
                _log.warning('%s: %s', source.path, warning)
        _report_unusable(source, reasons, image)
        usable = np.array([reason is None for reason in reasons])
        self._rows = np.flatnonzero(usable)  # places of the usable pictures in the source
        self.labels = labels[usable]
        self.signature = source.signature(self._rows)
        if self.pixels is not None and not usable.all():
            for row, index in enumerate(self._rows):  # in place, because a copy may not fit
                self.pixels[row] = self.pixels[index]
            self.pixels = self.pixels[: len(self)]
        self.in_memory = self.pixels is not None or source.in_memory

    def name(self, index: int) -> str:
        """Returns the name of an image in messages, which is its picture's."""
        return self._source.name(self._rows[index])

    def full_size(self, index: int) -> np.ndarray:
        """Returns the pixels of one image, uint8 [H, W, C].

        A picture may have a good header when the set is opened, but be impossible to decode. Then it is named once,
        and the next good image of its class takes its place.

        Raises:
          UserError: too many pictures cannot be decoded.
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
        raise UserError(
            f'{self._source.path}: no image of the class of {self.name(index)} can be read', remedy='repair the set'
        )

    def __getstate__(self):
        # Copies in processes that read ahead share the memory; where it is short, each reads one picture at a time.
        return self.__dict__ | {'at_once': 1 if self.at_once < NUM_THREADS else self.at_once}

    def _note_damage(self, index, error):
        if index not in self._damaged:
            self._damaged.add(index)
            _log.warning('%s: skipping %s (%s)', self._source.path, self.name(index), error)
        if len(self._damaged) / len(self) > self._source.max_skipped:
            path = pathlib.PurePath(self._source.path) / self.name(index)
            raise UserError(
                f'{path}: {error}; {len(self._damaged)} of {len(self)} images cannot be used so far',
                remedy=_remedy(len(self._damaged), len(self)),
            ) from error

    def _examine_all(self, count, extrema):
        """Decodes the first `count` pictures, or finds their sizes; returns why each is unusable, or None.

        Extrema of values are appended to a list: of all pictures, or of some where they are not decoded.
        """
        if fits_memory(count, self.image.shape):
            self.pixels = np.empty([count, *self.image.shape], np.uint8)
        else:
            extrema += extrema_of_some(self._source)
            if (size := self._source.common_size()) is not None:  # asking for each of millions would take minutes
                return [_reason_against(size, self.image)] * count
        return in_threads(
            lambda row: self._examine(row, extrema), count, 'reading images', min(NUM_THREADS, self.at_once)
        )

    def _examine(self, row, extrema):
        try:
            if self.pixels is None:
                return _reason_against(self._source.size(row), self.image)
            self.pixels[row] = self._decode(row, extrema)
        except Unusable as error:
            return str(error)
        return None

    def _decode(self, row, extrema=None):
        return _decoded(self._source, row, self.image, self.fourth_channel, extrema)


def _decoded(source, row, image, fourth_channel, extrema=None):
    """Returns full-size pixels, uint8 [H, W, C], and appends extrema to a list, if any; raises Unusable."""
    picture = source.picture(row)
    with failing_as_unusable():
        if extrema is not None and not isinstance(picture, np.ndarray) and (found := value_extrema(picture)):
            extrema.append(found)
        return to_uint8(
            fitted(picture, image.shape, fit=_FIT, resize_filter=source.resize_filter, fourth_channel=fourth_channel)
        )


class Examined(typing.NamedTuple):
    """What `examine_some` looked at, and found.

    Attributes:
      usable: bool [count], False for pictures that are known to be unusable.
      sizes: of how many pictures the sizes are known.
      decoded: how many pictures were decoded.
    """

    usable: np.ndarray
    sizes: int
    decoded: int


def examine_some(source: PictureSource, image: ImageConfig, count: int, fourth_channel: str = 'alpha') -> Examined:
    """Looks at the sizes of some pictures and decodes a few, evenly spaced, where `FittedPictures` looks at all.

    Args:
      source: where the pictures are.
      image: the shape of the images.
      count: of the pictures, the first ones of the source.
      fourth_channel: see `FittedPictures`.

    Raises:
      UserError: too many pictures are unusable. Where there are more than it looks at, the share among those has to
        exceed the largest one by some standard errors, so that no set is refused by chance which the run would take; a
        share that is nearer gets a warning.
    """
    size = source.common_size()
    if size is not None and (reason := _reason_against(size, image)):
        _report_unusable(source, [reason] * count, image)
    rows = some_indices(range(count), _DECODED if size else _EXAMINED)
    decoded = some_indices(rows, _DECODED)

    def examine(place):
        try:
            if place in decoded:
                _decoded(source, rows[place], image, fourth_channel)
                return None
            return _reason_against(source.size(rows[place]), image)
        except Unusable as error:
            return str(error)

    at_once = min(NUM_THREADS, pictures_at_once(source))
    reasons = in_threads(examine, len(rows), 'looking at images', at_once)
    if len(rows) == count:
        _report_unusable(source, reasons, image)
    else:
        _refuse_clear_share(source, reasons, image, rows)
    if len(decoded) < len(rows):  # The share of damaged ones shows only among those that were decoded.
        _refuse_clear_share(source, [reasons[place] for place in decoded], image, [rows[place] for place in decoded])
    unusable = len(rows) - reasons.count(None)
    if unusable and len(rows) < count:
        _log.warning('%s: %d of %d images that were looked at cannot be used', source.path, unusable, len(rows))
    usable = np.ones(count, bool)
    usable[[row for row, reason in zip(rows, reasons) if reason is not None]] = False
    return Examined(usable, count if size else len(rows), len(decoded))


def _refuse_clear_share(source, reasons, image, rows):
    """Raises a UserError if more of some pictures are unusable than chance explains, see `examine_some`."""
    examined, unusable, share = len(reasons), len(reasons) - reasons.count(None), source.max_skipped
    margin = _STANDARD_ERRORS * math.sqrt(examined * share * (1 - share))  # of a binomial distribution
    if unusable > examined * share + margin or unusable == examined:
        _report_unusable(source, reasons, image, rows)


def _reason_against(size, image):
    """Returns why pictures of a size (height, width) are unusable, or None."""
    try:
        placement(*size, image.shape, _FIT)
    except Unusable as error:
        return str(error)
    return None


def _remedy(unusable, total):
    remedy = 'mend or remove them'
    if unusable < total:
        remedy += f', or allow as many with data.max_skipped={share_that_allows(unusable, total):g}'
    return remedy


def _report_unusable(source, reasons, image, indices=None):
    """Warns of unusable pictures; raises a UserError when they are too many.

    Args:
      source: of the pictures.
      reasons: why each is unusable, or None.
      image: what they are unusable for.
      indices: of the pictures in the source, if they are some that were looked at; None for the first ones.
    """
    images = 'images that were looked at' if indices else 'images'
    indices, total = indices or range(len(reasons)), len(reasons)
    rows = [row for row, reason in enumerate(reasons) if reason is not None]
    descriptions = (f'{source.name(indices[row])} ({reasons[row]})' for row in rows)
    if len(rows) / total > source.max_skipped or len(rows) == total:
        examples = ', '.join(itertools.islice(descriptions, 3))
        mending = _remedy(len(rows), total)
        suggestion = too_small.suggestion(
            too_small.sizes_of(source, [indices[row] for row in rows]),
            image,
            _FIT,
            unusable=len(rows),
            total=total,
            max_skipped=source.max_skipped,
        )
        raise UserError(
            f'{source.path}: {len(rows)} of {total} {images} cannot be used, such as {examples}',
            remedy=f'{suggestion}, or {mending}' if suggestion else f'{mending}, or check image.resolution',
        )
    if len(rows) > MAX_UNUSABLE * total:  # only where that is usual, as in LSUN, which has thousands of them
        _log.warning('%s: skipping %d of %d images, such as %s', source.path, len(rows), total, next(descriptions))
        return
    for description in descriptions:
        _log.warning('%s: skipping %s', source.path, description)
