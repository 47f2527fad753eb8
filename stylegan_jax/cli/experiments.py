"""Finding experiments: Python files with `get_config() -> Config`, one for each setting.

They ship as the package `stylegan_jax.experiments` (in a checkout: the top-level folder `experiments`);
one's own live in ./experiments or anywhere else. Building a config is all that they do.
"""

import ast
import difflib
import importlib
import importlib.util
import pathlib
import sys

from stylegan_jax.config import Config
from stylegan_jax.errors import UserError

_PACKAGE = 'stylegan_jax.experiments'


def experiments_package():
    """Imports `stylegan_jax.experiments`, which a plain checkout keeps in its top-level folder `experiments`."""
    if _PACKAGE not in sys.modules:
        try:
            return importlib.import_module(_PACKAGE)
        except ModuleNotFoundError as error:
            folder = pathlib.Path(__file__).resolve().parents[2] / 'experiments'
            if error.name != _PACKAGE or not (folder / '__init__.py').is_file():
                raise
            package = _import_file(_PACKAGE, folder / '__init__.py', package_folder=folder)
            sys.modules['stylegan_jax'].experiments = package
    return sys.modules[_PACKAGE]


def list_experiments():
    """Returns {name: first line of its docstring} of the experiments in the package and in ./experiments."""
    folders = [pathlib.Path('experiments'), *map(pathlib.Path, experiments_package().__path__)]
    files = {file.stem: file for folder in folders for file in folder.glob('*.py') if file.stem != '__init__'}
    return {name: _first_docstring_line(file) for name, file in sorted(files.items())}


def load_experiment(name_or_path):
    """Returns the Config of an experiment.

    Args:
      name_or_path: a name in `stylegan_jax.experiments` or in ./experiments, or the path of a .py file.

    Raises:
      UserError: there is no such experiment, two different files have its name, or it gives no Config.
    """
    if name_or_path.endswith('.py'):
        path = pathlib.Path(name_or_path)
        if not path.is_file():
            raise UserError(f'--experiment={name_or_path}: there is no such file')
    else:
        path = _find_experiment(name_or_path)
    packaged = path.parent.resolve() in [pathlib.Path(folder).resolve() for folder in experiments_package().__path__]
    try:
        if packaged:
            module = importlib.import_module(f'{_PACKAGE}.{path.stem}')
        else:
            module = _import_file(f'experiment_{path.stem}', path)
    except SyntaxError as error:
        raise UserError(f'--experiment={name_or_path}: {error.filename}, line {error.lineno}: {error.msg}') from error
    if not hasattr(module, 'get_config'):
        raise UserError(f'--experiment={name_or_path}: {path} has no function get_config()')
    config = module.get_config()
    if not isinstance(config, Config):
        raise UserError(
            f'--experiment={name_or_path}: get_config() of {path} returned '
            f'{type(config).__name__}; it must return a stylegan_jax.config.Config'
        )
    return config


def _find_experiment(name):
    """Path of the experiment that a name stands for."""
    packaged = [pathlib.Path(folder) / f'{name}.py' for folder in experiments_package().__path__]
    local = pathlib.Path('experiments') / f'{name}.py'
    found = [path for path in [*packaged, local] if path.is_file() and name != '__init__']
    if not found:
        known = list_experiments()
        near = difflib.get_close_matches(name, known, n=3)
        raise UserError(
            f'--experiment={name}: unknown experiment'
            + (f', did you mean {" or ".join(near)}?' if near else '')
            + ' (--help lists all; the path of a .py file works too)'
        )
    # A copy of one's own must not lose to the shipped file in silence, nor the other way round.
    if len({path.read_bytes() for path in found}) > 1:
        raise UserError(f'--experiment={name}: {found[0]} and {found[-1]} differ; give the path of the one you mean')
    return found[0]


def _import_file(module_name, path, *, package_folder=None):
    locations = [str(package_folder)] if package_folder else None
    spec = importlib.util.spec_from_file_location(module_name, path, submodule_search_locations=locations)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _first_docstring_line(path):
    """Reads it without running the file."""
    try:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
    except (SyntaxError, UnicodeDecodeError):
        return '(cannot be read)'
    return (docstring or '(no description)').splitlines()[0]
