"""Finding experiments: Python files with `get_config() -> Config`, one for each setting.

The published settings ship as the package `stylegan_jax.experiments` (in a checkout: the top-level folder
`experiments`); a user's own experiments live in ./experiments or anywhere else. An experiment only builds a config.
"""

import ast
import difflib
import importlib
import importlib.util
import pathlib
import sys
import types

from stylegan_jax.config import Config
from stylegan_jax.errors import UserError

_PACKAGE = 'stylegan_jax.experiments'


def experiments_package() -> types.ModuleType:
    """Imports `stylegan_jax.experiments`, which a plain checkout keeps in its top-level folder `experiments`."""
    if _PACKAGE not in sys.modules:
        try:
            return importlib.import_module(_PACKAGE)
        except ModuleNotFoundError as error:
            folder = pathlib.Path(__file__).resolve().parents[2] / 'experiments'
            # An error from inside the package has another name, and is not hidden.
            if error.name != _PACKAGE or not (folder / '__init__.py').is_file():
                raise
            package = _import_file(_PACKAGE, folder / '__init__.py', package_folder=folder)
            sys.modules['stylegan_jax'].experiments = package
    return sys.modules[_PACKAGE]


def list_experiments() -> dict[str, str]:
    """Returns {name: first line of its docstring} of the experiments in the package and in ./experiments."""
    folders = [pathlib.Path('experiments'), *map(pathlib.Path, experiments_package().__path__)]
    files = {file.stem: file for folder in folders for file in folder.glob('*.py') if file.stem != '__init__'}
    return {name: _first_docstring_line(file) for name, file in sorted(files.items())}


def load_experiment(name_or_path: str) -> Config:
    """Executes an experiment's file and returns its Config.

    Args:
      name_or_path: a name in `stylegan_jax.experiments` or in ./experiments, or the path of a .py file.

    Raises:
      UserError: there is no such experiment, two different files have its name, or it returns no Config.
    """
    if name_or_path.endswith('.py'):
        path = pathlib.Path(name_or_path)
        if not path.is_file():
            raise _wrong(name_or_path, 'there is no such file')
    else:
        path = _find_experiment(name_or_path)
    packaged = path.parent.resolve() in [pathlib.Path(folder).resolve() for folder in experiments_package().__path__]
    try:
        if packaged:
            module = importlib.import_module(f'{_PACKAGE}.{path.stem}')
        else:
            module = _import_file(f'experiment_{path.stem}', path)
    except SyntaxError as error:
        raise _wrong(name_or_path, f'{error.filename}, line {error.lineno}: {error.msg}') from error
    if not hasattr(module, 'get_config'):
        raise _wrong(name_or_path, f'{path} has no function get_config()')
    config = module.get_config()
    if not isinstance(config, Config):
        raise _wrong(
            name_or_path,
            f'get_config() of {path} returned {type(config).__name__}',
            'it must return a stylegan_jax.config.Config',
        )
    return config


def _wrong(name, problem, remedy=None):
    """The error about an experiment."""
    return UserError(problem, field='experiment', value=name, remedy=remedy)


def _find_experiment(name):
    """Returns the path of the experiment of a name."""
    packaged = [pathlib.Path(folder) / f'{name}.py' for folder in experiments_package().__path__]
    local = pathlib.Path('experiments') / f'{name}.py'
    found = [path for path in [*packaged, local] if path.is_file() and name != '__init__']
    if not found:
        known = list_experiments()
        near = difflib.get_close_matches(name, known, n=3)
        did_you_mean = f', did you mean {" or ".join(near)}?' if near else ''
        raise _wrong(name, f'unknown experiment{did_you_mean} (--help lists all; the path of a .py file works too)')
    # Neither a user's own copy nor the shipped file may silently win over the other.
    if len({path.read_bytes() for path in found}) > 1:
        raise _wrong(name, f'{found[0]} and {found[-1]} differ', 'give the path of the one you mean')
    return found[0]


def _import_file(module_name, path, *, package_folder=None):
    locations = [str(package_folder)] if package_folder else None
    spec = importlib.util.spec_from_file_location(module_name, path, submodule_search_locations=locations)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # before it is executed: dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _first_docstring_line(path):
    """Reads the line without executing the file."""
    try:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
    except (SyntaxError, UnicodeDecodeError):
        return '(cannot be read)'
    return (docstring or '(no description)').splitlines()[0]
