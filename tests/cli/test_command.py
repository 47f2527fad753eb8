"""How commands end: exit codes, and one line for what a user got wrong."""

import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags, logging
from absl.testing import flagsaver

import stylegan_jax
from stylegan_jax import (
    animate,
    benchmark,
    convert,
    evaluate,
    generate,
    latents,
    prepare_data,
    project,
    train_classifier,
    view,
)
from stylegan_jax.cli import command, config_flags
from stylegan_jax.config import Config
from stylegan_jax.errors import UserError

COMMANDS = animate, benchmark, convert, evaluate, generate, latents, prepare_data, project, train_classifier, view


@pytest.fixture(autouse=True)
def verbosity():
    """Puts back what a command changes."""
    flags.FLAGS.mark_as_parsed()
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)


def failing(error):
    def main(argv):
        raise error

    return main


def ended(capsys, run):
    """(exit code, stderr) of what ends the process."""
    with pytest.raises(SystemExit) as caught:
        run()
    captured = capsys.readouterr()
    assert captured.out == ''
    return caught.value.code, captured.err


def test_user_errors_are_one_line_and_exit_code_2(capsys):
    main = command.reported_to_user(failing(UserError('first\n   second')))
    assert ended(capsys, lambda: main(['program'])) == (2, 'error: first second\n')


def test_other_errors_keep_their_traceback():
    with pytest.raises(ValueError, match='a bug'):
        command.reported_to_user(failing(ValueError('a bug')))(['program'])


def test_exit_code_is_what_main_returns(monkeypatch, capsys):
    for code in (0, 143):
        assert ended(capsys, lambda: command.run(lambda argv: code, flags_parser=lambda argv: argv)) == (code, '')


def test_libraries_log_warnings_only():
    logging.set_verbosity(logging.INFO)
    command.reported_to_user(lambda argv: None)(['program'])
    assert logging.get_verbosity() == logging.WARNING


