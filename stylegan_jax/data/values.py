"""Pictures of more than 8 bits: whether their values fill the range that they are shown in, and which would suit."""

import math
import typing
from collections.abc import Sequence


class Extrema(typing.NamedTuple):
    """The values of a picture of more than 8 bits.

    Attributes:
      low, high: the lowest and the highest.
      white: the value that is white where nothing else is asked for: 65535, or 255 of floats.
    """

    low: float
    high: float
    white: int


def merged(extrema: Sequence[Extrema]) -> list[Extrema]:
    """Returns the extrema of all pictures that share a white."""
    kinds = {}
    for low, high, white in extrema:
        before = kinds.get(white, (low, high))
        kinds[white] = min(low, before[0]), max(high, before[1])
    return [Extrema(*pair, white) for white, pair in sorted(kinds.items())]


def suggested_range(extrema: Sequence[Extrema]) -> tuple[float, float] | None:
    """Returns (black, white) that suit pictures, where the usual ones leave them nearly black, or cut values off.

    Args:
      extrema: of the pictures of more than 8 bits.

    Returns:
      None where the usual range will do.
    """
    for low, high, white in merged(extrema):
        if low < 0:
            return low, high
        if high == 0 or white / 2 < high <= white:
            continue
        if white == 255 or high <= 1:  # floats
            return 0, 1 if high <= 1 else high
        return 0, 2 ** math.ceil(math.log2(high + 1)) - 1  # of as many bits as the values have
    return None


def warning_of(extrema: Sequence[Extrema]) -> str | None:
    """Returns a line about values that leave pictures nearly black, or are cut off; None if there are none."""
    suggested = suggested_range(extrema)
    if suggested is None:
        return None
    low, high = suggested
    return (
        f'{described(extrema)}: these will be nearly black, or cut off; prepare them with '
        f'prepare_data --value_range={low:.10g},{high:.10g}'
    )


def described(extrema: Sequence[Extrema]) -> str | None:
    """Returns in words which values pictures of more than 8 bits have; None if there are no such pictures."""
    kinds = [f'{low:.6g} to {high:.6g}' + f', where {white} is white' for low, high, white in merged(extrema)]
    if not kinds:
        return None
    return 'the values of pictures of more than 8 bits are ' + ' and '.join(kinds)
