"""The config on the command line: `--experiment=NAME --config.train.total_kimg=100`.

An experiment is a Python file with `get_config() -> Config`. `parse` reads a command line twice: the first time only
for --experiment. Then every field of the experiment's config becomes a flag, with the experiment's value as its default
and the comment beside the field as its help text. The second time reads the flags, and applies them with
`dataclasses.replace`, so that the config's own checks see them. A command uses it so:

    command.run(main, flags_parser=config_flags.parse)      # and in main: config = config_flags.chosen_config()
"""

import dataclasses
import functools
import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Sequence

from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.experiments import list_experiments, load_experiment
from stylegan_jax.config import Config
from stylegan_jax.errors import UserError

_PREFIX = 'config.'
_HELP_FLAGS = ('help', 'helpshort', 'helpfull', '?')
# The networks' copies of the image: inside a Config they always equal `Config.image`, whose fields are flags.
_NOT_FLAGS = ('generator.image', 'discriminator.image')


# One flag per field.


class _FieldParser(flags.ArgumentParser):
    """Text -> value of a field's type. Values of the right type pass unchanged, because absl also parses defaults."""

    def __init__(self, hint, section, leaf):
        self.hint, self._section, self._leaf = hint, section, leaf
        self.syntactic_help = _type_text(hint)

    def parse(self, argument):
        return _parse_text(argument, self.hint) if isinstance(argument, str) else argument

    def flag_type(self):
        return _type_text(self.hint)

    def choices(self):
        """Returns the words of the config's own check on the values of a text, such as loss.name; None for others."""
        if self.hint is str:
            try:
                dataclasses.replace(self._section, **{self._leaf: ''})
            except UserError as error:
                return error.problem
        return None


class _FieldSerializer(flags.ArgumentSerializer):
    """Value -> the text that gives it on the command line."""

    def serialize(self, value):
        return value_text(value)


def value_text(value: object) -> str:
    """Returns a field's value as it is written in a flag: 3,4 for a tuple, 8:256,16:128 for a table."""
    if value is None:
        return 'none'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ','.join(f'{key}:{item}' for key, item in value.items())
    if isinstance(value, tuple):
        return ','.join(map(str, value))
    return str(value)


