"""The page of a run's report: its sections, as one HTML file that loads nothing."""

import datetime
import json
import os
import pathlib

from stylegan_jax.cli.config_flags import value_text
from stylegan_jax.report import curves, plots, reading
from stylegan_jax.report.commands import changed_settings, commands
from stylegan_jax.report.markup import Markup, data, element, joined
from stylegan_jax.report.pictures import Pictures, spread
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.progress import duration

FILE = 'report.html'
_REALS = 'reals.png'
_STATES = {'start': 'training', 'resume': 'training', 'stop': 'stopped', 'done': 'finished', 'broken': 'given up'}
_WARNINGS = 'skipped', 'damaged', 'broken', 'disk', 'lock', 'report'
_MOST_EVENTS = 400
_MOST_LETTERS = 2000  # of an event
_FACTS = {
    'device': 'Device',
    'platform': 'Platform',
    'count': 'Number of devices',
    'processes': 'Processes',
    'memory_gib': 'Memory of a device [GiB]',
    'processor': 'Processor',
    'cores': 'Cores',
    'host': 'Host',
    'jax': 'JAX',
    'version': 'stylegan_jax',
    'commit': 'Commit',
    'python': 'Python',
    'system': 'System',
}
# Whatever gets into the page, a browser fetches nothing for it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write(workdir, pictures=None):
    """Writes the report of a run into its folder, in the place of an older one.

    Args:
      workdir: the run's folder.
      pictures: a `Pictures` that is kept from one time to the next; None to encode all anew.

    Returns:
      The path of the file.

    Raises:
      UserError: there is no run.
    """
    run = reading.read(workdir)
    path = os.path.join(workdir, FILE)
    text = _page(run, pictures or Pictures())
    # The run and the command may write at the same time.
    with atomic.writing(path, 'wb', suffix=f'.{os.getpid()}.part') as file:
        file.write(text.encode(errors='replace'))  # half a surrogate pair can stand in JSON
    return path


def _page(run, pictures):
    name = run.config.name if run.config else os.path.basename(os.path.abspath(run.workdir))
    shown = [run.pictures[index] for index in spread([nimg for nimg, _ in run.pictures])]
    encoded = pictures.take(run.workdir, [file for _, file in shown] + [_REALS])
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
        _samples(shown, encoded),
        _curves(run, drawn, end),
        _commands(run),
        _machine(run),
        _events(run),
        _config(run),
        data('data', _for_script(run, shown, drawn, end)),
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
        ('Time', _text(last, 'seconds', duration)),
        ('Speed in the last tick', _text(last, 'images_per_second', lambda value: f'{value:.4g} img/s')),
        ('Images a step', _text(last, 'batch', lambda value: f'{value:g}')),
    ]
    newest = {result.get('metric'): result for result in run.metrics}
    cards += [(metric, _text(result, 'value', lambda value: f'{value:.5g}')) for metric, result in newest.items()][:4]
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


def _samples(shown, encoded):
    if not shown:
        pictures = element('p', 'No samples yet.', class_='muted')
    else:
        images = [
            _image(encoded[file], f'samples at {nimg / 1000:g} kimg', hidden=number < len(shown) - 1)
            for number, (nimg, file) in enumerate(shown)
        ]
        last = len(shown) - 1
        pictures = joined(
            element('div', images, id='grids'),
            element(
                'div',
                element('button', 'Play', id='play', type='button'),
                element(
                    'input',
                    type='range',
                    id='slider',
                    min=0,
                    max=last,
                    value=last,
                    step=1,
                    aria_label='which sample grid',
                ),
                element('output', id='where', for_='slider'),
                class_='controls',
            ),
        )
    reals = (
        element(
            'details',
            element('summary', 'Training images in the same layout'),
            _image(encoded[_REALS], 'training images'),
        )
        if _REALS in encoded
        else None
    )
    return element('section', element('h2', 'Samples'), pictures, reals)


def _image(picture, text, hidden=False):
    address, width, height = picture
    return element('img', src=address, width=width, height=height, alt=text, hidden=hidden)


def _curves(run, drawn, end):
    if not drawn:
        return element('section', element('h2', 'Curves'), element('p', 'No tick yet.', class_='muted'))
    figures = []
    cursor = (
        f'left: calc({plots.LEFT / plots.WIDTH * 100:.3f}% + '
        f'{(plots.WIDTH - plots.LEFT - plots.RIGHT) / plots.WIDTH * 100:.3f}% * var(--at, 1)); '
        f'top: {plots.TOP / plots.HEIGHT * 100:.3f}%; bottom: {plots.BOTTOM / plots.HEIGHT * 100:.3f}%'
    )
    for plot, svg in zip(drawn, plots.draw(drawn, run.spans, end), strict=True):
        legend = [
            element(
                'span',
                element('i', style=f'background: var(--curve{number % plots.COLOURS})'),
                curve.name,
                ' ',
                element('b', curves.at(curve, end), data_curve=_key(plot, curve)),
            )
            for number, curve in enumerate(plot.curves)
        ]
        figures.append(
            element(
                'figure',
                element('figcaption', element('strong', plot.title), legend),
                element('div', svg, element('div', class_='cursor', style=cursor), class_='canvas'),
            )
        )
    hint = 'Fades to a higher resolution are shaded; the resolution is above. A click moves the samples there.'
    return element(
        'section', element('h2', 'Curves'), element('p', hint, class_='muted'), element('div', figures, class_='plots')
    )


