"""The parts of the page that show what was written down: commands, machine, events, settings."""

import json

from stylegan_jax.cli.config_flags import value_text
from stylegan_jax.report import reading
from stylegan_jax.report.commands import changed_settings, commands
from stylegan_jax.report.markup import Markup, element, joined
from stylegan_jax.runtime.progress import duration

_WARNINGS = 'skipped', 'damaged', 'broken', 'disk', 'lock', 'report', 'metrics', 'memorising', 'augment'  # highlighted
_MOST_EVENTS = 400
_MOST_LETTERS = 2000  # of an event
_FACTS = {
    'images': 'Training images',
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


def command_lines(run: reading.Run) -> Markup:
    """Builds the section of the command lines to continue from here."""
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
    """Markup of command lines that wraps between flags and not within them."""
    first, *flags = text.split(' --')
    return [first, [[' ', element('span', f'--{flag}')] for flag in flags]]


def machine(run: reading.Run) -> Markup:
    """Builds the section of the machine that the run was last started on."""
    event = run.newest('machine')
    facts = [(title, event[name]) for name, title in _FACTS.items() if name in event]
    compiled = [reading.number(event.get('seconds')) for event in run.events if event.get('event') == 'compile']
    compiled = [seconds for seconds in compiled if seconds >= 0]  # NaN, of an event without a number, fails this
    if compiled:
        facts.append(('Compiling', f'{len(compiled)} programs, {duration(sum(compiled))} in all'))
    return element(
        'section',
        element('h2', 'Machine'),
        None if event else element('p', 'The run did not note where it ran.', class_='muted'),
        element('dl', [joined(element('dt', title), element('dd', value)) for title, value in facts], class_='facts'),
    )


def events(run: reading.Run) -> Markup:
    """Builds the section of the events, the newest ones if there are many."""
    # The machine has a section of its own.
    found = [event for event in run.events if event.get('event') != 'machine']
    left_out = len(found) - _MOST_EVENTS
    rows = [
        element(
            'tr',
            element('td', _time(event), class_='number'),
            element(
                'td', reading.number_text(event, 'nimg', lambda nimg: f'{nimg / 1000:g} kimg') or '', class_='number'
            ),
            element('td', event.get('event', ''), class_='warn' if event.get('event') in _WARNINGS else None),
            element('td', str(event.get('text', ''))[:_MOST_LETTERS]),
        )
        for event in found[-_MOST_EVENTS:]
    ]
    head = element('thead', element('tr', [element('th', title) for title in ('Time (UTC)', 'At', 'Kind', 'What')]))
    return element(
        'section',
        element('h2', 'Events'),
        element('p', f'The newest {_MOST_EVENTS}; {left_out} earlier ones are in events.jsonl.', class_='muted')
        if left_out > 0
        else None,
        element('div', element('table', head, element('tbody', rows), class_='events'), class_='scroll')
        if found
        else element('p', 'None.', class_='muted'),
    )


def _time(event):
    return str(event.get('time', ''))[:19].replace('T', ' ')


def settings(run: reading.Run) -> Markup:
    """Builds the section of the settings: those that differ from the experiment, and all of them."""
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
    """Yields a line for each setting, with its flag on the command line."""
    for name, value in values.items():
        is_section = isinstance(value, dict) and any(not key.isdecimal() for key in value)
        if is_section and not (prefix and name == 'image'):  # the copies of the image's settings in the networks
            yield from _flat(value, f'{prefix}{name}.')
        elif not is_section:
            value = tuple(value) if isinstance(value, list) else value
            yield f'--config.{prefix}{name}={value_text(value)}'
