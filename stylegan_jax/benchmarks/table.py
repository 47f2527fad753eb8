"""Results as a table for people: the columns, their headings, and the formats of their numbers."""

from collections.abc import Mapping

_BYTES_UNIT = 1e9


def _number(pattern, unit=1):
    return lambda value: '-' if value is None else format(value / unit, pattern)


# (key, heading, function that formats the number)
_CASE = [('resolution', 'pixels', str), ('batch', 'batch', str)]
_COMPILE = [('trace_seconds', 'trace s', _number('.1f')), ('compile_seconds', 'compile s', _number('.1f'))]
_SPEED = [
    *_CASE,
    ('images_per_second', 'images/s', _number('.4g')),
    ('spread', '+-', _number('.2g')),
    ('share_of_matrix_rate', 'of FLOP/s', _number('.1%')),
    ('share_of_bandwidth', 'of GB/s', _number('.1%')),
    ('flops_per_image', 'GFLOP/image', _number('.1f', 1e9)),
    ('xla_flops_per_image', "XLA's count", _number('.1f', 1e9)),
    ('bytes_per_image', 'GB/image', _number('.2f', _BYTES_UNIT)),
    ('kernels', 'kernels', str),
    ('peak_memory', 'peak GB', _number('.2f', _BYTES_UNIT)),
    ('compiler_memory', 'planned GB', _number('.2f', _BYTES_UNIT)),
    *_COMPILE,
]
COLUMNS = {
    'train': _SPEED,
    'generate': _SPEED,
    'compile': [
        *_CASE,
        *_COMPILE,
        ('again_trace_seconds', 'again: trace s', _number('.1f')),
        ('again_compile_seconds', 'load s', _number('.1f')),
        ('found_in_cache', 'from cache', lambda found: 'yes' if found else 'no'),
        ('cache_bytes', 'cache MB', _number('.1f', 1e6)),
        ('compiler_memory', 'planned GB', _number('.2f', _BYTES_UNIT)),
    ],
}


def heading(what: str) -> str:
    """Returns the first line of the table for 'train', 'generate' or 'compile'."""
    return '  '.join(title.rjust(_width(title)) for _, title, _ in COLUMNS[what])


def line(what: str, result: Mapping[str, object]) -> str:
    """Returns the line of one result, a dict with the keys of the columns."""
    return '  '.join(write(result[key]).rjust(_width(title)) for key, title, write in COLUMNS[what])


def _width(title):
    return max(len(title), 7)
