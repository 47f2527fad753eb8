"""The benchmark as a user meets it: the full-width network, at 4x4 pixels and in short repeats."""
import json
import os
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
import jax
import numpy as np
import PIL.Image
import pytest

from stylegan_jax import benchmark, command
from stylegan_jax.benchmarks import device, machine, timing
from stylegan_jax.errors import UserError

# What the device gives at best is not what is tested.
_SMALL = {'cpu': (256,)}, {'cpu': 1 << 22}
# Everything that is installed besides what training needs.
_BLOCKED = ('orbax', 'grain', 'array_record', 'tensorflow_datasets', 'tensorflow', 'PIL', 'tensorboardX', 'tqdm',
            'google_crc32c', 'lmdb', 'matplotlib', 'pytest', 'scipy')


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Returns a function that runs the command in an empty folder, and gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device, '_SIZES', _SMALL[0])
    monkeypatch.setattr(device, '_PASS_BYTES', _SMALL[1])
    monkeypatch.setattr(device, '_SECONDS', 0.01)
    monkeypatch.setattr(timing, 'SECONDS', 0.01)

    def run(*args):
        with flagsaver.flagsaver():
            try:
                command._parse(['benchmark', *args])
                code = command.reported_to_user(benchmark.main)(['benchmark'])
            except SystemExit as end:
                code = end.code
        return code, *capsys.readouterr()
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    return run


def check_speeds(results, rates, flops_per_image):
    """Checks what must hold of results whatever the machine."""
    for result, flops in zip(results, flops_per_image, strict=True):
        assert result['flops_per_image'] == pytest.approx(flops, rel=0.05)
        # XLA leaves out what multiplies padding, which at 4x4 is most of a window's edge, and counts what is no product.
        assert 0.4 < result['xla_flops_per_image'] / result['flops_per_image'] < 1.2
        assert result['images_per_second'] == pytest.approx(result['batch'] / result['seconds_per_call'])
        assert result['share_of_matrix_rate'] == pytest.approx(
            result['flops_per_image'] * result['images_per_second'] / rates['flops'])
        assert result['share_of_bandwidth'] == pytest.approx(
            result['bytes_per_image'] * result['images_per_second'] / rates['bandwidth'])
        assert result['kernels'] > 10 and result['compile_seconds'] > 0 and result['spread'] >= 0
        assert result['peak_memory'] is None and result['compiler_memory'] > 4 * 20e6      # of 20 million weights


def test_training(run):
    code, out, err = run('--what=train', '--resolution=4', '--batch=4', '--json=results.json', '--plot=roofline.png')
    assert code == 0, err
    with open('results.json') as file:
        measured = json.load(file)
    assert measured['machine']['jax'] == jax.__version__ and measured['machine']['device'] == 'cpu'
    # Of the 15 forwards of the step by hand: 2 convolutions, or 1 and dense layers, and the mapping network.
    check_speeds(measured['results'], measured['rates'], [0])
    assert 'CPU' in out and '4' in out.splitlines()[-1]
    image = np.asarray(PIL.Image.open('roofline.png').convert('L'))
    assert image.shape[1] > 800 and (image < 128).mean() > 0.005
