"""The benchmark as a user meets it: the full-width network, at 4x4 pixels and in short repeats."""

import functools
import json
import subprocess
import sys
import time

import jax
import numpy as np
import PIL.Image
import pytest

from stylegan_jax import benchmark
from stylegan_jax.benchmarks import cases, data, device, h100, plot, timing
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import machine

# What the device gives at best is not what is tested.
_SMALL = {'cpu': (256,)}, {'cpu': 1 << 22}
# Everything that is installed besides what training needs.
_BLOCKED = (
    'orbax',
    'grain',
    'array_record',
    'tensorflow_datasets',
    'tensorflow',
    'PIL',
    'tensorboardX',
    'tqdm',
    'google_crc32c',
    'lmdb',
    'matplotlib',
    'pytest',
)
# At 4x4: eight mapping layers, a convolution, two styles, to_rgb.
G_FORWARD = 2 * (8 * 512 * 512 + 16 * 9 * 512 * 512 + 2 * 512 * 1024 + 16 * 512 * 3)


@pytest.fixture
def run(run_command, monkeypatch):
    """Returns a function that runs the command in an empty folder, and gives (exit code, stdout, stderr)."""
    monkeypatch.setattr(device, '_SIZES', _SMALL[0])
    monkeypatch.setattr(device, '_PASS_BYTES', _SMALL[1])
    monkeypatch.setattr(device, '_SECONDS', 0.01)
    monkeypatch.setattr(timing, 'SECONDS', 0.01)
    return functools.partial(run_command, benchmark)


def check_speeds(results, rates, flops_per_image):
    """Checks what must hold of results whatever the machine."""
    for result in results:
        assert result['flops_per_image'] == pytest.approx(flops_per_image, rel=0.02)
        # XLA leaves out what multiplies padding, of which there is much at 4x4, and counts what is no product.
        assert 0.4 < result['xla_flops_per_image'] / result['flops_per_image'] < 1.2
        assert result['images_per_second'] == pytest.approx(result['batch'] / result['seconds_per_call'])
        assert result['share_of_matrix_rate'] == pytest.approx(
            result['flops_per_image'] * result['images_per_second'] / rates['flops']
        )
        assert result['share_of_bandwidth'] == pytest.approx(
            result['bytes_per_image'] * result['images_per_second'] / rates['bandwidth']
        )
        assert result['kernels'] > 10 and result['compile_seconds'] > 0 and result['spread'] >= 0
        assert result['peak_memory'] is None


