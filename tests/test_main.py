"""The training command as a user meets it."""

import importlib
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from absl.testing import flagsaver

import tiny_run
from stylegan_jax import main
from stylegan_jax.cli import command, config_flags
from stylegan_jax.config import Config
from stylegan_jax.config.serialization import from_json

QUICK = {
    'image.resolution': 4,
    'schedule.initial_resolution': 4,
    'schedule.batch': 4,
    'schedule.batch_by_resolution': '',
    'generator.mapping_layers': 2,
    'generator.fmap_base': 32,
    'discriminator.fmap_base': 32,
    'data.count': 40,
    'train.total_kimg': 0.6,
    'train.style_mixing_prob': 0,
    'log.tick_kimg': 0.1,
}
RUN_AND_DRY_RUN = pytest.mark.parametrize('dry_run', [[], ['--dry_run']], ids=['run', 'dry_run'])
SMALL = {'image.resolution': 8, 'generator.fmap_max': 8, 'discriminator.fmap_max': 8}


def config_args(experiment, fields):
    return [f'--experiment={experiment}', *(f'--config.{name}={value}' for name, value in fields.items())]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Returns a function that runs the command in an empty folder, and gives (exit code, stdout, stderr)."""
    folder = tmp_path / 'cwd'
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*args):
        importlib.import_module('grain.python')  # defines flags of its own, which have to stay for the next training
        with flagsaver.flagsaver():  # takes the flags of the experiment away again
            try:
                code = command.reported_to_user(main.main)(config_flags.parse(['main', *args]))
            except SystemExit as end:
                code = end.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def error(run):
    """Returns a function that runs the command and gives the one line on stderr that it ends with."""

    def error(*args):
        code, out, err = run(*args)
        assert (code, out) == (2, '') and err.startswith('error: ') and err.count('\n') == 1, (code, out, err)
        return err

    return error


# A run from the shell.


@pytest.mark.smoke
def test_quickstart_in_an_empty_folder_stops_and_goes_on(tmp_path):
    environment = os.environ | {'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.5'}
    compiled = tmp_path / 'compiled'
    args = [
        sys.executable,
        '-m',
        'stylegan_jax.main',
        *config_args('quickstart', QUICK),
        f'--compilation_cache={compiled}',
    ]
    folder = tmp_path / 'cwd'
    folder.mkdir()
    first = subprocess.Popen(args, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE)
    lines = []
    for line in first.stdout:
        lines.append(line)
        if line.startswith('tick 1 '):
            first.send_signal(signal.SIGINT)
    assert first.wait() == 130, lines
    assert lines[0] == 'training quickstart in runs/quickstart: 40 images, no labels\n'
    assert lines[-1].endswith('and saved; the same command goes on from here\n')

    programs = set(compiled.glob('*-cache'))
    assert any('iteration' in path.name for path in programs)
    second = subprocess.run(args, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, timeout=300)
    assert second.returncode == 0 and 'Traceback' not in second.stdout
    lines = second.stdout.splitlines()
    assert lines[0].startswith('going on at 0.') and lines[0].endswith('kimg in runs/quickstart')
    assert lines[-1].startswith('done: 0.608 kimg')
    assert [entry['nimg'] for entry in tiny_run.log_entries(folder / 'runs/quickstart')] == [
        112,
        224,
        336,
        448,
        560,
        608,
    ]
    assert not [path for path in set(compiled.glob('*-cache')) - programs if 'iteration' in path.name]
    assert os.listdir(folder) == ['runs'] and os.listdir(folder / 'runs') == ['quickstart']


@pytest.mark.parametrize(
    'end, code',
    [
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.full),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.full),
        pytest.param('unreadable image', 2, marks=pytest.mark.full),
    ],
)
def test_a_run_that_ends_while_a_stage_is_compiled_ends_in_good_order(tmp_path, end, code):
    """Nothing waits for the thread, which is not done when the process ends."""
    here = pathlib.Path(__file__).parent
    path = f'{here}:' + os.environ.get('PYTHONPATH', '')
    environment = os.environ | {
        'KILLED_RUN_NIMG': '480',
        'PYTHONPATH': path,
        'XLA_FLAGS': '',  # thorough, so slow
        'KILLED_RUN_FAIL_AT': '44' if end == 'unreadable image' else '',
    }
    process = subprocess.Popen(
        [
            sys.executable,
            '-m',
            'stylegan_jax.main',
            f'--experiment={here / "killed_run.py"}',
            f'--workdir={tmp_path}',
            '--compilation_cache=none',
        ],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith('compiled 4x4') and end != 'unreadable image':
                process.send_signal(end)
        assert process.wait(100) == code, lines
        error = process.stderr.read()
    finally:
        process.kill()
    assert 'compiled 4x4' in ''.join(lines) and 'compiled 8x8' not in ''.join(lines)
    if code == 2:
        assert error == 'error: images at 44 cannot be read\n'
    else:
        assert error == '\nstopping after this step and saving; once more stops at once\n'
        assert lines[-1].startswith('stopped at 0.004 kimg and saved')
        assert [path.name for path in (tmp_path / 'checkpoints').iterdir()] == ['4']


@pytest.mark.parametrize(
    'module, args, expected',
    [
        ('main', ['--experiment=ffqh'], 'error: --experiment=ffqh: unknown experiment, did you mean ffhq'),
        ('generate', ['--network=nowhere', '--outdir=out'], 'error: nowhere: No such file or directory'),
    ],
)
def test_a_mistake_is_one_line_in_the_shell(tmp_path, module, args, expected):
    done = subprocess.run(
        [sys.executable, '-m', f'stylegan_jax.{module}', *args],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 2 and done.stdout == ''
    assert done.stderr.startswith(expected) and done.stderr.count('\n') == 1


# --dry_run.


def test_speeds_are_for_a_dry_run(error):
    assert '--speeds=a.json: it goes with --dry_run; leave it out' in error(
        '--experiment=quickstart', '--speeds=a.json'
    )
    assert '--speeds=a.json: cannot be read' in error('--experiment=quickstart', '--speeds=a.json', '--dry_run')


def test_dry_run_shows_the_published_networks_and_trains_nothing(run):
    code, out, err = run('--experiment=ffhq', '--dry_run', '--config.train.total_kimg=3000')
    assert code == 0 and err == '' and os.listdir() == []
    text, generator, discriminator, schedule, memory, hours, found = out.split('\n\n')
    assert found.splitlines() == [
        'the images were not looked at, because data.path is empty; a run needs it',
        'the run ends at 32x32, after 3000 kimg; 1024x1024 is complete after 8400 kimg',
    ]
    assert hours.startswith(
        'how long it takes is not known: measure it with\n  python -m stylegan_jax.benchmark --what='
    )
    config = from_json(Config, text)
    assert config.name == 'ffhq' and config.train.total_kimg == 3000 and config.schedule.batch == 32
    assert generator.split()[-2:] == ['Total', '26,219,627']
    assert discriminator.split()[-2:] == ['Total', '23,087,249']
    assert [line.split()[3:5] for line in schedule.splitlines()[2:]] == [
        ['8x8', 'steady'],
        ['16x16', 'fade'],
        ['16x16', 'steady'],
        ['32x32', 'fade'],
        ['32x32', 'steady'],
    ]
    assert [line.split()[0] for line in memory.splitlines()[2:5]] == ['8x8', '16x16', '32x32']


def test_dry_run_says_what_it_found(run):
    fields = SMALL | {'data.count': 40, 'data.validation': 0.2}
    code, out, _ = run(*config_args('quickstart', fields), '--dry_run')
    assert code == 0 and out.endswith('\n\n40 images (5 of them held out), no labels\n')


# What users get wrong.


@pytest.mark.parametrize(
    'args, expected',
    [
        (['--experiment=quickstar'], ['--experiment=quickstar', 'did you mean quickstart']),
        (['--experiment=quickstart', '--config.schedule.batch=many'], ['schedule.batch=many', 'an integer']),
        (['--experiment=quickstart', '--config.train.kimg=1'], ['unknown flag --config.train.kimg']),
        (['--experiment=quickstart', '--config.image.resolution=100'], ['image.resolution=100', 'power of two']),
        (['--experiment=quickstart', '--config.replicas=3'], ['replicas=3', 'schedule.batch']),
        ([], ['--experiment is missing']),
    ],
)
@RUN_AND_DRY_RUN
def test_wrong_flags(error, args, expected, dry_run):
    message = error(*args, *dry_run)
    assert all(text in message for text in expected), message
    assert os.listdir() == [], 'something was made before the flags were found wrong'


@RUN_AND_DRY_RUN
def test_missing_data(error, dry_run):
    for labels in True, False:
        fields = SMALL | {'data.path': 'nowhere', 'data.find_labels': labels}
        message = error(*config_args('custom', fields), *dry_run)
        assert '--config.data.path=nowhere: there is no such file or folder' in message
    if not dry_run:
        assert '--config.data.path: it is empty' in error(*config_args('custom', SMALL))


@RUN_AND_DRY_RUN
def test_folder_without_images(error, dry_run):
    os.mkdir('empty')
    assert 'no PNG, JPEG, WebP, TIFF or other image files' in error(
        *config_args('custom', SMALL | {'data.path': 'empty'}), *dry_run
    )


@RUN_AND_DRY_RUN
def test_text_that_is_named_png(error, dry_run):
    os.mkdir('images')
    with open('images/text.png', 'w') as file:
        file.write('no picture')
    message = error(*config_args('custom', SMALL | {'data.path': 'images'}), *dry_run)
    assert (
        '1 of 1 images cannot be used' in message and 'text.png (not a PNG, JPEG, WebP, TIFF or other image)' in message
    )


@RUN_AND_DRY_RUN
def test_images_that_are_too_small(error, dry_run):
    os.mkdir('images')
    PIL.Image.fromarray(np.zeros([4, 4, 3], np.uint8)).save('images/small.png')
    message = error(*config_args('custom', SMALL | {'data.path': 'images'}), *dry_run)
    assert '1 of 1 images cannot be used' in message and '4x4 pixels are too few for 8x8' in message


@RUN_AND_DRY_RUN
def test_weights_to_start_from_that_do_not_fit(error, dry_run):
    args = config_args('quickstart', SMALL | {'data.count': 4, 'train.freeze_d': 1})
    assert 'nowhere: No such file or directory' in error(*args, '--init_from=nowhere', *dry_run)
    message = error(*args, '--init_from=toyfaces', *dry_run)
    assert '--config.train.freeze_d=1: 8x8/' in message and 'so that it would stay random' in message


@RUN_AND_DRY_RUN
def test_missing_weights_of_a_metric_are_refused_with_a_command_that_fetches_them(
    error, dry_run, monkeypatch, tmp_path
):
    monkeypatch.setenv('STYLEGAN_JAX_CACHE', str(tmp_path / 'cache'))
    args = config_args('quickstart', QUICK | {'metrics': 'kid20_full', 'log.keep_best': True})
    message = error(*args, *dry_run)
    assert (
        'kid20_full: the weights of inception-2015 are missing; fetch them once with '
        '`python -m stylegan_jax.evaluate --metrics=kid20_full --download`' in message
    )
    assert os.listdir() == [], 'a folder was made before the weights were found missing'


def test_workdir_that_cannot_be_written(error):
    with open('file', 'w'):
        pass
    for workdir in ('file', 'file/below'):
        message = error(*config_args('custom', SMALL), f'--workdir={workdir}')
        assert f'--workdir={workdir}: cannot be written' in message


def test_workdir_of_another_architecture(run, error):
    args = [*config_args('quickstart', SMALL | {'data.count': 4}), '--workdir=run']
    over = run(*args, '--config.train.total_kimg=0')
    line = 'nothing to do: run has reached 0 kimg before, and the run ends at 0\n'
    assert over[0] == 0 and run(*args, '--config.train.total_kimg=0', '--dry_run')[1] == f'4 images, no labels\n{line}'
    for dry_run in [], ['--dry_run']:
        message = error(*args, '--config.generator.fmap_max=4', *dry_run)
        assert 'generator.fmap_max: 8 in the checkpoint, 4 now' in message
        assert 'choose another workdir' in message
