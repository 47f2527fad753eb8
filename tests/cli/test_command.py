"""How commands end: exit codes, and one line for what a user got wrong."""

import subprocess
import sys

import pytest
from absl import flags, logging
from absl.testing import flagsaver

from stylegan_jax.cli import command
from stylegan_jax.errors import UserError


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


def test_settings_inside_a_remedy_are_shown_as_flags_where_they_are_some(capsys):
    with flagsaver.flagsaver():
        flags.DEFINE_float('config.schedule.lr', 0.1, 'A flag of a config.')
        error = UserError('broken', remedy='lower schedule.lr=0.1, see a.file, runs/x.y and train.other')
        main = command.reported_to_user(failing(error))
        text = 'error: broken; lower --config.schedule.lr=0.1, see a.file, runs/x.y and train.other\n'
        assert ended(capsys, lambda: main(['program'])) == (2, text)


def test_commands_that_only_open_data_call_it_by_their_own_flags(capsys):
    with flagsaver.flagsaver():
        flags.DEFINE_string('data', '', 'A flag of such a command.')
        main = command.reported_to_user(failing(UserError('is missing', field='data.path', value='x')))
        assert ended(capsys, lambda: main(['program'])) == (2, 'error: --data=x: is missing\n')


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
