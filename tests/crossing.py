"""Combinations of options for a test: by default as many as show each pair of values, with `-m full` all of them."""

import itertools

import pytest


def crossed(indirect=False, **axes):
    """Returns a parametrize mark over all combinations of options.

    Combinations that show no new pair of values are marked `full`, which the default suite leaves out.

    Args:
      indirect: see `pytest.mark.parametrize`.
      **axes: a list of values for each argument of the test.
    """
    combinations = list(itertools.product(*axes.values()))
    left, unseen = list(combinations), set().union(*map(_pairs, combinations))
    chosen = []
    while unseen:
        best = max(left, key=lambda combination: len(_pairs(combination) & unseen))
        unseen -= _pairs(best)
        left.remove(best)
        chosen.append(best)
    return pytest.mark.parametrize(
        ','.join(axes),
        [
            pytest.param(*combination, marks=() if combination in chosen else pytest.mark.full)
            for combination in combinations
        ],
        indirect=indirect,
    )


def _pairs(combination):
    """The pairs of values that a combination shows, by their places; the value itself where there is one axis."""
    places = range(len(combination))
    pairs = itertools.combinations(places, 2) if len(combination) > 1 else [(place,) for place in places]
    return {(pair, *(repr(combination[place]) for place in pair)) for pair in pairs}
