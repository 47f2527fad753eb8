"""How long a stage takes to compile: with an empty persistent cache, and again with a filled one."""

import contextlib
import os
import tempfile

import jax
from jax import monitoring
from jax.experimental.compilation_cache import compilation_cache

from stylegan_jax import training
from stylegan_jax.benchmarks.cases import LEARNING_RATE, Case, abstract_iteration
from stylegan_jax.benchmarks.compiled import compile_timed, compiler_memory

_HIT = '/jax/compilation_cache/cache_hits'


def measure(case: Case) -> dict[str, float | str | None]:
    """Compiles the training step of one case twice: with an empty cache, and with the cache that the first time filled.

    The step is not run. The second compilation takes as long as at the next start of a run.

    Args:
      case: of the measurement.

    Returns:
      A dict: trace_seconds and compile_seconds, again_trace_seconds and again_compile_seconds, cache_bytes,
      compiler_memory [bytes].
    """
    with tempfile.TemporaryDirectory() as folder, _persistent_cache(folder), _hits() as hits:
        first, times = compile_timed(lambda: _lower(case))
        cache_bytes = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
        jax.clear_caches()
        hits.clear()
        again = compile_timed(lambda: _lower(case))[1]
        found = bool(hits)
    return (
        case.named()
        | times
        | {f'again_{name}': seconds for name, seconds in again.items()}
        | {'found_in_cache': found, 'cache_bytes': cache_bytes, 'compiler_memory': compiler_memory(first)}
    )


def _lower(case):
    state, batch, _ = abstract_iteration(case)
    devices = training.Devices(case.config)
    fades = devices.program(case.stage, case.batch, alpha=1.0).fades
    return devices.iteration().lower(state, batch, LEARNING_RATE, stage=case.stage, fades=fades)


@contextlib.contextmanager
def _persistent_cache(folder):
    """Context in which JAX keeps every compiled program in a folder; it restores the settings at the end."""
    settings = {
        'jax_compilation_cache_dir': folder,
        'jax_persistent_cache_min_compile_time_secs': 0,
        'jax_persistent_cache_min_entry_size_bytes': -1,
        'jax_enable_compilation_cache': True,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    try:
        _set(settings)
        yield
    finally:
        _set(before)


def _set(settings):
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # JAX reads the settings only when it first uses the cache
    jax.clear_caches()


@contextlib.contextmanager
def _hits():
    """Context with a list that gets an entry for each program found in the cache."""
    hits = []

    def listen(event, **_):
        if event == _HIT:
            hits.append(event)

    monitoring.register_event_listener(listen)
    try:
        yield hits
    finally:
        monitoring.unregister_event_listener(listen)
