"""Flags: overrides of every type, what users get wrong, and the command line as a whole."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest
from absl import flags

import stylegan_jax
from stylegan_jax.cli import config_flags, experiments
from stylegan_jax.config import Config, ImageConfig, LogConfig, ScheduleConfig
from stylegan_jax.config.serialization import from_json
from stylegan_jax.errors import UserError

ROOT = pathlib.Path(stylegan_jax.__file__).parent.parent
COMMAND = """
from absl import app
from stylegan_jax.cli import config_flags
from stylegan_jax.config.serialization import to_json

def main(argv):
    print(to_json(config_flags.chosen_config()))

app.run(main, flags_parser=config_flags.parse)
"""
MINE = '''"""Mine: a run of my own."""
import dataclasses
from stylegan_jax.experiments import custom

def get_config():
    return dataclasses.replace(custom.get_config(), name='mine', seed=5)
'''


def overridden(*args, config=Config()):
    """The config after flags, with its own FlagValues."""
    values = flags.FlagValues()
    config_flags.define_config_flags(config, values)
    values(['program', *args])
    return config_flags.config_from_flags(config, values)


def run_command(*args, cwd):
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    return subprocess.run(
        [sys.executable, '-c', COMMAND, *args], cwd=cwd, env=environment, text=True, capture_output=True, timeout=120
    )


def parse_error(capsys, *args):
    """The one line on stderr that a wrong command line ends with."""
    with pytest.raises(SystemExit) as caught:
        config_flags.parse(['program', *args], flags.FlagValues())
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == '' and captured.err.count('\n') == 1 and captured.err.startswith('error: ')
    return captured.err


@pytest.mark.parametrize(
    'flag, path, value',
    [
        ('seed=7', 'seed', 7),
        ('name=my run', 'name', 'my run'),
        ('train.total_kimg=100', 'train.total_kimg', 100.0),
        ('train.total_kimg=1e-1', 'train.total_kimg', 0.1),
        ('data.mirror', 'data.mirror', True),
        ('data.mirror=true', 'data.mirror', True),
        ('generator.use_noise=false', 'generator.use_noise', False),
        ('schedule.batch=32', 'schedule.batch', 32),
        ('schedule.batch=none', 'schedule.batch', None),
        ('schedule.lr=0.002', 'schedule.lr', 0.002),
        ('generator.truncation_psi=None', 'generator.truncation_psi', None),
        ('generator.truncation_psi=0.5', 'generator.truncation_psi', 0.5),
        ('image.base_shape=2,4', 'image.base_shape', (2, 4)),
        ('image.base_shape=(2, 4)', 'image.base_shape', (2, 4)),
        ('generator.blur_filter=1,4,6,4,1', 'generator.blur_filter', (1, 4, 6, 4, 1)),
        ('generator.blur_filter=', 'generator.blur_filter', ()),
        ('generator.blur_filter=()', 'generator.blur_filter', ()),
        ('log.grid_size=8,4', 'log.grid_size', (8, 4)),
        ('log.grid_size=none', 'log.grid_size', None),
        ('schedule.batch_by_resolution=8:256,16:128', 'schedule.batch_by_resolution', {8: 256, 16: 128}),
        ('schedule.batch_by_resolution={8: 256, 16: 128}', 'schedule.batch_by_resolution', {8: 256, 16: 128}),
        ('schedule.lr_by_resolution=128:0.0015', 'schedule.lr_by_resolution', {128: 0.0015}),
        ('schedule.lr_by_resolution=', 'schedule.lr_by_resolution', {}),
        ('schedule.lr_by_resolution=none', 'schedule.lr_by_resolution', None),
        ('data.path=a folder, with: commas', 'data.path', 'a folder, with: commas'),
    ],
)
def test_override(flag, path, value):
    config = overridden(f'--config.{flag}')
    found = config
    for name in path.split('.'):
        found = getattr(found, name)
    assert found == value and type(found) is type(value)
    # Nothing else has changed.
    *section, leaf = path.split('.')
    if section == ['image']:
        expected = dataclasses.replace(Config(), image=dataclasses.replace(Config().image, **{leaf: value}))
    elif section:
        part = dataclasses.replace(getattr(Config(), section[0]), **{leaf: value})
        expected = dataclasses.replace(Config(), **{section[0]: part})
    else:
        expected = dataclasses.replace(Config(), **{leaf: value})
    assert config == expected


def test_negated_boolean():
    assert overridden('--noconfig.generator.use_noise').generator.use_noise is False


def test_no_flags_change_nothing():
    config = Config(schedule=ScheduleConfig(batch=3), log=LogConfig(grid_size=(2, 2)))
    assert overridden(config=config) == config


def test_only_flags_that_are_given_apply():
    values = flags.FlagValues()
    config_flags.define_config_flags(Config(), values)
    values(['program', '--config.schedule.batch=3'])
    config = config_flags.config_from_flags(Config(seed=9, schedule=ScheduleConfig(batch=2, lr=0.5)), values)
    assert config == Config(seed=9, schedule=ScheduleConfig(batch=3, lr=0.5))


def test_the_last_of_two_counts():
    assert overridden('--config.seed=1', '--config.seed=2').seed == 2


def test_overrides_apply_together():
    """Each alone would be refused: 6 is no size from 4x4, 12 is none either, fmap_base 9 is too low for 1024."""
    config = overridden(
        '--config.image.base_shape=3,3',
        '--config.image.resolution=12',
        '--config.schedule.initial_resolution=6',
        '--config.generator.fmap_base=9',
        '--config.discriminator.fmap_base=9',
    )
    assert config.image == config.generator.image == ImageConfig(resolution=12, base_shape=(3, 3))


def test_every_leaf_is_a_flag_and_shows_its_default():
    values = flags.FlagValues()
    config_flags.define_config_flags(Config(), values)
    shown = values.get_help()
    assert '--config.train.total_kimg: length of training' in shown
    for text in ("(default: '25000.0')", "(default: 'true')", "(default: '4:160,8:140", '(default: none)'):
        assert text in shown
    assert '--config.image.resolution' in shown and 'generator.image' not in shown
    assert 'described in' not in shown, 'a field of config.py has no trailing comment'


def test_defaults_are_written_as_flags_are():
    """What --help shows as a default gives that default when passed."""
    values = flags.FlagValues()
    config = Config(log=LogConfig(grid_size=(3, 2)), schedule=ScheduleConfig(lr_by_resolution={4: 0.5}))
    config_flags.define_config_flags(config, values)
    args = [f'--{name}={config_flags.value_text(values[name].value)}' for name in values]
    assert overridden(*args) == config


@pytest.mark.parametrize(
    'flag, expected',
    [
        ('seed=1.5', 'give an integer'),
        ('schedule.batch=many', 'give an integer'),
        ('train.total_kimg=long', 'give a number'),
        ('train.total_kimg=nan', 'give a number'),
        ('data.mirror=perhaps', ': give true or false\n'),
        ('data.mirror=a: b', 'mirror=a: b: give true or false\n'),
        ('image.base_shape=4', 'give 2 values'),
        ('image.base_shape=4,x', 'give an integer'),
        ('log.grid_size=1,2,3', 'give 2 values'),
        ('schedule.batch_by_resolution=256', 'give RESOLUTION:VALUE'),
        ('schedule.batch_by_resolution=8:many', 'give an integer'),
        ('schedule.batch_by_resolution=8:1,8:2', '8 is given twice'),
    ],
)
def test_value_of_the_wrong_type(capsys, flag, expected):
    message = parse_error(capsys, '--experiment=custom', f'--config.{flag}')
    assert f'--config.{flag}' in message and expected in message


@pytest.mark.parametrize(
    'args, expected',
    [
        (
            ['--experiment=custom', '--config.image.resolution=100'],
            ['error: --config.image.resolution=100: ', '4 times a power of two'],
        ),
        (['--experiment=custom', '--config.loss.name=hinge'], ["error: --config.loss.name='hinge': ", "'wgan_gp'"]),
        (['--experiment=custom', '--config.train.total_kmig=1'], ['did you mean --config.train.total_kimg?']),
        (['--experiment=custom', '--config.schedule.total_kimg=1'], ['did you mean --config.train.total_kimg?']),
        (['--experiment=custom', '--config.generator.image.resolution=8'], ['did you mean --config.image.resolution?']),
        (['--experiment=custom', '--config.zzzzzz=8'], ['unknown flag --config.zzzzzz', '--help']),
        (['--experimnt=custom'], ['did you mean --experiment?']),
        (['--config.seed=1'], ['--config.seed', 'need --experiment=NAME']),
        (['--experiment'], ['missing value for flag --experiment; see --help']),
        (
            ['--experiment=custom', '--config.augment.mode'],
            ["missing value for flag --config.augment.mode; choose one of 'none', 'ada', 'fixed', 'diffaugment'\n"],
        ),
        (
            ['--experiment=custom', '--config.generator.architecture'],
            ["--config.generator.architecture; choose one of 'stylegan', 'progan',"],
        ),
        (['--experiment=custom', '--config.precision'], ["--config.precision; choose one of 'auto',"]),
        (['--experiment=custom', '--config.data.path'], ['missing value for flag --config.data.path (text)\n']),
        (['--experiment=custom', '--config.schedule.batch'], ['--config.schedule.batch (integer or none)\n']),
        (
            ['--experiment=custom', '--config.generator.architecture=progan'],
            ["--config.generator.architecture='progan': ", 'start from the experiment table1_a'],
        ),
        (
            ['--experiment=quickstart', '--config.loss.separation=1'],
            ['--config.loss.separation=1.0: it takes labels; ', '--config.data.find_labels=True to take those'],
        ),
        (['--experiment=table1_a', '--config.loss.separation=1'], ['it takes a mapping network']),
        (
            ['--experiment=ffqh'],
            ['error: --experiment=ffqh: unknown experiment', 'did you mean ffhq', '--help lists all'],
        ),
        (['--experiment=zzzzzz'], ['unknown experiment', '--help lists all']),
        (['--experiment=missing.py'], ['missing.py', 'no such file']),
        (['--experiment=custom', '--config.data.mirror', 'false'], ["unexpected argument 'false'", '--name=value']),
        (['experiment=custom'], ["unexpected argument 'experiment=custom'"]),
        (['--experiment=custom', '--noconfig.data.mirror=1'], ['does not take an argument']),
    ],
)
def test_wrong_command_line(capsys, args, expected):
    message = parse_error(capsys, *args)
    assert all(text in message for text in expected), message


@pytest.mark.parametrize(
    'args',
    [
        ['--experiment=custom'],
        ['--experiment', 'custom'],
        ['-experiment=custom'],
        ['--config.seed', '3', '--experiment', 'custom'],
        ['--experiment=ffhq', '--experiment=custom'],
    ],
)
def test_forms_of_experiment(args):
    values = flags.FlagValues()
    assert config_flags.parse(['program', *args], values) == ['program']
    assert config_flags.chosen_config(values).name == 'custom'


def test_file_of_an_experiment_runs_once(tmp_path):
    """From the command line to the config; its result is kept, whatever it computes or prints."""
    path, runs = tmp_path / 'mine.py', tmp_path / 'runs'
    count = f"with open({str(runs)!r}, 'a') as file:\n    file.write('x')\n"
    path.write_text(MINE + '\n' + count)
    values = flags.FlagValues()
    config_flags.parse(['program', f'--experiment={path}', '--config.train.total_kimg=3'], values)
    assert config_flags.chosen_config(values) is config_flags.chosen_config(values)
    assert (config_flags.chosen_config(values).seed, config_flags.chosen_config(values).train.total_kimg) == (5, 3.0)
    assert runs.read_text() == 'x'


def test_missing_experiment_is_named():
    values = flags.FlagValues()
    config_flags.parse(['program'], values)
    with pytest.raises(UserError, match='--experiment is missing'):
        config_flags.chosen_config(values)


def test_experiment_by_path_and_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'experiments').mkdir()
    (tmp_path / 'experiments' / 'mine.py').write_text(MINE)
    assert experiments.load_experiment('mine').seed == 5
    assert experiments.load_experiment('experiments/mine.py').name == 'mine'
    assert experiments.list_experiments()['mine'] == 'Mine: a run of my own.'


def test_own_experiment_with_a_shipped_name_is_ambiguous(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'experiments').mkdir()
    (tmp_path / 'experiments' / 'custom.py').write_text(MINE)
    with pytest.raises(UserError, match='differ; give the path'):
        experiments.load_experiment('custom')
    assert experiments.load_experiment('experiments/custom.py').name == 'mine'


@pytest.mark.parametrize(
    'source, expected',
    [
        ('x = 1\n', r'no function get_config\(\)'),
        ('def get_config():\n    return 3\n', 'returned int'),
        ('def get_config(:\n', 'bad.py, line 1'),
    ],
)
def test_file_that_is_no_experiment(tmp_path, source, expected):
    (tmp_path / 'bad.py').write_text(source)
    with pytest.raises(UserError, match=expected):
        experiments.load_experiment(str(tmp_path / 'bad.py'))


def test_command_applies_flags(tmp_path):
    (tmp_path / 'experiments').mkdir()
    (tmp_path / 'experiments' / 'mine.py').write_text(MINE)
    done = run_command('--experiment=mine', '--config.train.total_kimg=100', '--config.data.path=x', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = from_json(Config, done.stdout)
    assert (config.name, config.seed, config.train.total_kimg, config.data.path) == ('mine', 5, 100.0, 'x')


def test_command_reports_errors_without_traceback(tmp_path):
    done = run_command('--experiment=custom', '--config.seed=many', cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ''
    assert done.stderr == 'error: --config.seed=many: give an integer, such as 8\n'


def test_command_help_lists_experiments(tmp_path):
    done = run_command('--help', cwd=tmp_path)
    assert done.returncode in (0, 1) and done.stderr == ''
    assert 'ffhq                 FFHQ at 1024x1024: configuration F' in done.stdout
    assert '--experiment' in done.stdout


@pytest.mark.parametrize('flag', ['--help', '--helpfull'])
def test_command_help_shows_the_config_of_an_experiment(tmp_path, flag):
    done = run_command('--experiment=cifar10', flag, cwd=tmp_path)
    assert done.returncode in (0, 1) and done.stderr == ''
    assert '--config.image.label_dim' in done.stdout and "(default: '10')" in done.stdout
