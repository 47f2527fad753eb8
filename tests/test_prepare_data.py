"""The preparing command as a user meets it."""

import functools
import json
import os
import socket
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from stylegan_jax import prepare_data
from stylegan_jax.runtime.folder_lock import FolderLock


@pytest.fixture
def run(run_command):
    """Returns a function that runs the command in an empty folder, and gives (exit code, stdout, stderr)."""
    return functools.partial(run_command, prepare_data)


@pytest.fixture
def pictures(tmp_path):
    """A folder of 20 pictures of 8x8 in two folders."""
    random = np.random.default_rng(0)
    for index in range(20):
        folder = tmp_path / 'pictures' / ('cats', 'dogs')[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f'{index:02d}.png')
    return 'pictures'


def test_prepares_and_describes(run, pictures):
    code, out, _ = run(
        f'--source={pictures}', '--out=set', '--resolution=8', '--labels=folders', '--workers=0', '--mirror_safe'
    )
    assert code == 0 and 'set: 20 images\n' in out and '--config.data.path=set' in out
    code, out, _ = run('--describe=set')
    assert code == 0
    for line in (
        'set: 20 images of 8x8x3',
        'stages: 4x4, 8x8',
        'source: folder pictures',
        'fit crop, box filter',
        'mirrored images are as good',
        'labels: 2 classes',
        '  cats: 10',
        '  dogs: 10',
    ):
        assert line in out, out
    assert np.asarray(PIL.Image.open('set/contact_sheet.png')).shape == (2 * 8 * 8, 16 * 8 * 8, 3)


def test_it_says_what_labels_it_found_and_what_it_did_not_take(run, pictures):
    classes = 'become classes with prepare_data --labels=folders'
    note = f'note: no labels; the 2 folders of {pictures} (cats, dogs) {classes}\n'
    code, out, _ = run(f'--source={pictures}', '--out=set', '--resolution=8', '--workers=0')
    assert code == 0 and note in out and 'labels: none\n' in out
    assert note in run(f'--source={pictures}', '--resolution=8', '--check')[1]
    code, out, _ = run(f'--source={pictures}', '--out=classes', '--resolution=8', '--workers=0', '--labels=folders')
    assert code == 0 and 'note' not in out and 'labels: 2 classes\n' in out


def test_check_writes_nothing(run, pictures):
    before = sorted(os.listdir())
    code, out, _ = run(f'--source={pictures}', '--resolution=8', '--check')
    assert code == 0 and '20' in out and sorted(os.listdir()) == before
    assert 'room that it takes: raw ' in out
    code, out, _ = run(f'--source={pictures}', '--resolution=16', '--check')
    assert code == 2 and 'too few' in out


@pytest.mark.parametrize(
    'args, message',
    [
        (['--out=set', '--resolution=8'], '--source is missing'),
        (
            ['--source=pictures', '--out=set', '--resolution=8', '--value_range=4095'],
            '--value_range=4095: give black and white with a comma',
        ),
        (
            ['--source=pictures', '--out=set', '--resolution=8', '--value_range=9,3'],
            '--value_range=9,3: give black and then a larger white',
        ),
        (
            ['--source=pictures', '--out=set', '--resolution=8', '--max_skipped=7'],
            '--max_skipped=7.0: give a share from 0 to 1',
        ),
        (['--source=pictures', '--resolution=8'], '--out is missing'),
        (['--source=pictures', '--out=set'], '--resolution is missing'),
        (['--source=nowhere', '--out=set', '--resolution=8'], 'nowhere'),
        (['--source=pictures', '--out=set', '--resolution=9'], '--resolution=9'),
        (['--source=pictures', '--out=set', '--resolution=8', '--base_shape=four'], '--base_shape=four'),
        (['--source=pictures', '--out=set', '--resolution=8', '--encoding=jpeg', '--channels=4'], '--encoding=jpeg'),
        (['--source=pictures', '--out=pictures/set', '--resolution=8'], '--out=pictures/set: it is inside the source'),
        (['--source=pictures', '--out=file', '--resolution=8'], '--out=file: cannot be made'),
        (['--describe=pictures'], 'no prepared data set here'),
    ],
)
def test_mistakes_are_one_line(run, pictures, args, message):
    with open('file', 'w'):
        pass
    code, _out, err = run(*args)
    assert code == 2 and err.startswith('error: ') and err.count('\n') == 1 and message in err