def define_config_flags(config: Config, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one flag for every field of a config, such as --config.train.total_kimg.

    Args:
      config: the Config whose values are the defaults.
      flag_values: the FlagValues that the flags are added to; absl's global ones by default.
    """
    for name, hint, default, comment in _fields(config):
        help_text = comment or '(described in stylegan_jax/config)'
        if default is None:
            help_text += ' (default: none)'  # absl shows no default of None
        if hint is bool:
            flag = flags.BooleanFlag(_PREFIX + name, default, help_text)
        else:
            flag = flags.Flag(
                _FieldParser(hint, *_owner(config, name)), _FieldSerializer(), _PREFIX + name, default, help_text
            )
        flags.DEFINE_flag(flag, flag_values, module_name='stylegan_jax.config')
        # --help shows only the flags that are key to the module that runs.
        flag_values.register_key_flag_for_module(sys.argv[0], flag)


def config_from_flags(config: Config, flag_values: flags.FlagValues = flags.FLAGS) -> Config:
    """Applies the flags of the command line to a config, all at once: one alone may be wrong without the others.

    Args:
      config: the Config that the flags were defined from.
      flag_values: the FlagValues that they were defined in; must be parsed.

    Returns:
      The new Config; values of flags that are not on the command line are those of `config`.

    Raises:
      UserError: a value is not valid; the message names the field.
    """
    given = {}
    for name, *_ in _fields(config):
        flag = flag_values[_PREFIX + name]
        if flag.present:
            *sections, leaf = name.split('.')
            given.setdefault(sections[0] if sections else '', {})[leaf] = flag.value
    top = given.pop('', {})
    image = dataclasses.replace(config.image, **given.pop('image', {}))
    sections = {'image': image}
    for section in ('generator', 'discriminator'):
        # The new image is set together with the other values: they may be wrong for the old one.
        sections[section] = dataclasses.replace(getattr(config, section), image=image, **given.pop(section, {}))
    for section, values in given.items():
        sections[section] = dataclasses.replace(getattr(config, section), **values)
    return dataclasses.replace(config, **top, **sections)


def _owner(config, name):
    """Returns the section of a config that a dotted name is in, and the last part of the name."""
    *sections, leaf = name.split('.')
    return functools.reduce(getattr, sections, config), leaf


def _fields(config, prefix=''):
    """Yields (dotted name, type, value, comment) of every leaf field that is a flag."""
    hints = typing.get_type_hints(type(config))
    comments = _comments(type(config))
    for field in dataclasses.fields(config):
        name, value = prefix + field.name, getattr(config, field.name)
        if name in _NOT_FLAGS:
            continue
        if dataclasses.is_dataclass(value):
            yield from _fields(value, f'{name}.')
        else:
            yield name, hints[field.name], value, comments.get(field.name, '')


def _comments(cls):
    """Returns {field: the comment beside it in the source}, with the comment lines that continue it.

    The comments are the help texts of the flags, so that a field is described in one place.
    """
    try:
        source = inspect.getsource(cls)
    except OSError:
        return {}  # a zipped or compiled package has no source to read
    comments, last = {}, None
    for line in source.splitlines():
        field = re.match(r'    (\w+): [^#]*(?:#\s*(.*))?$', line)
        continuation = re.match(r'\s{5,}#\s*(.*)$', line)
        if field:
            last = field[1]
            comments[last] = field[2] or ''
        elif continuation and last:
            comments[last] += ' ' + continuation[1]
        else:
            last = None
    return comments


# Types.


def _type_text(hint):
    """Describes how values of a type are written on the command line."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return ' or '.join('none' if arg is type(None) else _type_text(arg) for arg in args)
    if origin is dict:
        return f'table, RESOLUTION:{_type_text(args[1]).upper()},...'
    if origin is tuple:
        one = _type_text(args[0])
        return f'{one},...' if args[-1] is Ellipsis else ','.join(map(_type_text, args))
    return {int: 'integer', float: 'number', str: 'text', bool: 'true or false'}[hint]


def _parse_text(text, hint):
    """Parses the value of a field of type `hint` from its text; raises ValueError for a text of another form."""
    if hint is str:
        return text
    text, origin, args = text.strip(), typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        if text.lower() == 'none':  # the only unions in the configs are those of a type and None
            return None
        return _parse_text(text, next(arg for arg in args if arg is not type(None)))
    if origin is tuple:
        parts = _split(text, '()')
        kinds = [args[0]] * len(parts) if args[-1] is Ellipsis else args
        if len(parts) != len(kinds):
            raise ValueError(f'give {len(kinds)} values with commas between them ({_type_text(hint)})')
        return tuple(_parse_text(part, kind) for part, kind in zip(parts, kinds))
    if origin is dict:
        return _parse_table(text, *args)
    try:
        value = hint(text)
    except ValueError:
        value = math.nan  # is refused below, as the text 'nan' is
    if not math.isfinite(value):
        raise ValueError({int: 'give an integer, such as 8', float: 'give a number, such as 0.5'}[hint])
    return value


def _parse_table(text, key_type, value_type):
    table = {}
    for part in _split(text, '{}'):
        key, colon, value = part.partition(':')
        if not colon:
            raise ValueError('give RESOLUTION:VALUE with commas between them, such as 8:256,16:128')
        key = _parse_text(key.strip(), key_type)
        if key in table:
            raise ValueError(f'{key} is given twice')
        table[key] = _parse_text(value.strip(), value_type)
    return table


def _split(text, brackets):
    """Splits a text at its commas; the brackets that Python would print around the values are allowed."""
    if text.startswith(brackets[0]) and text.endswith(brackets[1]):
        text = text[1:-1]
    return [part.strip() for part in text.split(',') if part.strip()]


# The command line.


class _ExperimentFlag(flags.Flag):
    """The flag --experiment; it keeps the config that its file and the other flags make.

    Attributes:
      config: the Config, once `parse` has read a command line with --experiment; else None.
    """

    config: Config | None = None


def parse(argv: Sequence[str], flag_values: flags.FlagValues = flags.FLAGS) -> list[str]:
    """Parses a command line with an experiment; for `command.run(main, flags_parser=parse)`.

    Every mistake of the user ends the program with one line on stderr and exit code 2. The experiment's file is
    executed once.

    Args:
      argv: the program's name and its arguments.
      flag_values: the FlagValues that the flags are added to; absl's global ones by default.

    Returns:
      A list with the program's name: no command of this project takes positional arguments.
    """
    try:
        flag = _experiment_flag(flag_values)
        name, flag.config = _experiment_in(argv), None
        if name is not None:
            experiment = load_experiment(name)
            define_config_flags(experiment, flag_values)
        elif _asks_for_help(argv):
            _print_experiments()
        rest = command.parse_flags(argv, flag_values)
        command.refuse_arguments(rest)
        if name is not None:
            flag.config = config_from_flags(experiment, flag_values)  # its errors are reported before anything starts
        return rest
    except UserError as error:
        command.fail(error, flag_values)


def chosen_config(flag_values: flags.FlagValues = flags.FLAGS) -> Config:
    """Returns the Config that `parse` found on the command line: an experiment's with the flags applied.

    Raises:
      UserError: --experiment is missing.
    """
    config = flag_values['experiment'].config
    if config is None:
        raise UserError(
            '--experiment is missing: give --experiment=NAME, or the path of a .py file; --help lists the names'
        )
    return config


def _experiment_flag(flag_values):
    """Returns the flag --experiment, which is defined if it is not there yet."""
    if 'experiment' not in flag_values:
        flag = _ExperimentFlag(
            flags.ArgumentParser(),
            flags.ArgumentSerializer(),
            'experiment',
            None,
            'NAME of an experiment, or the path of a .py file with get_config(). '
            'With it, --help shows every field of its config.',
        )
        flags.DEFINE_flag(flag, flag_values, module_name='stylegan_jax.cli.config_flags')
        flag_values.register_key_flag_for_module(sys.argv[0], flag)
    return flag_values['experiment']


def _experiment_in(argv):
    """Returns the value of --experiment, which is read before the flags of its config are known; None if absent."""
    first_look = flags.FlagValues()
    _experiment_flag(first_look)
    command.parse_flags(argv, first_look, known_only=True)
    return first_look['experiment'].value


def _asks_for_help(argv):
    return any(arg.startswith('-') and arg.lstrip('-') in _HELP_FLAGS for arg in argv[1:])


def _print_experiments():
    print('Experiments (--experiment=NAME; --help together with it shows the flags of its config):\n')
    experiments = list_experiments()
    width = max(map(len, experiments), default=0)
    for name, line in experiments.items():
        print(f'  {name:{width}}  {line}')
    print()
