"""Results as lines of JSON, each with how it was obtained; and tables of results that were obtained in the same way."""

import datetime
import errno
import importlib.metadata
import json
import os
from collections.abc import Sequence

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.ways import differences
from stylegan_jax.runtime import atomic

_REMEDY = 'give a file that evaluate wrote'


def complete(result: dict, **about: object) -> dict:
    """Returns a result with further fields, the versions of this package and of JAX, and the time."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
    versions = {'version': importlib.metadata.version('stylegan_jax'), 'jax': importlib.metadata.version('jax')}
    return {**result, **about, **versions, 'time': now}


def check_writable(path: str | os.PathLike) -> None:
    """Raises a UserError where results could not be written into a file, before they are worked for; writes nothing."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        reason = os.strerror(errno.EISDIR)
    elif not os.path.isdir(folder):
        reason = f'there is no folder {folder}'
    elif not os.access(path if os.path.exists(path) else folder, os.W_OK):
        reason = os.strerror(errno.EACCES)
    else:
        return
    raise _unwritable(path, reason)


def append(path: str | os.PathLike, results: Sequence[dict]) -> None:
    """Adds results to a file, one line for each; all of them or none.

    Raises:
      UserError: the file cannot be written.
    """
    try:
        atomic.append_lines(path, ''.join(json.dumps(result) + '\n' for result in results).encode())
    except OSError as error:
        raise _unwritable(path, error.strerror) from error


def _unwritable(path, reason):
    return UserError(f'results cannot be written ({reason})', field='results', value=path, remedy='choose another file')


def read(path: str | os.PathLike) -> list[dict]:
    """Returns the results of a file, without incomplete lines, which a kill may leave.

    Raises:
      UserError: the file cannot be read, or a line is no result.
    """
    try:
        with open(path) as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise UserError(f'{path}: cannot be read ({reason})', remedy=_REMEDY) from None
    results = []
    for number, line in enumerate(lines, 1):
        try:
            result = json.loads(line)
            result['metric'], result['value'] + 0.0
        except json.JSONDecodeError:
            if not line.startswith('{"metric"'):
                raise UserError(f'{path}: line {number} is no result', remedy=_REMEDY) from None
            continue
        except (KeyError, TypeError):
            raise UserError(f'{path}: line {number} is no result', remedy=_REMEDY) from None
        results.append(result)
    return results


def line(result: dict) -> str:
    """Returns a result as a line for people."""
    error = result.get('standard_error')
    value = f'{result["value"]:.6g}' + ('' if error is None else f' ± {error:.2g}')
    return f'{result["metric"]:24s} {value:24s} {_short(result)}'.rstrip()


def compared(paths: Sequence[str]) -> str:
    """Returns a table of the results of several files, with a row for each metric and a column for each network.

    Args:
      paths: of files; of results that a file has several times, the last counts.

    Raises:
      UserError: a metric was not obtained in the same way everywhere; the message names the differences.
    """
    columns, table = [], {}
    for path in paths:
        for result in read(path):
            column = (path, result.get('network_path', ''), result.get('nimg'))
            columns += [column] if column not in columns else []
            row = table.setdefault(result['metric'], {})
            for other, before in [*row.items()][:1]:
                _check_same_way(result['metric'], (other, before), (column, result))
            row[column] = result
    rows = [('', *map(_title, columns))]
    for metric, row in table.items():
        rows.append((metric, *(f'{row[column]["value"]:.6g}' if column in row else '-' for column in columns)))
    widths = [max(map(len, cells)) for cells in zip(*rows)]
    return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _check_same_way(metric, *pair):
    """Raises UserError unless two results, each with its column, were obtained in the same way."""
    (one, result), (other, another) = pair
    differing = [f'{name}: {result.get(name)!r} and {another.get(name)!r}' for name in differences(result, another)]
    if differing:
        raise UserError(
            f'{metric} of {_title(one)} and of {_title(other)} cannot be compared: they were not obtained '
            'in the same way (' + '; '.join(differing) + '); measure one of them again with the flags of the other'
        )


def _title(column):
    path, network, nimg = column
    return (network or path) + ('' if nimg is None else f' at {nimg / 1000:g} kimg')


def _short(result):
    """Returns the few words that tell people what kind of number it is."""
    words = [f'{result[name]:,} {name}' for name in ('fakes', 'reals', 'steps', 'pairs', 'walks') if result.get(name)]
    return ', '.join(
        [
            *words,
            *(f'{name} {result[name]:.3g}' for name in ('stays', 'moves', 'counted') if name in result),
            *([result['feature_network']] if 'feature_network' in result else []),
            *([result['resize']] if 'resize' in result else []),
            *([f'({result["note"]})'] if 'note' in result else []),
        ]
    )
