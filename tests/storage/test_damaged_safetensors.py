"""Files of safetensors with random damage, and such as somebody could make to keep a reader busy."""

import json

import numpy as np
import pytest
import test_damaged_files
from test_damaged_files import COUNTS, chance_of

import damaged_files
import tiny
from stylegan_jax.errors import UserError
from stylegan_jax.storage import loading, safetensors_file


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
        'header alone': (joined(header, b''), 'damaged'),
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


@pytest.fixture
def reader():
    reader = test_damaged_files.Reader()
    yield reader
    reader.close()


def test_files_that_are_wrong_are_one_line_soon_and_take_no_memory(parts, tmp_path, reader, monkeypatch):
    assert reader.check(tmp_path / 'sound.safetensors', joined(*parts), 'ema')
    monkeypatch.setattr(test_damaged_files, 'MOST_SECONDS', 1)
    for what, (content, message) in hostile(*parts).items():
        path = tmp_path / f'{what.replace(" ", "-")}.safetensors'
        assert not reader.check(path, content, 'ema'), what
        with pytest.raises(UserError, match=message) as error:
            loading.load(path)
        assert len(str(error.value)) < 500


@pytest.mark.parametrize('count', COUNTS)
def test_damaged_files_of_safetensors(parts, tmp_path, reader, count):
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
