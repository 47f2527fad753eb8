"""The page of a run's report: one HTML file that loads nothing, made of sections (`visuals`, `records`)."""

import datetime
import math
import os
import pathlib

from stylegan_jax.metrics.ways import by_way
from stylegan_jax.report import curves, reading, records, visuals
from stylegan_jax.report.markup import Markup, data, element, joined
from stylegan_jax.report.pictures import Pictures, spread
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.progress import duration, time_range

FILE = 'report.html'
_STATES = {'start': 'training', 'resume': 'training', 'stop': 'stopped', 'done': 'finished', 'broken': 'given up'}
# Forbids the browser to load anything, whatever text gets into the page.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write(workdir: str | os.PathLike, pictures: Pictures | None = None) -> str:
    """Writes the report of a run into its folder, and replaces an older one.

    Args:
      workdir: the run's folder.
      pictures: encoded pictures that the caller keeps from one report to the next; None to encode all of them.

    Returns:
      The path of the file.

    Raises:
      UserError: there is no run.
    """
    run = reading.read(workdir)
    path = os.path.join(workdir, FILE)
    text = _page(run, pictures or Pictures())
    # The training and the command may write at the same time, so each has a temporary file of its own.
    with atomic.writing(path, 'wb', suffix=f'.{os.getpid()}.part') as file:
        file.write(text.encode(errors='replace'))  # JSON may contain half a surrogate pair, which UTF-8 cannot encode
    return path


def _page(run, pictures):
    name = run.config.name if run.config else os.path.basename(os.path.abspath(run.workdir))
    shown = [run.pictures[index] for index in spread([nimg for nimg, _ in run.pictures])]
    encoded = pictures.take(run.workdir, [file for _, file in shown] + [visuals.REALS])
    shown = [(nimg, file) for nimg, file in shown if file in encoded]
    drawn = curves.plots(run)
    end = max(run.nimg / 1000, 0.001)
    head = element(
        'head',
        element('meta', charset='utf-8'),
        element('meta', name='viewport', content='width=device-width, initial-scale=1'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element('title', f'{name}: a run of stylegan_jax'),
        element('style', _own_file('page.css')),
    )
    body = element(
        'body',
        _summary(run, name),
        visuals.samples(shown, encoded),
        visuals.curve_plots(run, drawn, end),
        records.command_lines(run),
        records.machine(run),
        records.events(run),
        records.settings(run),
        data('data', visuals.script_data(run, shown, drawn, end)),
        element('script', _own_file('page.js')),
    )
    return joined(Markup('<!DOCTYPE html>\n'), element('html', head, body, lang='en'), '\n')


def _summary(run, name):
    last = run.entries[-1] if run.entries else {}
    states = [_STATES[event['event']] for event in run.events if event.get('event') in tuple(_STATES)]
    total = run.config.train.total_kimg if run.config else None
    now = datetime.datetime.now(datetime.UTC)
    cards = [
        ('Images shown', f'{run.nimg / 1000:.6g}' + (f' of {total:g}' if total else '') + ' kimg'),
        ('Resolution', last.get('resolution')),
        ('Time', reading.number_text(last, 'seconds', duration)),
        ('Time left', None if states[-1:] == ['finished'] else _time_left(last)),
        ('Speed in the last tick', reading.number_text(last, 'images_per_second', lambda value: f'{value:.4g} img/s')),
        ('Images a step', reading.number_text(last, 'batch', lambda value: f'{value:g}')),
    ]
    newest = {metric: of_ways[''][-1] for metric, of_ways in by_way(run.metrics).items()}
    cards += [
        (metric, reading.number_text(result, 'value', lambda value: f'{value:.5g}'))
        for metric, result in newest.items()
    ][:4]
    return element(
        'header',
        element('h1', name),
        element(
            'p',
            f'{states[-1] if states else "state unknown"}; this page is of {now:%Y-%m-%d %H:%M} UTC',
            class_='muted',
        ),
        element('p', run.config_problem, class_='warn') if run.config_problem else None,
        element('progress', max=total, value=min(run.nimg / 1000, total), aria_label='share of the training')
        if total
        else None,
        element(
            'dl',
            [element('div', element('dt', title), element('dd', value)) for title, value in cards if value is not None],
            class_='cards',
        ),
    )


def _time_left(entry):
    """The time to the end of the run as its newest tick told it; None where that was not known."""
    left = [reading.number(entry.get(name)) for name in ('seconds_left', 'seconds_left_at_most')]
    return None if any(map(math.isnan, left)) else time_range(*left)


def _own_file(name):
    return Markup(pathlib.Path(__file__).with_name(name).read_text())
