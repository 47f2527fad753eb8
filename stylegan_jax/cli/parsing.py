"""Values of flags that are lists: seeds, layers, strengths."""

import collections.abc
import math
import re

from stylegan_jax.errors import UserError

LARGEST_SEED = 2**32 - 1  # a larger one would be a smaller one to JAX
_MOST_SEEDS = 100_000
_MOST_LISTED = 20  # names of classes in an error


def parse_seeds(text: str, flag: str = 'seeds', most: int | None = None) -> list[int]:
    """Parses seeds, such as '0-15' or '3,7,20-25'.

    Args:
      text: numbers and ranges with commas between them.
      flag: the name of the flag, for the error.
      most: seeds in all; None for no bound.

    Returns:
      The seeds, in the order of the text.

    Raises:
      UserError: the text has another form, or names no seed.
    """
    seeds = []
    for part in _ranges(text):
        if part.stop > LARGEST_SEED + 1 or not 0 < len(part) <= _MOST_SEEDS:
            raise UserError(
                f'give numbers below 2^32 and rising ranges of at most {_MOST_SEEDS:,}, such as 0-15 or 3,7,20-25',
                field=flag,
                value=text,
            )
        if most is not None and len(seeds) + len(part) > most:
            raise UserError(f'give at most {most} seeds', field=flag, value=text)
        seeds += part
    return seeds


def parse_layers(text: str, count: int) -> list[int]:
    """Parses layers, such as '0-3' or '4,5,6'.

    Args:
      text: numbers and ranges with commas between them.
      count: how many layers there are.

    Raises:
      UserError: the text has another form, or a layer does not exist.
    """
    layers = []
    for part in _ranges(text):
        if part.stop > count or not part:
            raise UserError(
                f'give numbers and rising ranges from 0 to {count - 1}, such as 0-3', field='layers', value=text
            )
        layers += part
    return layers


def parse_strengths(texts: collections.abc.Sequence[str]) -> list[float]:
    """Parses strengths; raises UserError unless all texts are finite numbers, and there is one at least."""
    try:
        strengths = [float(text) for text in texts]
    except ValueError:
        strengths = []
    if not strengths or not all(map(math.isfinite, strengths)):
        raise UserError('give numbers, such as -3,0,3', field='strengths', value=','.join(texts))
    return strengths


def parse_classes(text: str, label_dim: int, names: collections.abc.Sequence[str] | None = None) -> list[int]:
    """Parses classes, such as '2', 'cat', '0-3' or 'cat,dog,7'.

    Args:
      text: numbers, ranges and names with commas between them. 'name:7' is the class of that name, and 'number:7' that
        of the number, where both could be meant.
      label_dim: K, the number of classes.
      names: of the classes; None if they have none.

    Returns:
      The numbers of the classes, in the order of the text.

    Raises:
      UserError: there is no such class, or two could be meant.
    """
    names = list(names or ())
    if text in names:  # a name may have commas in it
        return [_class_of(text, label_dim, names)]
    found = []
    for part in map(str.strip, text.split(',')):
        ends = re.fullmatch(r'(\d+)\s*-\s*(\d+)', part, re.ASCII)
        if ends and part not in names and int(ends[1]) <= int(ends[2]) < label_dim:
            found += range(int(ends[1]), int(ends[2]) + 1)
        else:
            found.append(_class_of(part, label_dim, names))
    return found


def _class_of(text, label_dim, names):
    """Returns the number of the class that a text names."""
    kind, _, rest = text.partition(':')
    by_name = [number for number, name in enumerate(names) if name == text]
    by_name = by_name or [number for number, name in enumerate(names) if name.casefold() == text.casefold()]
    if kind == 'name' and rest in names:
        by_name, text = [names.index(rest)], ''
    number = re.fullmatch(r'(?:number:)?([+-]?\d+)', text, re.ASCII)
    by_number = [int(number[1])] if number and 0 <= int(number[1]) < label_dim else []
    found = set(by_name + by_number)
    if len(found) > 1:
        raise UserError(
            f'{text!r} could be several classes: ' + ', '.join(f'{one} ({names[one]})' for one in sorted(found)),
            field='class',
            value=text,
            remedy='write name:... or number:...',
        )
    if found:
        return found.pop()
    known = ', '.join(names[:_MOST_LISTED]) + (', ...' if len(names) > _MOST_LISTED else '')
    raise UserError(
        f'class {text} does not exist; this network has classes 0 to {label_dim - 1}'
        + (f' ({known})' if names else ('' if number else ', whose names are not known'))
    )


def parse_label(text: str, label_dim: int) -> list[float]:
    """Parses a label such as '0,1,0.5'; raises UserError unless it is `label_dim` finite numbers."""
    try:
        label = [float(part) for part in text.split(',')]
    except ValueError:
        label = []
    if len(label) != label_dim or not all(map(math.isfinite, label)):
        raise UserError(
            f'give {label_dim} numbers with commas, which the labels of this network have', field='label', value=text
        )
    return label


def _ranges(text):
    """Yields the ranges in a text such as '3,7,20-25'; a part that has another form yields an empty range."""
    for part in text.split(','):
        match = re.fullmatch(r'\s*(\d+)(?:\s*-\s*(\d+))?\s*', part, re.ASCII)
        yield range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
