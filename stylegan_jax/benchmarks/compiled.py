"""The speed of a compiled function and the figures of its graph, for training and generation alike."""

import statistics
import time
from collections.abc import Callable

import jax

from stylegan_jax.benchmarks.device import DeviceRates
from stylegan_jax.benchmarks.graph import read_graph
from stylegan_jax.benchmarks.timing import seconds_per_call
from stylegan_jax.runtime.platforms import compiler_options


def compile_timed(lower: Callable[[], jax.stages.Lowered]) -> tuple[jax.stages.Compiled, dict[str, float]]:
    """Traces and compiles a function with the compiler options of a run.

    Args:
      lower: traces the function.

    Returns:
      The compiled function, and {trace_seconds, compile_seconds}.
    """
    start = time.perf_counter()
    lowered = lower()
    traced = time.perf_counter()
    compiled = lowered.compile(compiler_options(jax.devices()[0].platform))
    return compiled, {'trace_seconds': traced - start, 'compile_seconds': time.perf_counter() - traced}


def measure_calls(
    run: Callable[[int], None], compiled: jax.stages.Compiled, *, batch: int, flops: float, rates: DeviceRates
) -> dict[str, float | None]:
    """Measures a compiled function that makes or takes a batch of images.

    Args:
      run: see `timing.seconds_per_call`.
      compiled: the function that `run` calls.
      batch: images per call.
      flops: of a call, from `flops.model_flops`.
      rates: the limits of the device.

    Returns:
      A dict: images_per_second (median of repeats), spread (largest minus smallest), seconds_per_call; the shares of
      the device's rates; counts per image; kernels per call; memory [bytes]. A number that the backend does not report
      is None.
    """
    peak_before = _peak_memory()
    times = seconds_per_call(run)
    seconds, graph = statistics.median(times), read_graph(compiled.as_text())
    return {
        'images_per_second': batch / seconds,
        'spread': batch / min(times) - batch / max(times),
        'seconds_per_call': seconds,
        'share_of_matrix_rate': flops / seconds / rates.flops,
        'share_of_bandwidth': graph.total_bytes / seconds / rates.bandwidth,
        'flops_per_image': flops / batch,
        'xla_flops_per_image': _per_image(_xla_flops(compiled), batch),
        'bytes_per_image': graph.total_bytes / batch,
        'kernels': graph.total_kernels,
        'peak_memory': _peak_above(peak_before),
        'compiler_memory': compiler_memory(compiled),
    }


def compiler_memory(compiled: jax.stages.Compiled) -> int | None:
    """Returns the memory that the compiler planned [bytes]; None if the backend does not report it.

    That is the sum of arguments, results and temporary arrays, where donated arguments that share their memory with a
    result count once.
    """
    plan = compiled.memory_analysis()
    return plan and (
        plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes - plan.alias_size_in_bytes
    )


def _xla_flops(compiled):
    analysis = compiled.cost_analysis()
    return analysis and analysis.get('flops')


def _per_image(flops, batch):
    return flops and flops / batch


def _peak_memory():
    """The largest memory use of the process on the device so far [bytes]; None if the backend does not count it."""
    stats = jax.devices()[0].memory_stats()
    return stats and stats.get('peak_bytes_in_use')


def _peak_above(before):
    """The peak if it has risen since; None otherwise, because it then belongs to an earlier program."""
    now = _peak_memory()
    return now if now is not None and now > before else None
