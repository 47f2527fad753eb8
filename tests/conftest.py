"""Settings and fixtures for all tests."""

import contextlib
import ctypes
import gc
import os
import pathlib
import signal
import sys

import jaxtyping
import pytest

from stylegan_jax.runtime.xla_options import known_flags

# Compiling is most of what these tests do; the results are the same to rounding. Runs use one of the eight devices
# where they do not say otherwise. Processes that this one starts, as pytest-xdist does, find the answer here.
_FLAGS = (
    '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false'
)
if 'STYLEGAN_JAX_TEST_FLAGS' not in os.environ:
    os.environ['STYLEGAN_JAX_TEST_FLAGS'] = ' '.join(known_flags(_FLAGS.split()))
    os.environ['XLA_FLAGS'] = ' '.join([
        os.environ.get('XLA_FLAGS', ''), os.environ['STYLEGAN_JAX_TEST_FLAGS'],
        '--xla_force_host_platform_device_count=8'])  # fmt: skip
# Compiled programs of all test processes, and what commands keep beside them, kept from run to run;
# `pytest --cache-clear` empties it. Never the user's.
_ROOT = pathlib.Path(__file__).parents[1]
_CACHE = os.environ.get('STYLEGAN_JAX_TEST_CACHE') or _ROOT / '.pytest_cache' / 'd' / 'compiled'
os.makedirs(_CACHE, exist_ok=True)
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(_CACHE)
os.environ['STYLEGAN_JAX_CACHE'] = str(pathlib.Path(_CACHE) / 'kept')
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
_MOST_MAPS = 20_000
# The files that take longest, in the order in which processes take them: one that begins last keeps the others waiting.
_LONGEST = (
    'run/test_loop.py',
    'training/test_parallel.py',
    'figures/test_figures.py',
    'networks/kernels/test_convolution.py',
    'networks/kernels/test_epilogue.py',
    'editing/test_projection.py',
    'test_reference_networks.py',
    'run/test_killed.py',
    'run/test_metrics.py',
    'sampling/test_sampler.py',
    'test_evaluate.py',
    'conversion/test_converting.py',
    'data/test_pipeline.py',
    'test_reference_trajectory.py',
)
_LONGEST_FULL = 600  # seconds that a test outside of the default suite may take
_KILL_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


def pytest_configure(config):
    """Ends a process of pytest-xdist with the one that started it.

    Runs under test handle SIGTERM themselves, so that a test process might outlive the signal that ended pytest.
    """
    if hasattr(config, 'workerinput') and sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_KILL_WITH_PARENT, signal.SIGKILL)


def pytest_collection_modifyitems(items):
    """Brings the tests of long files to the front, and gives tests outside of the default suite more time."""
    for item in items:
        if item.get_closest_marker('full') and not item.get_closest_marker('timeout'):
            item.add_marker(pytest.mark.timeout(_LONGEST_FULL))
    place = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(os.path.relpath(item.path, _ROOT / 'tests'), len(place)))


# The networks' public face is held to its annotations, shapes included, wherever a test calls it. That takes about a
# tenth of the time to trace the networks; STYLEGAN_JAX_TEST_SHAPES=0 switches it off.
if os.environ.get('STYLEGAN_JAX_TEST_SHAPES') != '0':
    jaxtyping.install_import_hook(
        [f'stylegan_jax.networks.{module}' for module in ('ops', 'generator', 'discriminator')],
        'beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))',  # an int is a float as well
    )


@pytest.fixture(scope='module', autouse=True)
def few_programs():
    """Lets go of compiled programs before there are too many: each takes places in the kernel's map of memory.

    Linux allows 65,530 by default, and beyond it XLA's compiler crashes.
    """
    yield
    maps = pathlib.Path('/proc/self/maps')
    if 'jax' in sys.modules and maps.exists() and maps.read_bytes().count(b'\n') > _MOST_MAPS:
        import jax

        if 'stylegan_jax.sampling.engine' in sys.modules:
            sys.modules['stylegan_jax.sampling.engine']._programs.clear()
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def unchecked_shapes():
    """Lets a test call the public face with wrong arguments, for the errors that users get."""
    jaxtyping.config.update('jaxtyping_disable', True)
    yield
    jaxtyping.config.update('jaxtyping_disable', False)


@pytest.fixture
def float64():
    """Runs a test in double precision."""
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture
def exact_products():
    """Keeps graphics chips from rounding factors."""
    import jax

    with jax.default_matmul_precision('highest'):
        yield


@pytest.fixture
def accelerator_forms():
    """Runs a test with the forms for other platforms than a CPU, which are as exact there."""
    from stylegan_jax.runtime.by_platform import traced_for

    with traced_for('tpu'):
        yield


@pytest.fixture(params=['own', 'accelerator'])
def forms(request):
    """Runs a test with the forms for this platform and with those for accelerators."""
    if request.param == 'accelerator':
        request.getfixturevalue('accelerator_forms')
    return request.param


@pytest.fixture
def without_rights(tmp_path):
    """Returns a context manager in which nothing below the test's folder may be read or written, not even by root."""

    @contextlib.contextmanager
    def context():
        as_root = os.geteuid() == 0
        tmp_path.chmod(0)
        if as_root:
            os.seteuid(65534)  # nobody
        try:
            yield
        finally:
            if as_root:
                os.seteuid(0)
            tmp_path.chmod(0o700)

    return context


@pytest.fixture
def run_command(capsys, tmp_path, monkeypatch):
    """Returns a function (module, *arguments) that runs a command in an empty folder: (exit code, stdout, stderr)."""
    from absl.testing import flagsaver

    from stylegan_jax.cli import command

    monkeypatch.chdir(tmp_path)

    def run(module, *arguments):
        own = flagsaver.save_flag_values(module.FLAGS)
        with flagsaver.flagsaver():  # takes the command's flags away again
            try:
                command.parse([module.__name__, *arguments], module.FLAGS)
                code = command.reported_to_user(module.main)([module.__name__])
            except SystemExit as end:
                code = end.code
            finally:
                flagsaver.restore_flag_values(own, module.FLAGS)
        return code, *capsys.readouterr()

    return run