def test_other_files_and_channels_are_said(run, pictures, tmp_path):
    (tmp_path / 'pictures' / 'film.mov').write_bytes(b'')
    arguments = [f'--source={pictures}', '--resolution=8', '--workers=0']
    said = 'passed over, as no pictures of a kind that is read: 1 .mov'
    code, out, _ = run(*arguments, '--out=set', '--channels=4', '--value_range=0,4095')
    assert code == 0 and said in out
    assert said in run(*arguments, '--check')[1]
    out = run('--describe=set')[1]
    assert 'fourth channel: opacity, by which colours are weighted' in out
    assert 'values of more than 8 bits: 0 is black, 4095 is white' in out
    run(*arguments, '--out=other', '--channels=4', '--fourth_channel=data')
    assert 'fourth channel: reduced by itself' in run('--describe=other')[1]


def test_a_folder_in_use_is_named_by_the_flag_of_this_command(run, pictures, tmp_path):
    (tmp_path / 'set').mkdir()
    with FolderLock(tmp_path / 'set'):
        code, _out, err = run(f'--source={pictures}', '--out=set', '--resolution=8', '--workers=0')
    assert code == 2 and err == (
        f'error: --out=set: is in use by process {os.getpid()} on {socket.gethostname()}; wait for it or stop it, or '
        'choose another folder\n'
    )


@pytest.mark.full
def test_it_trains_conditionally_on_what_it_prepared(run, pictures, tmp_path):
    (tmp_path / 'pictures' / 'dataset.json').write_text(
        json.dumps({'labels': [[f'{("cats", "dogs")[index % 2]}/{index:02d}.png', index % 2] for index in range(20)]})
    )
    assert run(f'--source={pictures}', '--out=set', '--resolution=8')[0] == 0
    flags_ = {
        'image.resolution': 8,
        'schedule.initial_resolution': 8,
        'schedule.batch': 4,
        'schedule.batch_by_resolution': '',
        'generator.fmap_base': 32,
        'discriminator.fmap_base': 32,
        'generator.mapping_layers': 1,
        'train.total_kimg': 0.05,
        'log.tick_kimg': 0.05,
    }
    environment = os.environ | {'XLA_FLAGS': os.environ['XLA_FLAGS'].replace('device_count=8', 'device_count=1')}
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'stylegan_jax.main',
            '--experiment=custom',
            '--config.data.path=set',
            '--workdir=run',
            *(f'--config.{name}={value}' for name, value in flags_.items()),
        ],
        env=environment,
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert '20 images' in done.stdout
    assert json.loads((tmp_path / 'run' / 'config.json').read_text())['image']['label_dim'] == 2


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_thirty_preparations_print_their_result_alone(pictures, tmp_path):
    """Semaphores that are cleaned up during an import once printed tracebacks in one run of eight."""
    command = [sys.executable, '-m', 'stylegan_jax.prepare_data', f'--source={tmp_path / pictures}', '--resolution=8']
    for number in range(30):
        out = tmp_path / f'set{number}'
        done = subprocess.run([*command, f'--out={out}', '--workers=2'], text=True, capture_output=True)
        assert done.returncode == 0
        assert done.stdout.splitlines() == [
            f'{out}: 20 images',
            f'train on it with --config.data.path={out}, look at it with --describe={out}',
        ]
        lines = done.stderr.replace('\r', '\n').splitlines()
        assert not [line for line in lines if line.strip() and not line.startswith('preparing')], number
