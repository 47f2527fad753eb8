"""The layers of the package (docs/architecture.md), what is light to import, and that all is described."""
import ast
import functools
import io
import pathlib
import re
import subprocess
import sys

import pytest
from pyflakes import api, reporter

import stylegan_jax

PACKAGE = pathlib.Path(stylegan_jax.__file__).parent
DOCUMENT = PACKAGE.parent / 'docs' / 'architecture.md'
# Each imports only from lines above it, or from its own line. The package itself offers what loading offers.
LAYERS = [
    ['errors', 'atomic', 'workdir_lock'],
    ['network_config', 'config', 'schedule'],
    ['cluster'],
    ['batch', 'network_file'],
    ['xla_options', 'platforms'],
    ['networks'],
    ['generator', 'discriminator'],
    ['sampling'],
    ['training'],
    ['official_pickle', 'official'],
    ['checkpoint'],
    ['loading', '__init__'],
    ['transfer'],
    ['data'],
    ['feature_networks'],
    ['figures'],
    ['animation'],
    ['experiment_lookup', 'config_flags', 'command'],
    ['flops', 'memory_plan', 'machine'],
    ['dry_run', 'run_log', 'samples', 'interruption', 'compilation'],
    ['network_flags'],
    ['report'],
    ['metrics'],
    ['latent_space', 'latent_file'],
    ['projection_distance', 'projection'],
    ['evaluation'],
    ['run_metrics'],
    ['recorder'],
    ['loop'],
    ['benchmarks'],
    ['main', 'generate', 'evaluate', 'prepare_data', 'benchmark'],
    ['animate', 'latents', 'project'],
]
WITHOUT_JAX = ['errors', 'atomic', 'batch', 'network_config', 'config', 'schedule', 'network_file', 'official_pickle',
               'data', 'figures.grid', 'experiment_lookup', 'config_flags', 'command', 'run_log', 'interruption',
               'workdir_lock', 'prepare_data', 'report']


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


def layer_of(name):
    if name.endswith('.__main__'):
        return len(LAYERS) - 1               # a command, like those in files of their own
    return next(number for number, modules in enumerate(LAYERS) if name.partition('.')[0] in modules)


@pytest.mark.parametrize('name', FILES)
def test_module_imports_only_from_lines_above(name):
    """Also where the import stands inside a function."""
    wrong = [other for other in own_imports_of(name, tree_of(name)) if layer_of(other) > layer_of(name)]
    assert not wrong


def test_no_module_imports_itself_in_a_circle():
    graph = {name: set(own_imports_of(name, tree_of(name))) for name in FILES}
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph


def test_every_line_of_the_table_exists():
    assert {name.partition('.')[0] for name in FILES} == {name for modules in LAYERS for name in modules}


def test_document_has_the_same_table():
    """A line of the document may hold several of the test's layers, in the same order."""
    section = DOCUMENT.read_text().partition('## Layers')[2].partition('\n## ')[0]
    rows = [re.findall(r'(\w+)(?:\.py|/)(?= |$)', line[:75]) for line in section.splitlines()
            if re.match(r'    \w', line)]
    assert rows == [
        [name for name in modules if name != '__init__'] for modules in LAYERS]


def does_without_jax(name):
    return name in WITHOUT_JAX or name.partition('.')[0] in WITHOUT_JAX


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
    assert not {'tensorflow_datasets', 'tensorflow', 'torch', 'tqdm', 'tensorboardX', 'orbax',
                'orbax.checkpoint', 'PIL', 'absl.app'} & set(loaded)


@pytest.mark.parametrize('name', FILES)
def test_everything_public_has_a_docstring(name):
    """Methods and properties that only give what their name says need none."""
    module = tree_of(name)
    public = [node for node in module.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))
              and not node.name.startswith('_')]
    assert ast.get_docstring(module)
    assert not [node.name for node in public if not ast.get_docstring(node)]


def test_every_name_is_defined_and_used():
    found = io.StringIO()
    folders = [str(PACKAGE)] + [str(PACKAGE.parent / name) for name in ('experiments', 'launch', 'tests')]
    api.checkRecursive(folders, reporter.Reporter(found, found))
    assert not found.getvalue()
