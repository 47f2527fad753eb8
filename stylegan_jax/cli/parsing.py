"""Values of flags that are lists: seeds, layers, strengths."""

import collections.abc
import math
import re

from stylegan_jax.errors import UserError

_MOST_SEEDS = 100_000


def parse_seeds(text: str, flag: str = 'seeds') -> list[int]:
    """Parses seeds, such as '0-15' or '3,7,20-25'.

    Args:
      text: numbers and ranges with commas between them.
      flag: the name of the flag, for the error.

    Returns:
      The seeds, in the order of the text.

    Raises:
      UserError: the text has another form, or names no seed.
    """
    seeds = []
    for part in _ranges(text):
        if part.stop > 2**32 or not 0 < len(part) <= _MOST_SEEDS:
            raise UserError(
                f'give numbers below 2^32 and rising ranges of at most {_MOST_SEEDS:,}, such as 0-15 or 3,7,20-25',
                field=flag,
                value=text,
            )
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


def _ranges(text):
    """Yields the ranges in a text such as '3,7,20-25'; a part that has another form yields an empty range."""
    for part in text.split(','):
        match = re.fullmatch(r'\s*(\d+)(?:\s*-\s*(\d+))?\s*', part, re.ASCII)
        yield range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
