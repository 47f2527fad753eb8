"""HTML from nested calls. Text is escaped unless it is `Markup`: nothing from a log becomes a part of the page."""

import html
import json

_VOID = 'img', 'input', 'meta'


class Markup(str):
    """Text that is HTML already."""


def element(tag, *children, **attributes):
    """Builds an element.

    Args:
      tag: its name.
      children: Markup, or anything else as text; lists of these; None is left out.
      attributes: `class_` stands for class, `data_x` for data-x; True is an attribute without a value, None and False
        leave it out.

    Returns:
      Markup.
    """
    words = ''.join(_attribute(name.rstrip('_').replace('_', '-'), value) for name, value in attributes.items())
    end = '' if tag in _VOID else f'{joined(*children)}</{tag}>'
    return Markup(f'<{tag}{words}>{end}')


def joined(*children):
    """Puts children one after another; see `element`."""
    parts = []
    for child in children:
        if isinstance(child, (list, tuple)):
            parts.append(joined(*child))
        elif child is not None:
            parts.append(child if isinstance(child, Markup) else html.escape(str(child)))
    return Markup(''.join(parts))


def data(identity, values):
    """Builds an element with data for the page's script; nothing in them can end it."""
    text = json.dumps(values, allow_nan=False).replace('<', '\\u003c')
    return Markup(f'<script type="application/json" id="{identity}">{text}</script>')


def _attribute(name, value):
    if value is None or value is False:
        return ''
    return f' {name}' if value is True else f' {name}="{html.escape(str(value))}"'
