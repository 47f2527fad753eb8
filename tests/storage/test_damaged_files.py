"""Files of networks with random damage: each is an error in one line or a network, soon and in little memory."""

import functools
import io
import json
import pathlib
import pickle
import pickletools
import random
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import damaged_files
import port_files
import reference_case
import tiny
import torch_writer

MOST_SECONDS, MOST_MEMORY = 5, 500  # for one file; of the processor, and [MiB] with all of JAX


class Reader:
    """A process that reads one file after another, so that a crash would not be that of the tests."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, damaged_files.__file__], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def check(self, path, content, which, reader='loading'):
        """Reads a file with this content; returns whether it was a network."""
        path.write_bytes(content)
        self._process.stdin.write(f'{path} {which} {reader}\n')
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


@functools.cache
def port_content(reader, container):
    """A file of a PyTorch port with small networks, of which two stages were trained."""
    names = port_files.recorded(reader)[1][{'rosinality': 'rosinality', 'genforce': 'labels'}[reader]]
    keys = {'rosinality': ('g_running', 'discriminator'), 'genforce': ('generator_smooth', 'discriminator')}[reader]
    content = {}
    for key, network in zip(keys, ('generator', 'discriminator')):
        state = {name: np.zeros(shape, np.float32) for name, shape in names[network]}
        for name in state:
            if name.endswith(('blur.kernel', '.weight_flip')) or (name.endswith('.weight') and state[name].ndim == 4):
                state[name][:] = port_files.BLUR if state[name].shape[1:] == (1, 3, 3) else 1
            if name == 'generator.progression.1.noise2.weight_orig':
                state[name][:] = 1
        content[key] = port_files.tensors(state)
    content['optimizers'] = {'g': {'state': {0: {'step': 3}}, 'param_groups': [{'lr': 0.1, 'params': [0, 1]}]}}
    file = io.BytesIO()
    {'zip': torch_writer._write_zip, 'stream': torch_writer._write_stream}[container](
        file, content, 2, zipfile.ZIP_STORED, ()
    )
    return file.getvalue()


def pickles_of(content):
    """Places of the opcodes in the pickles at the start of an older file of PyTorch."""
    file, places = io.BytesIO(content), []
    for _ in range(5):
        begin = file.tell()
        places += [begin + place for _, _, place in pickletools.genops(file)]
    return places


@pytest.mark.parametrize('count', COUNTS)
@pytest.mark.parametrize('name', ['rosinality', 'genforce'])
def test_damaged_files_of_ports(reader, tmp_path, count, name):
    """Of both containers; the pickle of an archive is damaged before it is packed, as sums would tell at once."""
    chance, networks = chance_of(count), []
    stream, archive = (port_content(name, container) for container in ('stream', 'zip'))
    places = pickles_of(stream)
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        entries = {entry: file.read(entry) for entry in file.namelist()}
    for number in range(count):
        if number % 3:
            other = damaged_files.damaged(stream, places, chance)
        elif number % 2:
            other = damaged_files.damaged(archive, range(len(archive)), chance)
        else:
            pickled = entries['archive/data.pkl']
            pickled = damaged_files.damaged(pickled, damaged_files.structure_of(pickled), chance)
            file = io.BytesIO()
            with zipfile.ZipFile(file, 'w') as packed:
                for entry, data in (entries | {'archive/data.pkl': pickled}).items():
                    packed.writestr(entry, data)
            other = file.getvalue()
        by = chance.choice((name, 'loading'))  # which finds the reader by itself
        networks.append(reader.check(tmp_path / 'network.pth', other, chance.choice(('ema', 'D')), by))
    assert 0.02 < np.mean(networks) < 0.9


@pytest.mark.parametrize('name, key', [('rosinality', 'g_running'), ('genforce', 'generator_smooth')])
@pytest.mark.parametrize('container', ['zip', 'stream'])
def test_files_of_ports_that_mean_harm(reader, tmp_path, name, key, container):
    """Nothing is executed anywhere; views of one storage and dicts that contain themselves take no memory."""
    mark, path = tmp_path / 'executed', tmp_path / 'network.pth'

    def check(content):
        torch_writer.write(path, content, container=container)
        for by in (name, 'loading'):
            assert not reader.check(path, path.read_bytes(), 'ema', by)

    for place in ({key: Attack(mark)}, {'g_optimizer': {'state': [Attack(mark)]}, key: {}}, {Attack(mark): key}):
        check(place)
        assert not mark.exists()
    one = torch_writer.Storage(np.zeros(1 << 20, np.float32))
    case = {'rosinality': 'rosinality', 'genforce': 'stylegan'}[name]
    names = port_files.recorded(name)[1][case]['generator']
    check({key: {name: torch_writer.Tensor(one, (1 << 20,), (1,)) for name, _ in names}})
    endless = {}
    endless |= {key: endless, 'models': endless, 'generator': endless}
    check(endless)
    pickle.loads(pickle.dumps(Attack(mark)))  # it is a real one
    assert mark.exists()


class Attack:
    """What unpickling would execute: a harmless function."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)

    def __hash__(self):
        return 0
