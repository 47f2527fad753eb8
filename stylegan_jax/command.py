"""How every command starts and ends: quiet logs, and one line with an exit code for what a user got wrong."""
import functools
import sys

from absl import app, flags, logging

from stylegan_jax.errors import UserError

_HELP_FLAGS = 'help', 'helpshort', 'helpfull', 'helpxml'


def run(main, flags_parser=None):
    """Runs a command's `main(argv)`; its return value is the exit code.

    Args:
      main: takes the arguments that are not flags.
      flags_parser: see `absl.app.run`; None parses the flags that are defined, with one line for a wrong one.
    """
    try:
        app.run(reported_to_user(main), flags_parser=flags_parser or _parse)
    except SystemExit as end:
        # absl calls asking for help an error.
        sys.exit(0 if end.code == 1 and any(flags.FLAGS[name].value for name in _HELP_FLAGS) else end.code)


def reported_to_user(main):
    """Wraps a command's main: a `UserError` ends it with one line on stderr and exit code 2, Ctrl-C with 130."""
    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        if not flags.FLAGS['verbosity'].present:
            logging.set_verbosity(logging.WARNING)       # libraries report their every step as information
        try:
            return main(*args, **kwargs)
        except UserError as error:
            fail(error)
        except KeyboardInterrupt:
            print('interrupted', file=sys.stderr)
            sys.exit(130)
    return wrapper


def fail(error):
    """Prints an error as one line on stderr and exits with code 2."""
    print('error:', ' '.join(str(error).split()), file=sys.stderr)
    sys.exit(2)


def _parse(argv):
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        fail(error)
    if len(rest) > 1:
        fail(f'unexpected argument {rest[1]!r}; flags are written --name=value')
    return rest
