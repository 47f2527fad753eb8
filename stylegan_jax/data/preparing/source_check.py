"""A report on a source and on the set that it would make, from reading it in full before anything is written."""

import collections
import hashlib
import threading
import typing

import numpy as np

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data import too_small, values
from stylegan_jax.data.channels import is_deep, rows_of, value_extrema
from stylegan_jax.data.fitting import Unusable, as_picture, placement
from stylegan_jax.data.labels import is_one_hot
from stylegan_jax.data.source_sample import pictures_at_once
from stylegan_jax.data.sources.base import PictureSource, share_that_allows
from stylegan_jax.data.sources.pictures import failing_as_unusable
from stylegan_jax.runtime.threads import NUM_THREADS, in_threads

_LISTED = 20  # names or rows under one heading
# Pillow's modes without colour.
_COLOURLESS = ('1', 'L', 'LA', 'La', 'I', 'I;16', 'I;16B', 'F')


class Report(typing.NamedTuple):
    """The findings of `check`.

    Attributes:
      text: lines for people.
      usable: whether a set that fits the image could be prepared.
    """

    text: str
    usable: bool


class _Tally:
    """Counts of the pictures seen so far, which several threads add to."""

    def __init__(self, count):
        self.sizes, self.kinds, self.notes, self.unusable_sizes = (collections.Counter() for _ in range(4))
        self.skipped = collections.defaultdict(lambda: [0, []])  # reason -> how many, indices of the first
        # With digests of 8 bytes, two of 3 million pictures share one by chance once in 4 million sources.
        self.extrema = []  # values of pictures of more than 8 bits
        self.digests = np.zeros(count, np.uint64)
        self.decoded = np.zeros(count, bool)
        self.lock = threading.Lock()

    def skip(self, index: int, kind: str, reason: str, size: tuple[int, int] | None = None) -> None:
        """Counts a picture that cannot be used, under a heading that others share; a damaged one has no size."""
        with self.lock:
            self.unusable_sizes[size] += 1
            entry = self.skipped[kind]
            entry[0] += 1
            entry[1] = sorted([*entry[1], (index, reason)])[:_LISTED]


def check(source: PictureSource, image: ImageConfig, *, fit: str, max_skipped: float | None = None) -> Report:
    """Reads every picture of a source and reports on them, with a progress bar.

    Args:
      source: where the pictures are.
      image: the shape that the pictures are meant for.
      fit: see `fitting.placement`.
      max_skipped: largest share of the pictures that may be left out; the default is the source's.

    Raises:
      UserError: `fit` does not make images of such a shape.
    """
    if max_skipped is None:
        max_skipped = source.max_skipped
    tally = _Tally(len(source))
    in_threads(
        lambda index: _examine(source, index, image, fit, tally),
        len(source),
        'checking pictures',
        min(NUM_THREADS, pictures_at_once(source)),
    )
    problems = _problems(source, image, tally, fit, max_skipped)
    lines = [
        f'{source.path}: {len(source)} pictures ({source.kind})',
        *_seen_lines(tally),
        *_skipped_lines(source, tally),
        *_duplicate_lines(source, tally),
        *_label_lines(source),
        *(f'note: {number} {note}' for note, number in tally.notes.most_common()),
        *(f'note: {note}' for note in source.notes),
    ]
    lines += [f'note: {line}' for line in [values.described(tally.extrema)] if line]
    if problems:
        lines += [f'PROBLEM: {problem}' for problem in problems]
    else:
        height, width, channels = image.shape
        lines.append(
            f'{len(source) - _num_skipped(tally)} images can be prepared: {width}x{height} with {channels} '
            f'channel{"s" if channels > 1 else ""}, fit {fit}'
        )
    return Report('\n'.join(lines), not problems)


def _examine(source, index, image, fit, tally):
    """Reads one picture, and adds it to the tally."""
    try:
        picture = source.picture(index)
        with failing_as_unusable():
            if isinstance(picture, np.ndarray):
                picture = as_picture(picture)
            rows = rows_of(picture, 4)  # so that the same picture in another mode counts as a duplicate
            digest = hashlib.blake2b(digest_size=8, key=f'{rows.shape}'.encode())
            for strip in rows.strips():
                digest.update(np.ascontiguousarray(rows.read(*strip)))
            extrema = filter(None, [value_extrema(picture)])
    except Unusable as error:
        tally.skip(index, 'cannot be decoded', str(error))
        return
    with tally.lock:
        tally.sizes[rows.shape[:2]] += 1
        tally.extrema = values.merged([*tally.extrema, *extrema])
        tally.kinds[f'{picture.mode} {picture.format or "array"}'] += 1
        tally.notes.update(_notes(picture.mode, picture.has_transparency_data, is_deep(picture), image.channels))
    tally.digests[index], tally.decoded[index] = np.frombuffer(digest.digest(), np.uint64)[0], True
    try:
        placement(*rows.shape[:2], image.shape, fit)
    except Unusable as error:
        tally.skip(index, 'of the wrong size' if fit == 'exact' else 'too small', str(error), rows.shape[:2])


