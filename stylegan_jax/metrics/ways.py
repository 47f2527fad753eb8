"""How results were obtained: only those of one way stand side by side."""

from collections.abc import Iterable, Mapping
from typing import Any

# Fields of a result that may differ between results that are compared: they say what was measured, or are due to
# chance. All others say how it was measured.
_OUTCOMES = 'value', 'standard_error', 'bits', 'not_converged', 'kept', 'std_over_splits', 'stays', 'moves', 'counted'
_OCCASION = 'network', 'network_path', 'nimg', 'lod', 'data_path', 'seed', 'devices', 'version', 'jax', 'time'
_MAY_DIFFER = {'metric', *_OUTCOMES, *_OCCASION, 'in_training', 'note'}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Returns the names of the fields in which two results say that they were obtained in other ways."""
    return sorted(name for name in {*one, *other} - _MAY_DIFFER if one.get(name) != other.get(name))


def by_way(found: Iterable[dict[str, Any]]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Sorts results by their metric, and by how they were obtained.

    Args:
      found: results, dicts with a 'metric'.

    Returns:
      For each metric its results, in their order, under words that tell their way from the first, such as 'psi=0.7'.
      The first way, under '', is the one in which the training itself measures, or else that of the last result.
    """
    metrics = {}
    for result in found:
        metrics.setdefault(result['metric'], []).append(result)
    return {metric: _sorted(results) for metric, results in metrics.items()}


def _sorted(results):
    first = next((result for result in reversed(results) if result.get('in_training')), results[-1])
    ways = {'': []}
    for result in results:
        words = ', '.join(f'{name}={result.get(name)}' for name in differences(first, result))
        ways.setdefault(words, []).append(result)
    return ways
