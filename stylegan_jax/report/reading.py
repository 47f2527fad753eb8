"""Reads the records in a run's folder. Lines that a crash cut off, and lines that are not JSON objects, are skipped."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from stylegan_jax.config import Config, serialization
from stylegan_jax.config.schedule import resolve, stage_table
from stylegan_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Run:
    """The records of a run."""

    workdir: str
    config: Config | None  # None if config.json cannot be used; the reason is in `config_problem`
    config_text: str
    config_problem: str
    entries: list  # of log.jsonl, dicts in the order of `nimg`, one for each
    events: list  # of events.jsonl, dicts
    metrics: list  # of metrics.jsonl, dicts in the order of `nimg`
    pictures: list  # (images shown, file name) of the sample grids, in order
    spans: list  # `schedule.Span` of the whole run; empty without a config

    @property
    def nimg(self) -> int:
        """The largest number of images shown that any record mentions."""
        return max([0, *(entry['nimg'] for entry in self.entries + self.metrics), *(nimg for nimg, _ in self.pictures)])

    def newest(self, kind: str) -> dict[str, Any]:
        """Returns the last event of a kind, or an empty dict."""
        return next((event for event in reversed(self.events) if event.get('event') == kind), {})


def read(workdir: str | os.PathLike) -> Run:
    """Reads a run's folder.

    Args:
      workdir: the folder.

    Returns:
      The records.

    Raises:
      UserError: there is no run.
    """
    if not any(os.path.isfile(os.path.join(workdir, name)) for name in ('config.json', 'log.jsonl', 'events.jsonl')):
        raise UserError(
            'there is no run (no config.json, log.jsonl, events.jsonl)',
            field='run',
            value=workdir,
            remedy='give the folder that a training wrote',
        )
    config, text, problem = _config(os.path.join(workdir, 'config.json'))
    entries = log_entries(workdir)
    return Run(
        workdir,
        config,
        text,
        problem,
        entries,
        _lines(os.path.join(workdir, 'events.jsonl')),
        _metrics(os.path.join(workdir, 'metrics.jsonl')),
        _pictures(workdir, entries),
        stage_table(resolve(config)) if config else [],
    )


def log_entries(workdir: str | os.PathLike) -> list[dict[str, Any]]:
    """Returns the ticks in a run's log, in the order of the images shown; none where there is no log."""
    found = {entry['nimg']: entry for entry in _with_nimg(os.path.join(workdir, 'log.jsonl'))}
    return [found[nimg] for nimg in sorted(found)]


def number(value: object) -> float:
    """Returns a value of a record as a float; NaN if it is no number."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e300 else math.nan


def number_text(entry: Mapping[str, Any], name: str, form: Callable[[float], str]) -> str | None:
    """Returns a number of an entry as text, written by `form`; None if the entry has no such number."""
    value = number(entry.get(name))
    return None if math.isnan(value) else form(value)


def _config(path):
    """(Config or None, the file's text, what is wrong with it)."""
    try:
        with open(path, errors='replace') as file:
            text = file.read()
    except OSError as error:
        return None, '', f'config.json cannot be read ({error.strerror})'
    try:
        config = serialization.from_json(Config, text)
        stage_table(resolve(config))
    except (ValueError, TypeError, KeyError, AttributeError, UserError) as error:
        return None, text, f'config.json is damaged or of another version ({error})'
    return config, text, ''


def _lines(path):
    """The dicts in a file of JSON lines; none where there is no file."""
    if not os.path.exists(path):
        return []
    found = []
    with open(path, errors='replace') as file:
        for line in file:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            found += [value] if isinstance(value, dict) else []
    return found


def _with_nimg(path):
    """The dicts in a file of JSON lines that say how many images were shown."""
    return [entry for entry in _lines(path) if number(entry.get('nimg')) >= 0]


def _metrics(path):
    """Results by their images shown; those of the same number stay in the order in which they were written."""
    results = [result for result in _with_nimg(path) if isinstance(result.get('metric'), str)]
    return sorted(results, key=lambda result: result['nimg'])


def _pictures(workdir, entries):
    """(images shown, name) of the sample grids. Names with six digits count thousands; the log has the exact number.

    Grids beyond the end of the log are left out: they show training that a crash lost, until the run repeats it.
    """
    last = entries[-1]['nimg'] if entries else math.inf
    # Of two ticks within a thousand the first has six digits (`run.ticks`).
    exact = {int(entry['nimg']) // 1000: int(entry['nimg']) for entry in reversed(entries)}
    found = []
    for name in os.listdir(workdir):
        match = re.fullmatch(r'fakes([0-9]{6}|[0-9]{9})\.png', name)
        if match:
            count = int(match[1])
            found.append((exact.get(count, count * 1000) if len(match[1]) == 6 else count, name))
    return sorted(picture for picture in found if picture[0] <= last)
