"""Keeps Orbax, and the libraries below it, from reporting on their own what this package reports in one line."""

import logging
import sys

import absl.logging

_LONGEST = 200  # characters of a message that are shown


def _is_for_the_user(record):
    """Whether a log record is shown: Orbax also raises the errors that it logs with a traceback."""
    return 'orbax' not in record.pathname or absl.logging.get_verbosity() >= absl.logging.INFO


def _is_not_about_orbax(record):
    return 'orbax' not in record.getMessage()


logging.getLogger('absl').addFilter(_is_for_the_user)


def silence_late_reports() -> None:
    """Silences the tasks that a failed save or restore left behind.

    Each of them would report, one by one and when it is deleted, that nobody waits for its result any more.
    """
    logging.getLogger('asyncio').addFilter(_is_not_about_orbax)
    hook = sys.unraisablehook
    if getattr(hook, 'knows_late_reports', False):
        return

    def quiet(unraisable):
        if str(unraisable.exc_value) != 'Event loop is closed':
            hook(unraisable)

    quiet.knows_late_reports = True
    sys.unraisablehook = quiet


def first_line(error: BaseException) -> str:
    """Returns an error's message without the long specifications that TensorStore appends to it."""
    line = (str(error).strip().splitlines() or [''])[0].partition(' [tensorstore_spec')[0].partition(' [source ')[0]
    return line[:_LONGEST] or type(error).__name__
