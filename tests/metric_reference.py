"""What public implementations of the metrics computed; tests/reference/README.md says which, and from what."""

import functools
import json
import pathlib

import numpy as np

_FOLDER = pathlib.Path(__file__).parent / 'reference' / 'metrics'


@functools.cache
def arrays(name):
    with np.load(_FOLDER / f'{name}.npz') as stored:
        return dict(stored)


@functools.cache
def numbers(name):
    return json.loads((_FOLDER / f'{name}.json').read_text())