@pytest.mark.parametrize(
    'argument, expected',
    [
        ('--zzzzzz=1', 'error: unknown flag --zzzzzz; see --help\n'),
        ('--verbositi=1', 'error: unknown flag --verbositi; did you mean --verbosity?\n'),
        ('--config.seed=1', 'error: unknown flag --config.seed'),
        ('--verbosity=loud', 'error: --verbosity=loud'),
        ('--alsologtostderr=ja', 'error: --alsologtostderr=ja: give true or false\n'),
        ('--noalsologtostderr=1', 'error: --noalsologtostderr=1 does not take an argument'),
        ('--log_dir', 'error: missing value for flag --log_dir; see --help\n'),
        ('--stderrthreshold', 'error: missing value for flag --stderrthreshold'),
        ('seeds=3', "error: unexpected argument 'seeds=3'; flags are written --name=value"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_code_2(monkeypatch, capsys, argument, expected):
    monkeypatch.setattr('sys.argv', ['program', argument])
    code, err = ended(capsys, lambda: command.run(lambda argv: 0))
    assert code == 2 and err.startswith(expected) and err.count('\n') == 1


@pytest.mark.parametrize('field, shown', [('verbosity', '--verbosity'), ('no_such_setting', 'no_such_setting')])
def test_commands_show_the_flag_that_sets_what_is_wrong(capsys, field, shown):
    error = UserError('it is wrong', field=field, value=7, remedy='choose another')
    assert str(error) == f'{field}=7: it is wrong; choose another'
    main = command.reported_to_user(failing(error))
    assert ended(capsys, lambda: main(['program'])) == (2, f'error: {shown}=7: it is wrong; choose another\n')


def test_settings_of_the_config_are_shown_with_their_section(capsys):
    with flagsaver.flagsaver():
        flags.DEFINE_string('config.data.path', '', 'A flag of a config.')
        main = command.reported_to_user(failing(UserError('is missing', field='data.path')))
        assert ended(capsys, lambda: main(['program'])) == (2, 'error: --config.data.path: is missing\n')


def expanded(text, *names):
    """What a command with flags of some names makes of a text."""
    own = flags.FlagValues()
    for name in names:
        flags.DEFINE_string(name, None, '', flag_values=own)
    return command._SETTING.sub(lambda match: command._flag_in_text(match, own), text)


@pytest.mark.parametrize(
    'names, text, expected',
    [
        (
            ['config.schedule.lr'],
            'lower schedule.lr=0.1, see a.file, runs/x.y and train.other',
            'lower --config.schedule.lr=0.1, see a.file, runs/x.y and train.other',
        ),
        (
            ['config.schedule.lr', 'config.schedule.lr_by_resolution'],
            'and lower schedule.lr_by_resolution=8:0.1,16:0.2 at 16',
            'and lower --config.schedule.lr_by_resolution=8:0.1,16:0.2 at 16',
        ),
        (['config.seed'], 'choose another seed, or seed=3', 'choose another seed, or --config.seed=3'),
        (['seed', 'config.seed'], 'give (seed=3)', 'give (--seed=3)'),
        (['psi', 'seed'], "'psi=x' in a;psi=x, --recipe=psi=x and a/seed=3", None),
        (['max_skipped'], 'allow more with max_skipped', 'allow more with --max_skipped'),
        (['config.data.x_y'], 'set x_y or y_z', 'set --config.data.x_y or y_z'),
        (['config.data.x_y', 'config.log.x_y'], 'set x_y', None),  # which of them is not known
        (['resolution'], 'set image.resolution=16', 'set --resolution=16'),
        (['data', 'data_count'], 'data.path or data.count=0', '--data or --data_count=0'),
        (['data', 'count'], 'data.path or data.count=0', '--data or --count=0'),
        (['data'], 'allow data.max_skipped=0.1', 'allow prepare_data --max_skipped=0.1'),
    ],
)
def test_settings_in_texts_are_shown_as_flags_where_they_are_some(names, text, expected):
    assert expanded(text, *names) == (expected or text)


def test_remedies_are_shown_with_flags(capsys):
    with flagsaver.flagsaver():
        flags.DEFINE_string('data', '', 'A flag of a command that only opens data.')
        main = command.reported_to_user(failing(UserError('is missing', field='data.path', value='x', remedy='data=y')))
        assert ended(capsys, lambda: main(['program'])) == (2, 'error: --data=x: is missing; --data=y\n')


NO_FLAGS = 'noise_type', 'repeat_w', 'file_format'  # settings of other programs


def test_every_setting_that_a_message_gives_a_value_is_a_flag_of_some_command():
    names = {f'config.{name}' for name, *_ in config_flags._fields(Config())}
    names |= {'init_from', 'coordinator', 'num_processes', 'process_id'}  # of main
    names.update(*(module.FLAGS for module in COMMANDS))
    texts = list(messages())
    assert len(texts) > 1000  # so that none are left out by mistake
    settings = {name for text in texts for name in re.findall(r'(?<![^\s(])([a-z][\w.]*)=', text)}
    assert {'data.count', 'image.label_dim', 'replicas'} <= settings
    unknown = {name for name in settings if expanded(f'{name}=x', *names) == f'{name}=x'}
    assert unknown == set(NO_FLAGS)


# A line that begins a message, and those that continue it.
MESSAGE = re.compile(r'^( *)(?:.*\b(?:UserError|require)\(|.*remedy.* = ).*(?:\n\1[ )].*)*', re.MULTILINE)


def messages():
    """The literal parts of all messages to users in the package. Parsing all of the sources would take a second."""
    sources = (path.read_text() for path in pathlib.Path(stylegan_jax.__file__).parent.rglob('*.py'))
    for source in (source for source in sources if 'stylegan_jax.errors import' in source):
        for statement in MESSAGE.finditer(source):
            for quoted in re.finditer(r"""'([^'\n]*)'|"([^"\n]*)\"""", statement[0]):
                yield quoted[1] or quoted[2] or ''


INTERRUPTED = """
import atexit, signal, sys
from stylegan_jax.cli import command

class Late:
    def __del__(self):
        print('the last steps of the interpreter')

def main(argv):
    sys.late = Late()
    atexit.register(lambda: print('given back'))
    signal.signal(signal.SIGTERM, command.interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    signal.raise_signal(signal.{name})

command.run(main)
"""


@pytest.mark.parametrize('name, code, stderr', [('SIGINT', 130, 'interrupted\n'), ('SIGTERM', 143, '')])
def test_a_signal_ends_the_process_without_the_last_steps_of_the_interpreter(name, code, stderr):
    """JAX crashed in these, with exit code 139, where a compilation had been interrupted."""
    program = INTERRUPTED.replace('{name}', name)
    done = subprocess.run([sys.executable, '-c', program], text=True, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (code, 'given back\n', stderr)


def test_warnings_of_the_package_are_lines_for_people():
    program = """
import logging
from stylegan_jax.cli import command

def main(argv):
    logging.getLogger('stylegan_jax.data.dataset').warning('%d left out', 3)
    logging.getLogger('other').warning('4 left out')

command.run(main)
"""
    done = subprocess.run([sys.executable, '-c', program], text=True, capture_output=True, timeout=60)
    first, second = done.stderr.splitlines()
    assert first == 'warning: 3 left out'
    assert second.startswith('W') and second.endswith('] 4 left out')
