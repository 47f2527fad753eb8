"""The hours of a run before it begins."""

import json
import os
import shlex

import jax
import pytest

import tiny_run
from stylegan_jax import benchmark
from stylegan_jax.benchmarks.cases import full_config
from stylegan_jax.config import Config, ImageConfig, ParallelConfig
from stylegan_jax.errors import UserError
from stylegan_jax.run.hours import describe_hours
from stylegan_jax.run.time_left import work


@pytest.fixture
def config():
    """48 images of 4x4 and 112 of 8x8, on one device."""
    return tiny_run.run_config(parallel=ParallelConfig(devices=1))


def write_log(folder, resolutions, device=None):
    os.makedirs(folder, exist_ok=True)
    with open(folder / 'log.jsonl', 'w') as file:
        for number, resolution in enumerate(resolutions):
            entry = {'nimg': number, 'resolution': resolution, 'images_per_second': 0.5 / 3600}
            file.write(json.dumps(entry | {'tick_seconds': 7200.0, 'maintenance_seconds': 0.0}) + '\n')
    event = {'nimg': 0, 'event': 'machine', 'device': device or jax.devices()[0].device_kind}
    (folder / 'events.jsonl').write_text(json.dumps(event) + '\n')


def write_benchmark(path, speeds, **fields):
    results = [{'resolution': side, 'batch': 4, 'images_per_second': speed} for side, speed in speeds.items()]
    content = {'what': 'train', 'machine': {'device': 'H100'}, 'precision': 'bfloat16', 'results': results}
    path.write_text(json.dumps(content | fields))
    return path


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_by_its_own_log(config, tmp_path):
    write_log(tmp_path, ['4x4', '8x8'])
    text = describe_hours(config, tmp_path)  # two hours an image
    assert rows(text)[2:4] == [['4x4', '48', '0.000139', '96'], ['8x8', '112', '0.000139', '224']]
    assert rows(text)[5] == ['Total', '160', '320']
    assert f'In all 13d 08h 00m, by the log of {tmp_path}, on ' in text and 'not measured' not in text


def test_of_a_run_that_goes_on_it_is_the_time_that_is_left(config, tmp_path):
    write_log(tmp_path, ['4x4', '8x8'])
    text = describe_hours(config, tmp_path, nimg=100)
    assert [row[:2] for row in rows(text)[2:-1]] == [['8x8', '60'], ['---'] * 2, ['Total', '60']]
    assert text.splitlines()[-1].startswith('From 0.1 kimg on 5d 00h 00m, by ')
    assert '--resolution=8 --batch=4 ' in describe_hours(config, tmp_path / 'nowhere', nimg=100)


def test_a_resolution_that_was_not_measured_is_a_range(config, tmp_path):
    write_log(tmp_path, ['4x4'])
    text, ratio = describe_hours(config, tmp_path), work(config, 1) / work(config, 0)
    assert rows(text)[3][-3:] == ['224', 'to', f'{224 * ratio:.3g}']
    assert text.endswith('; not measured: 8x8')


def test_the_log_of_another_device_does_not_count(config, tmp_path):
    write_log(tmp_path, ['4x4', '8x8'], device='H100')
    text = describe_hours(config, tmp_path)
    assert 'is of H100, and this is cpu: measure it with' in text and 'In all' not in text


def test_by_a_benchmark_of_the_full_networks(config, tmp_path):
    path = write_benchmark(tmp_path / 'speeds.json', {4: 100.0, 8: 50.0})
    ratios = [work(config, stage) / work(full_config(4 << stage, 'bfloat16'), stage) for stage in range(2)]
    assert ratios[0] == (8 / 512) ** 2
    seconds = 48 * ratios[0] / 100 + 112 * ratios[1] / 50
    text = describe_hours(config, tmp_path / 'nowhere', path)
    assert rows(text)[5] == ['Total', '160', f'{seconds / 3600:.3g}'] and 'on H100' in text


def test_devices_share_the_work(tmp_path):
    config = Config(image=ImageConfig(8), replicas=8, parallel=ParallelConfig(devices=4))
    path = write_benchmark(tmp_path / 'speeds.json', {8: 50.0})
    text = describe_hours(config, tmp_path, path)
    assert rows(text)[2][2] == '200' and 'if 4 devices are 4 times as fast' in text


def test_how_to_get_it_is_a_command_that_works(config, tmp_path, run_command, monkeypatch):
    text = describe_hours(config, tmp_path)
    command = shlex.split(text.splitlines()[1])
    assert command[:3] == ['python', '-m', 'stylegan_jax.benchmark']
    measured = []
    monkeypatch.setattr(
        benchmark, '_measure_device', lambda *args: measured.append(args) or {'machine': {}, 'precision': 'float32',
        'results': [{'resolution': side, 'images_per_second': 10.0} for side in args[1]]}
    )  # fmt: skip
    assert run_command(benchmark, *command[3:])[0] == 0
    assert measured == [('train', [4, 8], [4, 4])]
    assert 'In all' in describe_hours(config, tmp_path, tmp_path / 'speeds.json')


@pytest.mark.parametrize(
    'content, message',
    [
        (None, 'speeds=.*: cannot be read'),
        ('', 'it has no speeds of training'),
        ('[]', 'it has no speeds of training'),
        ('{"what": "train"}', 'it has no speeds of training'),
        ('{"what": "data", "machine": {}}', 'it measured data; give a file of benchmark'),
        (
            '{"what": "train", "machine": {}, "precision": "", "results": [{"resolution": 8, "images_per_second": 0}]}',
            'it has no speeds of training',
        ),
    ],
)
def test_another_file_is_refused(config, tmp_path, content, message):
    path = tmp_path / 'speeds.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message):
        describe_hours(config, tmp_path, path)