def _for_script(run, shown, drawn, end):
    """What the page's script reads; one value of each list for each picture."""
    entries = {entry['nimg']: entry for entry in run.entries}
    kimg = [nimg / 1000 for nimg, _ in shown]
    return {
        'captions': [_caption(nimg, file, entries.get(nimg, {})) for nimg, file in shown],
        'kimg': kimg,
        'end': end,
        'left': plots.LEFT / plots.WIDTH,
        'width': (plots.WIDTH - plots.LEFT - plots.RIGHT) / plots.WIDTH,
        'curves': {
            _key(plot, curve): [curves.at(curve, place) for place in kimg] for plot in drawn for curve in plot.curves
        },
    }


def _caption(nimg, file, entry):
    alpha = reading.number(entry.get('alpha'))
    fade = f', fading in at alpha {alpha:.2f}' if alpha < 1 else ''
    return f'{nimg / 1000:g} kimg' + (f', {entry["resolution"]}{fade}' if 'resolution' in entry else '') + f' ({file})'


def _key(plot, curve):
    return f'{plot.title}/{curve.name}'


def _commands(run):
    rows = [
        joined(
            element('p', title),
            element(
                'div',
                element('pre', _in_flags('\n'.join(lines))),
                element('button', 'Copy', type='button'),
                class_='command',
            ),
        )
        for title, lines in commands(run)
    ]
    return element('section', element('h2', 'Commands'), rows)


def _in_flags(text):
    """A command line that breaks between its flags rather than in them."""
    first, *flags = text.split(' --')
    return [first, [[' ', element('span', f'--{flag}')] for flag in flags]]


def _machine(run):
    event = run.newest('machine')
    facts = [(title, event[name]) for name, title in _FACTS.items() if name in event]
    compiled = [reading.number(event.get('seconds')) for event in run.events if event.get('event') == 'compile']
    compiled = [seconds for seconds in compiled if seconds >= 0]
    if compiled:
        facts.append(('Compiling', f'{len(compiled)} programs, {duration(sum(compiled))} in all'))
    return element(
        'section',
        element('h2', 'Machine'),
        None if event else element('p', 'The run did not note where it ran.', class_='muted'),
        element('dl', [joined(element('dt', title), element('dd', value)) for title, value in facts], class_='facts'),
    )


def _events(run):
    # The machine has a section of its own.
    events = [event for event in run.events if event.get('event') != 'machine']
    left_out = len(events) - _MOST_EVENTS
    rows = [
        element(
            'tr',
            element('td', _time(event), class_='number'),
            element('td', _text(event, 'nimg', lambda nimg: f'{nimg / 1000:g} kimg') or '', class_='number'),
            element('td', event.get('event', ''), class_='warn' if event.get('event') in _WARNINGS else None),
            element('td', str(event.get('text', ''))[:_MOST_LETTERS]),
        )
        for event in events[-_MOST_EVENTS:]
    ]
    head = element('thead', element('tr', [element('th', title) for title in ('Time (UTC)', 'At', 'Kind', 'What')]))
    return element(
        'section',
        element('h2', 'Events'),
        element('p', f'The newest {_MOST_EVENTS}; {left_out} earlier ones are in events.jsonl.', class_='muted')
        if left_out > 0
        else None,
        element('div', element('table', head, element('tbody', rows), class_='events'), class_='scroll')
        if events
        else element('p', 'None.', class_='muted'),
    )


def _time(event):
    return str(event.get('time', ''))[:19].replace('T', ' ')


def _config(run):
    changes = changed_settings(run.config)
    parts = [element('h2', 'Settings')]
    if changes:
        rows = [
            element(
                'tr',
                element('td', element('code', name)),
                element('td', value_text(there)),
                element('td', value_text(here)),
            )
            for name, there, here in changes
        ]
        head = element('tr', element('th', 'Setting'), element('th', 'In the experiment'), element('th', 'In this run'))
        parts.append(element('div', element('table', element('thead', head), element('tbody', rows)), class_='scroll'))
    elif changes is not None:
        parts.append(element('p', f'All as in the experiment {run.config.name}.', class_='muted'))
    text = run.config_text
    if run.config:
        text = '\n'.join(_flat(json.loads(run.config_text)))
    return element(
        'section',
        parts,
        element('details', element('summary', 'All settings'), element('div', element('pre', text), class_='scroll')),
    )


def _flat(values, prefix=''):
    """Yields a line for each setting, as it is named on the command line."""
    for name, value in values.items():
        is_section = isinstance(value, dict) and any(not key.isdecimal() for key in value)
        if is_section and not (prefix and name == 'image'):  # the networks' copies say nothing new
            yield from _flat(value, f'{prefix}{name}.')
        elif not is_section:
            value = tuple(value) if isinstance(value, list) else value
            yield f'--config.{prefix}{name}={value_text(value)}'


def _text(entry, name, form):
    """A number of an entry as text; None where it has none."""
    value = reading.number(entry.get(name))
    return form(value) if value == value else None


def _own_file(name):
    return Markup(pathlib.Path(__file__).with_name(name).read_text())
