"""Configs to JSON and back, and the differences between two of them."""

import dataclasses
import json
import reprlib
import types
import typing
from collections.abc import Mapping

from stylegan_jax.config.run import Config
from stylegan_jax.errors import UserError, require

ConfigClass = typing.TypeVar('ConfigClass')
# The types in which JSON may have a field's value; those of numbers are not told apart.
_PLAIN_KINDS = {float: (int, float), int: (int, float), bool: (bool, int), tuple: (tuple, list)}
_SECTIONS = tuple(field.name for field in dataclasses.fields(Config) if dataclasses.is_dataclass(field.type))


def to_dict(config: object) -> dict[str, typing.Any]:
    """Returns a config as plain dicts, ready for JSON."""
    return dataclasses.asdict(config)


def from_dict(cls: type[ConfigClass], values: Mapping[str, typing.Any], where: str = '') -> ConfigClass:
    """Builds a config from the result of `to_dict`, also after a trip through JSON.

    Args:
      cls: class of the config, a dataclass.
      values: {field: value}; sections are dicts themselves.
      where: prefix of field names in errors, such as 'data.'.

    Returns:
      An object of `cls`.

    Raises:
      UserError: a field is unknown or its value is not valid; the message names it.
    """
    require(isinstance(values, Mapping), where.rstrip('.') or cls.__name__, values, 'give a table of fields')
    hints = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}
    for name in values:
        if name not in known:
            shown = reprlib.repr(values[name])  # not all of whatever is there
            raise UserError(f'unknown field of {cls.__name__}', field=f'{where}{name[:80]}', value=shown)
    return cls(**{name: _from_plain(hints[name], value, f'{where}{name}') for name, value in values.items()})


def _from_plain(hint, value, where):
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, f'{where}.')
    kinds = [typing.get_origin(each) or each for each in _alternatives(hint)]
    accepted = {kind for each in kinds for kind in _PLAIN_KINDS.get(each, (each,))}
    require(isinstance(value, tuple(accepted)), where, value, 'give ' + ' or '.join(kind.__name__ for kind in kinds))
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):  # tables by resolution, whose keys JSON turned into strings
        return {int(key): item for key, item in value.items()}
    return value


def _alternatives(hint):
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def differences(before: Config, now: Config) -> list[tuple[str, typing.Any, typing.Any]]:
    """Returns the fields in which two configs differ, as (dotted name, value before, value now).

    The networks' copies of the image are left out: they always equal `Config.image`.
    """

    def flat(values, prefix=''):
        fields = {}
        for name, value in values.items():
            fields |= flat(value, f'{prefix}{name}.') if name in _SECTIONS else {prefix + name: value}
        return fields

    before, now = flat(to_dict(before)), flat(to_dict(now))
    return [(name, before[name], now[name]) for name in now if before[name] != now[name] and '.image.' not in name]


def to_json(config: object) -> str:
    """Returns a config as indented JSON text."""
    return json.dumps(to_dict(config), indent=2) + '\n'


def from_json(cls: type[ConfigClass], text: str) -> ConfigClass:
    """Builds a config of class `cls` from the result of `to_json`; see `from_dict`."""
    return from_dict(cls, json.loads(text))
