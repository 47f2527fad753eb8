"""Values of flags that are lists: seeds, layers, strengths."""

import math
import re

from stylegan_jax.errors import UserError

_MOST_SEEDS = 100_000


def parse_seeds(text, flag='seeds'):
    """Returns the seeds that a text such as '0-15' or '3,7,20-25' names.

    Args:
      text: what was given.
      flag: the name of the flag, for the error.

    Raises:
      UserError: the text has another form, or names no seed.
    """
    seeds = []
    for part in _ranges(text):
        if part.stop > 2**32 or not 0 < len(part) <= _MOST_SEEDS:
            raise UserError(
                f'--{flag}={text}: give numbers below 2^32 and rising ranges of at most {_MOST_SEEDS:,}, '
                'such as 0-15 or 3,7,20-25'
            )
        seeds += part
    return seeds


def parse_layers(text, count):
    """Returns the layers that a text such as '0-3' or '4,5,6' names; UserError if there are not so many."""
    layers = []
    for part in _ranges(text):
        if part.stop > count or not part:
            raise UserError(f'--layers={text}: give numbers and rising ranges from 0 to {count - 1}, such as 0-3')
        layers += part
    return layers


def parse_strengths(texts):
    """Returns numbers; UserError for what is none."""
    try:
        strengths = [float(text) for text in texts]
    except ValueError:
        strengths = []
    if not strengths or not all(map(math.isfinite, strengths)):
        raise UserError(f'--strengths={",".join(texts)}: give numbers, such as -3,0,3')
    return strengths


def _ranges(text):
    """The ranges that a text with commas names, such as '3,7,20-25'; an empty one for what is none."""
    for part in text.split(','):
        match = re.fullmatch(r'\s*(\d+)(?:\s*-\s*(\d+))?\s*', part, re.ASCII)
        yield range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
