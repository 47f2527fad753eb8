"""HTML from nested calls. All text that is not `Markup` is escaped, so that no text of a log can act as HTML."""

import html
import json
from typing import Any

_VOID = 'img', 'input', 'meta'


class Markup(str):
    """Text that is HTML already, and is not escaped again."""


def element(tag: str, *children: Any, **attributes: Any) -> Markup:
    """Builds an HTML element.

    Args:
      tag: the name of the element.
      children: Markup, or other values, which become escaped text; lists of these; None is left out.
      attributes: `class_` means class, and `data_x` means data-x. True makes an attribute without a value; None and
        False leave it out.

    Returns:
      The element.
    """
    words = ''.join(_attribute(name.rstrip('_').replace('_', '-'), value) for name, value in attributes.items())
    end = '' if tag in _VOID else f'{joined(*children)}</{tag}>'
    return Markup(f'<{tag}{words}>{end}')


def joined(*children: Any) -> Markup:
    """Concatenates children; see `element`."""
    parts = []
    for child in children:
        if isinstance(child, (list, tuple)):
            parts.append(joined(*child))
        elif child is not None:
            parts.append(child if isinstance(child, Markup) else html.escape(str(child)))
    return Markup(''.join(parts))


def data(identity: str, values: Any) -> Markup:
    """Builds an element with JSON data for the page's script; '<' is escaped, so that no text ends the element."""
    text = json.dumps(values, allow_nan=False).replace('<', '\\u003c')
    return Markup(f'<script type="application/json" id="{identity}">{text}</script>')


def _attribute(name, value):
    if value is None or value is False:
        return ''
    return f' {name}' if value is True else f' {name}="{html.escape(str(value))}"'
