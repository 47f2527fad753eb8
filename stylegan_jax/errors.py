"""The error that users can cause, and how a command reports it: one line and an exit code, no traceback."""
import functools
import sys


class UserError(ValueError):
    """Something that the user gave cannot be used; the message says what, where, which value, what to do."""


def reported_to_user(main):
    """Wraps a command's main so that a `UserError` ends it with one line on stderr and exit code 2."""
    @functools.wraps(main)
    def wrapper(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except UserError as error:
            print(f'error: {error}', file=sys.stderr)
            sys.exit(2)
    return wrapper
