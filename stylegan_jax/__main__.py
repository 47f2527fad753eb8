"""List the commands, with a line about each.

python -m stylegan_jax
"""

import ast
import pathlib
import re

from stylegan_jax.cli import command

_PACKAGE = pathlib.Path(__file__).parent
_NO_COMMANDS = '__init__', '__main__', 'errors'


def commands() -> dict[str, str]:
    """Returns {name: the beginning of what it says about itself} of all commands, which are not imported for it."""
    files = [path for path in _PACKAGE.glob('*.py') if path.stem not in _NO_COMMANDS] + [
        *_PACKAGE.glob('*/__main__.py')
    ]
    names = {path.parent.name if path.stem == '__main__' else path.stem: path for path in files}
    return {
        name: re.match('[^:;.]+', ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))))[0]
        for name, path in sorted(names.items())
    }


def main(argv: list[str]) -> None:
    """Prints the commands."""
    del argv
    found = commands()
    print('Commands, each with --help:\n')
    for name, text in found.items():
        print(f'    python -m stylegan_jax.{name:<{max(map(len, found))}}  {text}')


if __name__ == '__main__':
    command.run(main)
