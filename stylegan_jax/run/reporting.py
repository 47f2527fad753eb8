"""The page report.html of a run that trains: written again and again, for a small part of the run's time."""

import time

from stylegan_jax import report
from stylegan_jax.run.log import RunLog

_REPORT_SHARE = 1 / 20  # the largest part of the run's time that reports may take


class Reporting:
    """Writes the report of one run."""

    def __init__(self, workdir: str, log: RunLog):
        """Writes nothing yet.

        Args:
          workdir: the run's folder.
          log: the run's log, which tells about failures.
        """
        self._workdir, self._log = workdir, log
        self._pictures = report.Pictures()  # keeps pictures that are encoded already
        self._next, self._has_failed = 0.0, False

    def write(self, nimg: int, *, is_last: bool = False) -> None:
        """Writes report.html, unless reports have taken too much of the run's time so far.

        Args:
          nimg: images shown.
          is_last: whether it is the last one, which is always written.
        """
        start = time.monotonic()
        if start < self._next and not is_last:
            return
        try:
            with self._log.attempt(report.FILE, nimg):
                report.write(self._workdir, self._pictures)
        except Exception as error:  # A page to look at is not worth a training.
            if not self._has_failed:
                text = f'{report.FILE} could not be made ({type(error).__name__}: {error}); training goes on'
                self._log.event('report', f'warning: {text}', nimg)
            self._has_failed = True
        now = time.monotonic()
        self._next = now + (now - start) / _REPORT_SHARE
