"""Are the last checkpoints of two runs the same, bit for bit?

    python compare_runs.py RUN RUN

Compares G, D and ema as `stylegan_jax.load` gives them, the whole training state with the optimisers' moments and the
random key, and the entries of log.jsonl but for times. Prints a line for each; exit code 0 if all agree, else 1.
"""

import json
import os
import re
import sys

import jax
import numpy as np
from absl import logging

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
import stylegan_jax
from stylegan_jax.storage.checkpoint import Checkpoints

_DIFFERS_BY_NATURE = re.compile('second|memory|per_')


def main(first, second):
    """Prints what agrees; returns whether everything does."""
    logging.set_verbosity(logging.ERROR)  # Orbax remarks that it may only read
    agree = []
    for which in ('G', 'D', 'ema'):
        agree.append(_same_arrays(which, *(stylegan_jax.load(run, which) for run in (first, second))))
    states = [_state(run) for run in (first, second)]
    agree.append(_same_arrays('training state at the last checkpoint', *states))
    entries = [_entries(run) for run in (first, second)]
    agree.append(entries[0] == entries[1])
    print(
        f'log.jsonl: {len(entries[0])} and {len(entries[1])} entries, '
        f'{"the same" if agree[-1] else "DIFFERENT"} in {", ".join(entries[0][0])}'
    )
    for ours, theirs in zip(*entries):
        for key in ours:
            if ours[key] != theirs.get(key):
                print(f'  tick {ours["tick"]}: {key} {ours[key]} and {theirs.get(key)}')
    return all(agree)


def _state(run):
    checkpoints = Checkpoints(run)
    try:
        saved = checkpoints.restore()
    finally:
        checkpoints.close()
    print(f'{run}: last checkpoint at {saved.nimg} images')
    return {'nimg': np.array(saved.nimg), 'state': saved.state.replace(key=jax.random.key_data(saved.state.key))}


def _same_arrays(what, first, second):
    first, second = (jax.tree_util.tree_flatten_with_path(tree) for tree in (first, second))
    if first[1] != second[1]:
        print(f'{what}: DIFFERENT structure')
        return False
    different = [jax.tree_util.keystr(path) for (path, a), (_, b) in zip(first[0], second[0]) if not _same(a, b)]
    print(
        f'{what}: {len(first[0])} arrays, {sum(np.size(a) for _, a in first[0])} numbers, '
        + (f'DIFFERENT in {len(different)}: {", ".join(different[:5])}' if different else 'the same')
    )
    return not different


def _same(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _entries(run):
    with open(os.path.join(run, 'log.jsonl')) as file:
        return [
            {key: value for key, value in json.loads(line).items() if not _DIFFERS_BY_NATURE.search(key)}
            for line in file
        ]


if __name__ == '__main__':
    sys.exit(0 if main(*sys.argv[1:]) else 1)
