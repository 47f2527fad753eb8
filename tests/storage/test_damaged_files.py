"""Files of networks with random damage: each is an error in one line or a network, soon and in little memory."""

import io
import json
import pathlib
import random
import subprocess
import sys

import numpy as np
import pytest

import damaged_files
import reference_case
import tiny

MOST_SECONDS, MOST_MEMORY = 5, 500  # for one file; of the processor, and [MiB] with all of JAX


class Reader:
    """A process that reads one file after another, so that a crash would not be that of the tests."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, damaged_files.__file__], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def check(self, path, content, which):
        """Reads a file with this content; returns whether it was a network."""
        path.write_bytes(content)
        self._process.stdin.write(f'{path} {which}\n')
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f'crashed, exit code {self._process.wait()}; the file is {path}'
        _, outcome, seconds, memory = json.loads(answer)
        assert seconds < MOST_SECONDS and memory < MOST_MEMORY, (path, outcome, seconds, memory)
        assert outcome == 'network' or (outcome.startswith(f'{path}: ') and '\n' not in outcome), outcome
        return outcome == 'network'

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(60) == 0


@pytest.fixture
def reader():
    reader = Reader()
    yield reader
    reader.close()


def chance_of(seed):
    print(f'seed {seed}')
    return random.Random(seed)


COUNTS = [pytest.param(60), pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]


@pytest.mark.parametrize('count', COUNTS)
def test_damaged_pickles(reader, tmp_path, count):
    content = pathlib.Path(reference_case.pickle_path('c32')).read_bytes()
    places, chance = damaged_files.structure_of(content), chance_of(count)
    networks = [
        reader.check(
            tmp_path / 'network.pkl', damaged_files.damaged(content, places, chance), chance.choice(('G', 'D', 'ema'))
        )
        for _ in range(count)
    ]
    assert 0.05 < np.mean(networks) < 0.8


@pytest.mark.parametrize('count', COUNTS)
def test_damaged_saved_networks(reader, tmp_path, count):
    """Half of them have other bytes, and half another header."""
    tiny.generator(tiny.generator_config('F')).save(tmp_path / 'network.npz')
    content, chance = (tmp_path / 'network.npz').read_bytes(), chance_of(count)
    with np.load(tmp_path / 'network.npz') as file:
        arrays = dict(file)
    header, networks = json.loads(str(arrays.pop('header'))), []
    for number in range(count):
        if number % 2:
            other = damaged_files.damaged(content, range(len(content)), chance)
        else:
            stream = io.BytesIO()
            np.savez(stream, header=np.array(json.dumps(damaged_files.miswritten(header, chance))), **arrays)
            other = stream.getvalue()
        networks.append(reader.check(tmp_path / 'other.npz', other, 'ema'))
    assert 0 < np.mean(networks) < 0.8
