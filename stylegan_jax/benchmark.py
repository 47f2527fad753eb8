"""Measure how fast this machine is.

    python -m stylegan_jax.benchmark --what=data
    python -m stylegan_jax.benchmark --what=data --resolution=64,1024 --encoding=raw,png --json=data.json
"""
import json

from absl import flags

from stylegan_jax import command
from stylegan_jax.data.records import ENCODINGS
from stylegan_jax.errors import UserError

_WHAT = flags.DEFINE_enum('what', 'data', ['data'], 'data: reading and decoding prepared records.')
_RESOLUTION = flags.DEFINE_list('resolution', ['64', '256', '1024'], 'Sides [pixels].')
_ENCODING = flags.DEFINE_list('encoding', list(ENCODINGS), 'Encodings of the records.')
_JSON = flags.DEFINE_string('json', None, 'A file to write the results to as well.')


def main(argv):
    """Measures and prints; returns the exit code."""
    del argv
    from stylegan_jax.benchmarks import data
    try:
        resolutions = [int(side) for side in _RESOLUTION.value]
    except ValueError:
        raise UserError(f'--resolution={",".join(_RESOLUTION.value)}: give sides such as 64,256') from None
    unknown = [encoding for encoding in _ENCODING.value if encoding not in ENCODINGS]
    if unknown:
        raise UserError(f'--encoding={unknown[0]}: choose from ' + ', '.join(ENCODINGS))
    results = data.measure(resolutions, _ENCODING.value, lambda line: print(line, flush=True))
    if _JSON.value:
        with open(_JSON.value, 'w') as file:
            json.dump(results, file, indent=1)
    return 0


if __name__ == '__main__':
    command.run(main)
