"""One line for each mistake in flags that absl finds, in the same words for all commands."""

import difflib
import re

from absl import flags

_NO_NUMBER = 'invalid literal for', 'could not convert'  # the beginnings of Python's own messages


def text_of(error: Exception, flag_values: flags.FlagValues) -> str:
    """Returns what is wrong with a command line, with the flags that may be meant or the values that there are.

    Args:
      error: what absl raised.
      flag_values: the FlagValues that could not parse the command line.
    """
    text = str(error)
    if isinstance(error, flags.UnrecognizedFlagError):
        return _unknown(error.flagname, flag_values)
    if missing := re.fullmatch(r'Missing value for flag --?(.+)', text):
        return f'missing value for flag --{missing[1]}{_values_of(missing[1], flag_values)}'
    wrong = re.match(r'flag --([^=]+)=', text)
    if wrong and wrong[1] in flag_values and error.__context__:
        parser, reason = flag_values[wrong[1]].parser, error.__context__.args
        if flag_values[wrong[1]].boolean:
            # The reason has two arguments, which Python shows as a tuple; the second is the value.
            return f'--{wrong[1]}={reason[-1]}: give true or false'
        if reason and str(reason[0]).startswith(_NO_NUMBER):
            return text.removeprefix('flag ').removesuffix(str(reason[0])) + f'give {parser.syntactic_help}'
    return text.removeprefix('flag ')  # as errors about other settings are


def _values_of(name, flag_values):
    """Returns words on the values that a flag takes, to be added to a message."""
    parser = flag_values[name].parser
    if values := getattr(parser, 'enum_values', None):
        return '; choose one of ' + ', '.join(map(repr, values))
    if hasattr(parser, 'choices') and (choices := parser.choices()):  # a field of the config
        return f'; {choices}'
    return f' ({parser.syntactic_help})' if parser.syntactic_help else '; see --help'


def _unknown(name, flag_values):
    """Names the flags that are nearest to an unknown one. absl's own search misses a flag of another section."""
    message, known = f'unknown flag --{name}', list(flag_values)
    if name.startswith('config.') and 'experiment' in known and not any(one.startswith('config.') for one in known):
        return message + '; flags of the config need --experiment=NAME'
    leaf = name.rpartition('.')[2]
    leaves = {one.rpartition('.')[2]: one for one in known}
    # The last part counts most: --config.schedule.total_kimg stands for --config.train.total_kimg.
    near = [one for one in known if '.' in one and one.endswith('.' + leaf)]
    near = near or difflib.get_close_matches(name, known, n=2, cutoff=0.85)
    near = near or [leaves[one] for one in difflib.get_close_matches(leaf, leaves, n=2)]
    return message + (f'; did you mean {" or ".join("--" + one for one in near)}?' if near else '; see --help')
