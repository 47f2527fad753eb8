"""What the README shows can be run: its Python blocks as they are, and its command lines by their flags."""

import importlib
import importlib.util
import pathlib
import re

import pytest
from absl import flags

from stylegan_jax.cli import config_flags
from stylegan_jax.config import Config

TEXT = (pathlib.Path(__file__).parents[1] / 'README.md').read_text()
BLOCKS = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)
COMMAND = re.compile(r'python -m stylegan_jax\.(\w+)((?:\s+--[^\s`]+)*)')
COMMANDS = COMMAND.findall(TEXT.replace('\\\n', ' '))


def flags_of(command):
    """{name: absl flag, or None} of a command; for the training also one for every field of a config."""
    is_folder = importlib.util.find_spec(f'stylegan_jax.{command}').submodule_search_locations is not None
    module = importlib.import_module(f'stylegan_jax.{command}' + ('.__main__' if is_folder else ''))
    own = getattr(module, 'FLAGS', None) or flags.FlagValues()
    known = {'help': None} | {name: values[name] for values in (flags.FLAGS, own) for name in values}
    if command == 'main':
        settings = flags.FlagValues()
        config_flags.define_config_flags(Config(), settings)
        known |= {name: settings[name] for name in settings} | {'experiment': None}
    return known


@pytest.mark.parametrize('block', BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(block, tmp_path, monkeypatch):
    """The network that comes with the package stands in for the official file, which is not here."""
    monkeypatch.chdir(tmp_path)
    exec(compile(block.replace('stylegan-ffhq-1024x1024.pkl', 'toyfaces'), 'README.md', 'exec'), {})


@pytest.mark.parametrize(
    ('command', 'arguments'), COMMANDS, ids=[' '.join(' '.join(line).split()) for line in COMMANDS]
)
def test_commands_and_their_flags_exist(command, arguments):
    known = flags_of(command)
    for argument in arguments.split():
        name, _, value = argument.removeprefix('--').partition('=')
        if name not in known:
            assert name.startswith('no') and known[name.removeprefix('no')].boolean, argument
        elif value and known[name] is not None:
            known[name].parser.parse(value)  # raises a ValueError at a choice that does not exist


def test_flags_that_the_text_mentions_exist():
    known = set().union(*map(flags_of, dict(COMMANDS)))
    mentioned = set(re.findall(r'`--([\w.]+)', TEXT))
    assert mentioned and not {name for name in mentioned - known if name.removeprefix('no') not in known}
