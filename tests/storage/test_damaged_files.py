"""Files of networks with random damage: each is an error in one line or a network, soon and in little memory."""

import io
import json
import pathlib
import random
import re
import subprocess
import sys

import numpy as np
import pytest

import damaged_files
import reference_case
import tiny
from stylegan_jax.storage import safetensors_file

MOST_SECONDS, MOST_MEMORY = 5, 500  # for one file; of the processor, and [MiB] with all of JAX


class Reader:
    """A process that reads one file after another, so that a crash would not be that of the tests."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, damaged_files.__file__], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def read(self, path, content, which):
        """Reads a file with this content; returns (the error or 'network', seconds, most memory so far [MiB])."""
        path.write_bytes(content)
        self._process.stdin.write(f'{path} {which}\n')
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f'crashed, exit code {self._process.wait()}; the file is {path}'
        return json.loads(answer)[1:]

    def check(self, path, content, which):
        """Reads a file with this content; returns whether it was a network."""
        outcome, seconds, memory = self.read(path, content, which)
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


# Files of safetensors: random damage, and what somebody could make to keep a reader busy.


def parts_of(path):
    content = path.read_bytes()
    size = int.from_bytes(content[:8], 'little')
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def joined(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, 'little') + text + data


def _changed_metadata(header, **changes):
    metadata = json.loads(header['__metadata__']['stylegan_jax']) | changes
    return header | {'__metadata__': {'stylegan_jax': json.dumps(metadata)}}


def hostile(header, data):
    """{what: (content of the file, what the error says)}."""
    name = 'ema/params/mapping/dense0/weight'
    entry, whole = header[name], joined(header, data)
    begin, end = entry['data_offsets']
    networks = json.loads(header['__metadata__']['stylegan_jax'])['networks']
    deep = '[' * 100_000 + ']' * 100_000

    def with_entry(**changes):
        return joined(header | {name: entry | changes}, data)

    return {
        'truncated': (whole[:-100], 'damaged'),
        'header alone': (whole[:-100], 'damaged'),
        'half a header': (whole[:500], r'its header would have [\d,]+ bytes, and the file 500'),
        'claimed header': ((10**9).to_bytes(8, 'little') + whole[8:], r'its header would have 1,000,000,000 bytes'),
        'claimed more': (b'\xff' * 7 + b'\x7f' + whole[8:], 'its header would have'),
        'long header': (joined({**header, 'x': 'y' * (5 << 20)}, data), r'its header would have 5 MiB'),
        'many arrays': (
            joined({**header, **{f'ema/{i}': _nothing(len(data)) for i in range(40_000)}}, data),
            'that its settings do not explain',
        ),
        'overlapping': (with_entry(data_offsets=[begin - 4, end]), 'damaged'),
        'beyond the end': (with_entry(data_offsets=[begin, len(data) + 8]), 'damaged'),
        'negative': (with_entry(data_offsets=[-1, end]), 'damaged'),
        'large shape': (with_entry(shape=[1 << 40, 1 << 40]), 'damaged'),
        'transposed': (with_entry(shape=entry['shape'][::-1]), 'has shape .*; its settings mean'),
        'numbers of another type': (with_entry(dtype='I32'), 'has numbers of type I32, which are no weights'),
        'trailing bytes': (whole + bytes(100), 'damaged'),
        'nested header': (joined(b'{"stylegan_jax":' + deep.encode() + b'}', data), 'damaged'),
        'nested metadata': (
            joined(_changed_metadata(header) | {'__metadata__': {'stylegan_jax': deep}}, data),
            'damaged',
        ),
        'no JSON': (joined(header | {'__metadata__': {'stylegan_jax': '{'}}, data), 'damaged'),
        'other metadata': (
            joined(header | {'__metadata__': {'format': 'pt'}}, data),
            'which this package did not write',
        ),
        'a list': (joined(header | {'__metadata__': {'stylegan_jax': '[1]'}}, data), 'unknown version None'),
        'version': (joined(_changed_metadata(header, version=2), data), 'unknown version 2'),
        'networks': (joined(_changed_metadata(header, networks={'X': {}}), data), 'do not name networks'),
        'no networks': (joined(_changed_metadata(header, networks={}), data), 'do not name networks'),
        'other network': (
            joined(_changed_metadata(header, networks={'G': networks['ema']}), data),
            "it has arrays of 'ema', of which",
        ),
        'missing arrays': (
            joined(_changed_metadata(header, networks=networks | {'G': networks['ema']}), data),
            'lacks .* of its arrays',
        ),
        'settings': (
            joined(_changed_metadata(header, networks={'ema': networks['ema'] | {'z_dim': 10**9}}), data),
            'has shape .*; its settings mean',
        ),
        'unknown setting': (
            joined(_changed_metadata(header, networks={'ema': networks['ema'] | {'x' * 10**6: 1}}), data),
            'unknown field of GeneratorConfig',
        ),
        'lod': (joined(_changed_metadata(header, lod=99), data), 'its level of detail is 99'),
        'lod of text': (joined(_changed_metadata(header, lod='x' * 1000), data), 'its level of detail is xxx'),
        'lod without a number': (joined(_changed_metadata(header, lod=float('nan')), data), 'level of detail is nan'),
        'images shown': (joined(_changed_metadata(header, images_shown=-3), data), 'it says that -3 images'),
    }


def _nothing(place):
    return {'dtype': 'F32', 'shape': [0], 'data_offsets': [place, place]}


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
    path = tmp_path_factory.mktemp('network') / 'network.safetensors'
    safetensors_file.write(path, {'ema': tiny.generator(tiny.generator_config())})
    return parts_of(path)


def test_safetensors_that_are_wrong_are_one_line_soon_and_take_no_memory(parts, tmp_path, reader):
    assert reader.check(tmp_path / 'sound.safetensors', joined(*parts), 'ema')
    for what, (content, message) in hostile(*parts).items():
        path = tmp_path / f'{what.replace(" ", "-")}.safetensors'
        outcome, seconds, memory = reader.read(path, content, 'ema')
        assert seconds < 1 and memory < MOST_MEMORY, (what, seconds, memory)
        assert outcome.startswith(f'{path}: ') and '\n' not in outcome and len(outcome) < 500, outcome
        assert re.search(message, outcome), (what, outcome)


@pytest.mark.parametrize('count', COUNTS)
def test_damaged_safetensors(parts, tmp_path, reader, count):
    """Half of them have other bytes in their header, and half other metadata."""
    header, data = parts
    content, chance, loaded = joined(header, data), chance_of(count), []
    metadata = json.loads(header['__metadata__']['stylegan_jax'])
    for number in range(count):
        if number % 2:
            other = damaged_files.damaged(content, range(len(content) - len(data)), chance)
        else:
            wrong = damaged_files.miswritten(metadata, chance)
            other = joined(header | {'__metadata__': {'stylegan_jax': json.dumps(wrong)}}, data)
        loaded.append(reader.check(tmp_path / 'other.safetensors', other, 'ema'))
    assert 0 < np.mean(loaded) < 0.8
