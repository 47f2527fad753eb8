"""Settings and fixtures for all tests."""

import gc
import os
import pathlib
import sys

import pytest

from stylegan_jax.runtime.xla_options import known_flags

# Compiling is most of what these tests do; the results are the same to rounding. Runs use one of the eight devices
# where they do not say otherwise. Processes that this one starts, as pytest-xdist does, find the answer here.
_FLAGS = '--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false'
if 'STYLEGAN_JAX_TEST_FLAGS' not in os.environ:
    os.environ['STYLEGAN_JAX_TEST_FLAGS'] = ' '.join(known_flags(_FLAGS.split()))
    os.environ['XLA_FLAGS'] = ' '.join([
        os.environ.get('XLA_FLAGS', ''), os.environ['STYLEGAN_JAX_TEST_FLAGS'],
        '--xla_force_host_platform_device_count=8'])  # fmt: skip
# Compiled programs of all test processes, kept from run to run; `pytest --cache-clear` empties it. Never the user's.
_CACHE = os.environ.get('STYLEGAN_JAX_TEST_CACHE') or pathlib.Path(__file__).parents[1] / '.pytest_cache' / 'compiled'
os.makedirs(_CACHE, exist_ok=True)
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(_CACHE)
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
_MOST_MAPS = 20_000


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
def accelerator_forms(monkeypatch):
    """Runs a test with the forms for other platforms than a CPU, which are as exact there."""
    import jax

    monkeypatch.setattr(jax.lax, 'platform_dependent', lambda *arguments, default, **_: default(*arguments))
    jax.clear_caches()  # a trace made in the other form would pass for this one
    yield
    jax.clear_caches()


@pytest.fixture(params=['own', 'accelerator'])
def forms(request):
    """Runs a test with the forms for this platform and with those for accelerators."""
    if request.param == 'accelerator':
        request.getfixturevalue('accelerator_forms')
    return request.param


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