def _notes(mode, transparent, deep, channels):
    """Yields the effects that a change of channels has on a picture."""
    if transparent and channels != 4:
        yield 'have transparency, which is composited on white'
    if mode in _COLOURLESS and channels != 1:
        yield 'are grey, which is repeated in every colour'
    if mode not in _COLOURLESS and channels == 1:
        yield 'are in colour, of which the luma is kept'
    if not transparent and channels == 4:
        yield 'have no transparency and become opaque'
    if deep:
        yield 'have 16 bits, of which the high byte is kept'


def _num_skipped(tally):
    return sum(number for number, _ in tally.skipped.values())


def _problems(source, image, tally, fit, max_skipped):
    """Returns the reasons why no set for `image` could be prepared; none if one could."""
    skipped, label_dim, problems = _num_skipped(tally), source.labels.shape[1], []
    numbers = {'unusable': skipped, 'total': len(source), 'max_skipped': max_skipped}
    suggested = too_small.suggestion(tally.unusable_sizes, image, fit, **numbers, setting='resolution={}')
    if skipped == len(source):
        problems.append('no picture can be used' + (f'; {suggested}' if suggested else ''))
    elif skipped / len(source) > max_skipped:
        problems.append(
            f'{skipped} of {len(source)} pictures cannot be used, more than a share of {max_skipped:g}; '
            + (f'{suggested}, or ' if suggested else '')
            + f'mend or remove them, or allow as many with max_skipped={share_that_allows(skipped, len(source)):g}'
        )
    if image.channels not in (1, 3, 4):
        problems.append(f'image.channels={image.channels}: pictures have 1 (grey), 3 (RGB) or 4 (RGBA)')
    if image.label_dim not in (0, label_dim):
        problems.append(
            f'image.label_dim={image.label_dim}, but the labels have {label_dim} entries; '
            f'set image.label_dim={label_dim}, or choose other labels'
        )
    return problems


def _listed(lines, total):
    """Returns the first lines, and how many more there are."""
    lines = lines[:_LISTED]
    return [f'  {line}' for line in lines] + ([f'  ... and {total - len(lines)} more'] if total > len(lines) else [])


def _seen_lines(tally):
    sizes = [f'{width}x{height}: {number}' for (height, width), number in tally.sizes.most_common()]
    kinds = [f'{kind}: {number}' for kind, number in tally.kinds.most_common()]
    return ['sizes:', *_listed(sizes, len(sizes)), 'modes and formats:', *_listed(kinds, len(kinds))]


def _skipped_lines(source, tally):
    if not tally.skipped:
        return ['skipped: none']
    lines = [f'skipped: {_num_skipped(tally)}']
    for kind, (number, examples) in sorted(tally.skipped.items()):
        lines += [f' {number} {kind}:', *_listed([f'{source.name(index)}: {why}' for index, why in examples], number)]
    return lines


def _duplicate_lines(source, tally):
    """Lists pictures whose decoded pixels are those of an earlier one."""
    # Sorted by digest, equal pictures are neighbours; each run of equal digests begins with its first picture.
    decoded = np.flatnonzero(tally.decoded)
    order = decoded[np.argsort(tally.digests[decoded], kind='stable')]  # stable: the first of equals comes first
    digests = tally.digests[order]
    starts = np.concatenate([[True], digests[1:] != digests[:-1]])[: len(order)]
    first = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    copies = np.flatnonzero(~starts)
    copies = copies[np.argsort(order[copies])]
    if not len(copies):
        return ['duplicates: none']
    pairs = [f'{source.name(order[row])} is {source.name(first[row])}' for row in copies[:_LISTED]]
    return [f'duplicates: {len(copies)}', *_listed(pairs, len(copies))]


def _label_lines(source):
    """Lists how often each entry of the labels is set."""
    labels = source.labels
    if not labels.shape[1]:
        return ['labels: none']
    names = source.label_names or [f'class {number}' for number in range(labels.shape[1])]
    if not np.isin(labels, (0, 1)).all():
        means = [f'{name}: mean {mean:.3g}' for name, mean in zip(names, labels.mean(axis=0))]
        return [f'labels: {len(names)} numbers each', *_listed(means, len(means))]
    numbers = labels.sum(axis=0, dtype=np.int64)
    lines = [f'{name}: {number} ({number / len(labels):.1%})' for name, number in zip(names, numbers)]
    kinds = ('class', 'classes') if is_one_hot(labels) else ('attribute', 'attributes')
    fewest, most = numbers.min(), numbers.max()
    lines = [
        f'labels: {len(names)} {kinds[len(names) > 1]}, {f"{fewest} to " * bool(fewest < most)}{most} pictures each',
        *_listed(lines, len(lines)),
    ]
    if empty := np.flatnonzero(numbers == 0).tolist():
        lines.append(f'note: {len(empty)} of these without a picture, such as {names[empty[0]]}')
    return lines