@pytest.mark.full
def test_training_needs_only_what_networks_need(tmp_path):
    """In a process of its own, with every other package unimportable."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys({_BLOCKED}))
from stylegan_jax import benchmark
from stylegan_jax.benchmarks import device, timing
device._SIZES, device._PASS_BYTES, device._SECONDS, timing.SECONDS = *{_SMALL}, 0.01, 0.01
benchmark.FLAGS(['benchmark', '--what=train', '--resolution=4', '--batch=4', '--json={tmp_path}/results.json'])
sys.exit(benchmark.main([]))
"""
    done = subprocess.run([sys.executable, '-c', code], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    measured = json.loads((tmp_path / 'results.json').read_text())
    assert measured['machine']['jax'] == jax.__version__ and measured['machine']['device'] == 'cpu'
    # D has a convolution from 513 maps and dense layers from 4x4 maps and to the score; 4 G and 11 D forwards.
    d_forward = 2 * (16 * 3 * 512 + 16 * 9 * 513 * 512 + 16 * 512 * 512 + 512)
    check_speeds(measured['results'], measured['rates'], 4 * G_FORWARD + 11 * d_forward)
    # Three networks and two moments of each that trains, float32.
    assert measured['results'][0]['compiler_memory'] > 4 * 40e6
    assert done.stdout.startswith(machine.heading(measured['machine']))
    assert done.stdout.splitlines()[-1].split()[:2] == ['4', '4']


def test_generating(run):
    code, out, err = run('--what=generate', '--resolution=4,4', '--batch=1,2', '--json=results.json')
    assert code == 0, err
    with open('results.json') as file:
        measured = json.load(file)
    check_speeds(measured['results'], measured['rates'], G_FORWARD)
    assert [(result['resolution'], result['batch']) for result in measured['results']] == [(4, 1), (4, 2)]
    assert len(out.splitlines()) == 6


@pytest.mark.full
def test_compiling_finds_the_cache(run):
    before = jax.config.jax_compilation_cache_dir
    code, _out, err = run('--what=compile', '--resolution=4', '--batch=1', '--json=results.json')
    assert code == 0, err
    with open('results.json') as file:
        (result,) = json.load(file)['results']
    assert result['found_in_cache'] is True and result['cache_bytes'] > 10_000
    assert result['again_compile_seconds'] < result['compile_seconds']
    assert jax.config.jax_compilation_cache_dir == before


@pytest.mark.full
def test_graphs_are_predicted_without_a_gpu(run):
    try:
        h100.compiler_library()
    except UserError as error:
        pytest.skip(str(error))
    code, out, err = run('--what=graph', '--resolution=4', '--batch=8', '--json=results.json')
    assert code == 0, err
    with open('results.json') as file:
        (result,) = json.load(file)['results']
    assert result['batch'] == 8 and 0 < result['milliseconds'] == pytest.approx(sum(result['by_kind'].values()))
    assert f'{result["milliseconds"]:.2f} ms a step, predicted' in out and 'compiled for an H100' in out


def test_a_graph_needs_the_compiler(run, monkeypatch):
    monkeypatch.delenv(h100.COMPILER_VARIABLE, raising=False)
    code, _out, err = run('--what=graph')
    assert code == 2 and f'{h100.COMPILER_VARIABLE} is not set' in err and err.count('\n') == 1


def test_data(run, monkeypatch):
    monkeypatch.setattr(data, '_SECONDS', 0.01)
    monkeypatch.setattr(data, '_MEGABYTES', 1)
    code, _out, err = run('--what=data', '--resolution=8', '--encoding=raw', '--json=results.json')
    assert code == 0, err
    with open('results.json') as file:
        measured = json.load(file)
    assert measured['results'][0]['images_per_second'] > 0 and measured['machine']['cores'] >= 1


@pytest.mark.parametrize(
    'args, message',
    [
        (['--resolution=many'], '--resolution=many: give whole numbers'),
        (['--resolution=64', '--batch=0'], '--batch=0: give whole numbers'),
        (['--resolution=64,128,256', '--batch=4,4'], '--batch=4,4: 2 values for 3 resolutions; give one for each'),
        (['--resolution=65'], '--resolution=65: '),
        (['--precision=half'], "precision='half'"),
        (['--precision=float64'], '--precision=float64: it is for checking'),
        (['--what=data', '--precision=tf32'], '--precision: --what=data does not use it'),
        (['--what=data', '--batch=4'], '--batch: --what=data does not use it'),
        (['--what=compile', '--plot=a.png'], '--plot: --what=compile does not use it'),
        (['--what=graph', '--precision=tf32'], '--precision: --what=graph does not use it'),
        (['--what=graph', '--kernels=k.json.gz'], '--kernels: --what=graph does not use it'),
        (['--kernels=k.json.gz', '--resolution=4'], '--kernels=k.json.gz: it takes a GPU and one resolution'),
        (['--kernels=nowhere/k.json.gz'], '--kernels=nowhere/k.json.gz: there is no folder nowhere'),
        (['--encoding=raw'], '--encoding: --what=train does not use it'),
        (['--what=data', '--encoding=gif'], '--encoding=gif: choose from'),
        (['--json=nowhere/results.json'], '--json=nowhere/results.json: there is no folder nowhere'),
    ],
)
def test_mistakes_are_one_line(run, args, message):
    code, _out, err = run(*args)
    assert code == 2 and err.startswith('error: ') and err.count('\n') == 1 and message in err


def test_roofline_shows_every_case(tmp_path):
    rates = device.DeviceRates(4e11, 'float32 4096x4096', 2e10)
    results = [
        {
            'resolution': 64,
            'batch': 4,
            'images_per_second': 0.7,
            'flops_per_image': 276e9,
            'bytes_per_image': 4e9,
            'share_of_matrix_rate': share,
        }
        for share in (0.01, 0.5)
    ]
    pictures = []
    for count in 0, 1, 2:
        path = tmp_path / f'{count}.png'
        plot.roofline(str(path), results[:count], rates, 'train')
        pictures.append(np.asarray(PIL.Image.open(path).convert('RGB')).astype(int))
    blue = [int(((picture[..., 2] - picture[..., 0]) > 60).sum()) for picture in pictures]
    assert blue[0] == 0 and blue[1] > 50 and blue[2] == pytest.approx(2 * blue[1], rel=0.2)
    with pytest.raises(UserError, match='plot=.*nowhere'):
        plot.roofline(str(tmp_path / 'nowhere' / 'a.png'), results, rates, 'train')


def test_calls_are_counted_and_repeated():
    calls = []

    def run(count):
        calls.append(count)
        time.sleep(0.002 * count)

    seconds = timing.seconds_per_call(run, repeats=3, seconds=0.02)
    # A warm-up, a look at how long one takes, then as many as fill the time.
    assert calls[:2] == [1, 1] and len(calls) == 5 and len(set(calls[2:])) == 1 and 2 <= calls[2] <= 10
    assert len(seconds) == 3 and all(0.002 <= each < 0.1 for each in seconds)


def test_rates_of_the_device_are_those_of_numpy():
    """Within a factor of twenty, once in five tries: another library, on a machine that does other things as well."""
    a, x = np.random.default_rng(0).standard_normal((512, 512), np.float32), np.zeros(1 << 24, np.float32)

    def multiply(count):
        for _ in range(count):
            a @ a

    def increase(count):
        for _ in range(count):
            np.add(x, 1, out=x)

    def agree(rate, work, run):
        ratios = []
        while len(ratios) < 5 and not (ratios and 1 / 20 < ratios[-1] < 20):
            ratios.append(rate() / (work / min(timing.seconds_per_call(run, seconds=0.05))))
        assert 1 / 20 < ratios[-1] < 20, ratios

    agree(lambda: device.matrix_rate(512, 'float32', seconds=0.05), 2 * 512**3, multiply)
    agree(lambda: device.copy_bandwidth(x.nbytes, seconds=0.05), 2 * x.nbytes, increase)
    assert device.product_type('bfloat16') == ('bfloat16', 'default')
    assert device.product_type('tf32') == ('float32', 'default')
    assert device.product_type('float32') == ('float32', 'highest')


def test_default_cases_suit_the_device():
    assert [(case.resolution, case.batch) for case in cases.make_cases(None, None, 'float32')] == [
        (32, 8),
        (64, 4),
        (128, 2),
        (256, 1),
    ]
    config = cases.full_config(1024, 'float32')
    assert (config.generator.num_layers, config.generator.fmap_max, config.loss.r1_gamma) == (18, 512, 10)
    assert config.train.style_mixing_prob == 0.9 and config.data.mirror and config.generator.use_noise
