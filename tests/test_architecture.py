"""The floors of the house (docs/architecture.md), what is light to import, and that all is described."""

import ast
import functools
import pathlib
import re
import statistics
import subprocess
import sys

import pytest
from ruff import find_ruff_bin

import stylegan_jax

PACKAGE = pathlib.Path(stylegan_jax.__file__).parent
DOCUMENT = PACKAGE.parent / 'docs' / 'architecture.md'
WITHOUT_JAX = [
    'errors',
    'config',
    'cli.command',
    'cli.config_flags',
    'cli.experiments',
    'cli.flag_errors',
    'cli.parsing',
    'data',
    'editing.recipe',
    'metrics.ways',
    'networks.file',
    'prepare_data',
    'report',
    'run.live_line',
    'run.log',
    'run.speeds',
    'run.time_left',
    'runtime.atomic',
    'runtime.cache_folder',
    'runtime.bounded_pickle',
    'runtime.folder_lock',
    'runtime.interruption',
    'runtime.memory',
    'runtime.npz_file',
    'runtime.progress',
    'runtime.stand_ins',
    'runtime.slurm',
    'runtime.threads',
    'runtime.torch_archive',
    'runtime.torch_pickle',
    'sampling.grid',
    'storage.official_pickle',
    'storage.port_arrays',
    'storage.rosinality_names',
]
LEAST_ANNOTATED = 0.99  # share of public arguments


def module_name(path):
    """'data.labels' for stylegan_jax/data/labels.py; a package is called by its folder."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' and len(parts) > 1 else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob('*.py'))}


@functools.cache
def tree_of(name):
    return ast.parse(FILES[name].read_text())


def imports_of(node):
    """Full names of the modules, or of what is inside them, that the code below a node imports."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            yield from (alias.name for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            assert not inner.level, 'imports are written in full'
            yield from (f'{inner.module}.{alias.name}' for alias in inner.names)


def own_imports_of(name, node):
    """Modules of the package that a module imports."""
    for full in imports_of(node):
        package, _, rest = full.partition('.')
        if package == 'stylegan_jax':
            yield rest if rest in FILES else rest.rpartition('.')[0] or '__init__'


def floors():
    """The rows of the picture in the document, each a list of folders."""
    section = DOCUMENT.read_text().partition('## The house')[2].partition('\n## ')[0]
    picture = re.search(r'\n\n((?:    \w+(?: {2,}\w+)*\n)+)\n', section)[1]
    return [line.split() for line in picture.splitlines()]


FLOORS = floors()


def floor_of(name):
    """The number of a module's floor: -1 for the error at the top, the last for commands and for the package's face."""
    part, _, rest = name.partition('.')
    if name == 'errors':
        return -1
    if (not rest and part in COMMANDS) or rest == '__main__':
        return len(FLOORS)
    return next(number for number, parts in enumerate(FLOORS) if part in parts)


COMMANDS = [name for name in FILES if '.' not in name and FILES[name].name != '__init__.py' and name != 'errors']


@pytest.mark.parametrize('name', FILES)
def test_module_imports_only_from_floors_above(name):
    """Also where the import stands inside a function. The package itself only names what others hold."""
    others = {
        other for other in own_imports_of(name, tree_of(name)) if other.partition('.')[0] != name.partition('.')[0]
    }
    assert name == '__init__' or not [other for other in others if floor_of(other) >= floor_of(name)]


def test_no_module_imports_itself_in_a_circle():
    graph = {name: set(own_imports_of(name, tree_of(name))) - {name} for name in FILES}
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph


def test_every_folder_is_in_the_picture_once_and_every_file_at_the_top_is_a_command():
    folders = {name.partition('.')[0] for name in FILES if '.' in name}
    assert sorted(sum(FLOORS, [])) == sorted(folders)
    for name in COMMANDS:
        assert 'command.run(' in FILES[name].read_text(), f'{name}.py at the top is no command'


def does_without_jax(name):
    """Whether it is to; the `__init__.py` of a folder that is a docstring alone does in any case."""
    return name in WITHOUT_JAX or name.partition('.')[0] in WITHOUT_JAX or len(tree_of(name).body) == 1


@pytest.mark.parametrize('name', [name for name in FILES if does_without_jax(name)])
def test_module_does_without_jax(name):
    def heavy(name):
        return re.match(r'(jax|flax|optax|orbax)\b', name)

    assert not [full for full in imports_of(tree_of(name)) if heavy(full)]
    others = set(own_imports_of(name, tree_of(name)))
    assert all(map(does_without_jax, others)), 'it imports JAX by way of another module'


def test_library_does_without_what_only_commands_need():
    code = 'import sys, stylegan_jax, stylegan_jax.training; print(*sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], text=True, capture_output=True, check=True)
    loaded = done.stdout.split()
    assert 'stylegan_jax.training.steps' in loaded
    assert not {
        'tensorflow_datasets',
        'tensorflow',
        'torch',
        'tqdm',
        'tensorboardX',
        'orbax',
        'orbax.checkpoint',
        'PIL',
        'absl.app',
    } & set(loaded)


@pytest.mark.parametrize('name', FILES)
def test_everything_public_has_a_docstring(name):
    """Methods and properties that only give what their name says need none."""
    module = tree_of(name)
    public = [
        node
        for node in module.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith('_')
    ]
    assert ast.get_docstring(module)
    assert not [node.name for node in public if not ast.get_docstring(node)]


def public_functions(body):
    """The public functions below a body, and the methods of its public classes, `__init__` and `__call__` included."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef) and (node.name in ('__init__', '__call__') or node.name[0] != '_'):
            yield node


def test_public_arguments_are_annotated():
    arguments = [
        argument
        for name in FILES
        for function in public_functions(tree_of(name).body)
        for argument in ast.iter_child_nodes(function.args)
        if isinstance(argument, ast.arg) and argument.arg not in ('self', 'cls')
    ]
    assert sum(argument.annotation is not None for argument in arguments) >= LEAST_ANNOTATED * len(arguments)


def test_lint_and_format():
    """By ruff, as pyproject.toml says."""
    for arguments in (['check'], ['format', '--check']):
        done = subprocess.run([find_ruff_bin(), *arguments, PACKAGE.parent], text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_modules_and_functions_are_short():
    lengths = [len(path.read_text().splitlines()) for path in FILES.values()]
    assert statistics.median(lengths) < 150 and max(lengths) < 400
    functions = [node for name in FILES for node in ast.walk(tree_of(name)) if isinstance(node, ast.FunctionDef)]
    assert not [node.name for node in functions if node.end_lineno - node.lineno + 1 >= 60]


def test_the_package_shows_its_public_names_alone():
    assert [name for name in dir(stylegan_jax) if not name.startswith('__')] == sorted(stylegan_jax.__all__)
