"""How every command starts and ends: quiet logs, and one line with an exit code for what a user got wrong."""

import atexit
import contextlib
import functools
import os
import re
import signal
import sys
import typing
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from stylegan_jax.cli import flag_errors
from stylegan_jax.errors import UserError

# What may be a setting inside of a text: schedule.lr, seed=3 or max_skipped, but no part of a path or of a quotation.
_SETTING = re.compile(r'(?<![^\s(])([a-z]\w*\.[a-z]\w*(?![\w./(])|[a-z]\w*(?==\S)|[a-z]+_\w+(?![\w./(]))')
# How commands that do not take the whole config call settings of it: sections whose settings keep their last name, ...
_SECTIONS = 'image', 'discriminator'
_OTHER_NAMES = {'data.path': ('data',), 'data.count': ('data_count', 'count')}
# ... and what they have no flag for, but a preparation has.
_BY_PREPARING = {'data.max_skipped': 'prepare_data --max_skipped'}
_HELP_FLAGS = 'help', 'helpshort', 'helpfull', 'helpxml'


class _PlainFormatter(logging.PythonFormatter):
    """Writes warnings of this package as lines for people, without the time and the place in the code."""

    def format(self, record):
        if record.name.startswith('stylegan_jax.'):
            return f'{record.levelname.lower()}: {record.getMessage()}'
        return super().format(record)


class Interrupted(SystemExit):
    """A signal ended a command in the middle of its work; the exit code is 128 plus the signal's number."""


def run(
    main: Callable[[list[str]], int | None],
    flag_values: flags.FlagValues | None = None,
    flags_parser: Callable[[list[str]], list[str]] | None = None,
) -> typing.NoReturn:
    """Runs a command's `main(argv)` and ends the process; what `main` returns is the exit code.

    Args:
      main: takes the arguments that are not flags.
      flag_values: the FlagValues that the command's own flags are defined in, see `parse`.
      flags_parser: see `absl.app.run`; None is `parse`.
    """
    try:
        parser = flags_parser or functools.partial(parse, flag_values=flag_values)
        app.run(reported_to_user(main), flags_parser=parser)
    except Interrupted as end:
        _end_at_once(end.code)
    except SystemExit as end:
        # absl calls asking for help an error, and ends before the flag has its value.
        asked = any(argument.lstrip('-') in _HELP_FLAGS for argument in sys.argv[1:] if argument.startswith('-'))
        sys.exit(0 if end.code == 1 and asked else end.code)
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        # Python flushes stdout once more when it ends, and would complain about the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def reported_to_user(main: Callable[..., int | None]) -> Callable[..., int | None]:
    """Wraps a command's main: a `UserError` ends it with one line on stderr and exit code 2, Ctrl-C with 130."""

    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        if not flags.FLAGS['verbosity'].present:
            logging.set_verbosity(logging.WARNING)  # libraries report their every step as information
        logging.get_absl_handler().setFormatter(_PlainFormatter())
        try:
            return main(*args, **kwargs)
        except UserError as error:
            fail(error)
        except KeyboardInterrupt:
            print('interrupted', file=sys.stderr)
            raise Interrupted(128 + signal.SIGINT) from None

    return wrapper


def interrupt(number: int, frame: object) -> typing.NoReturn:
    """The handler of a signal that ends a command as Ctrl-C does."""
    raise Interrupted(128 + number)


def _end_at_once(code):
    """Ends the process without the interpreter's own last steps, in which JAX crashes if it was compiling."""
    atexit._run_exitfuncs()  # processes and locks that others may wait for are given back as usual
    for stream in sys.stdout, sys.stderr:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def fail(error: Exception | str, flag_values: flags.FlagValues = flags.FLAGS) -> typing.NoReturn:
    """Prints an error as one line on stderr and exits with code 2; a UserError names settings by their flags.

    This and `reported_to_user` are the only ways in which a command reports an error.

    Args:
      error: an exception, or the message itself.
      flag_values: the FlagValues that the command has parsed.
    """
    text = str(error)
    if isinstance(error, UserError):
        text = error.text(_flag_of(error.field, flag_values))
        text = _SETTING.sub(lambda match: _flag_in_text(match, flag_values), text)
    print('error:', ' '.join(text.split()), file=sys.stderr)
    sys.exit(2)


def _flag_of(setting, flag_values):
    """The flag that sets a setting, such as --config.data.path for data.path; the setting's own name if none does."""
    if not setting:
        return setting
    section, _, name = setting.rpartition('.')
    names = [setting, f'config.{setting}', *_OTHER_NAMES.get(setting, ()), *([name] if section in _SECTIONS else ())]
    found = next((f'--{each}' for each in names if each in flag_values), None)
    return found or _BY_PREPARING.get(setting, setting)


def _flag_in_text(match, flag_values):
    """The flag of what may be a setting in a text; one such as base_shape may leave its section of the config out."""
    setting = match[0]
    if (flag := _flag_of(setting, flag_values)) == setting and '_' in setting and '.' not in setting:
        sections = [name for name in flag_values if name.startswith('config.') and name.endswith(f'.{setting}')]
        return f'--{sections[0]}' if len(sections) == 1 else setting
    return flag


def parse(argv: Sequence[str], flag_values: flags.FlagValues | None = None) -> list[str]:
    """Parses a command line; a wrong flag ends the process with one line.

    A command defines its flags apart from the global ones, so that programs may import several commands whose flags
    have the same names; they become global when it runs.

    Args:
      argv: the name of the program, and its arguments.
      flag_values: where the command's own flags are defined; None if they are global.

    Returns:
      The arguments that are not flags, of which there is only the program.
    """
    for name in flag_values or ():
        flags.DEFINE_flag(flag_values[name], module_name=sys.argv[0])  # --help shows the flags of this module
    rest = parse_flags(argv, flags.FLAGS)
    refuse_arguments(rest)
    if flag_values is not None:
        flag_values.mark_as_parsed()
    return rest


def parse_flags(argv: Sequence[str], flag_values: flags.FlagValues, *, known_only: bool = False) -> list[str]:
    """Parses a command line with flags that are defined; a mistake ends the process with one line.

    Args:
      argv: the name of the program, and its arguments.
      flag_values: where the flags are defined.
      known_only: whether flags that are not defined are left alone.

    Returns:
      The arguments that are no flags.
    """
    try:
        return flag_values(argv, known_only=known_only)
    except (flags.Error, ValueError) as error:  # absl raises a bare ValueError for --noNAME=VALUE
        fail(flag_errors.text_of(error, flag_values))


def refuse_arguments(rest: Sequence[str]) -> None:
    """Ends the process with one line if a command line has arguments that are not flags: no command takes any.

    Args:
      rest: the name of the program, and the arguments that are not flags.
    """
    if len(rest) > 1:
        fail(f'unexpected argument {rest[1]!r}; flags are written --name=value')
