"""How fast a compiled function runs, and what its graph says: what training and generation have in common."""

import statistics
import time

import jax

from stylegan_jax.benchmarks.graph import read_graph
from stylegan_jax.benchmarks.timing import seconds_per_call
from stylegan_jax.runtime.platforms import compiler_options


def compile_timed(lower):
    """Traces and compiles a function, as runs do.

    Args:
      lower: without arguments, returns what `jax.jit` calls the lowered form.

    Returns:
      (jax.stages.Compiled, {trace_seconds, compile_seconds}).
    """
    start = time.perf_counter()
    lowered = lower()
    traced = time.perf_counter()
    compiled = lowered.compile(compiler_options(jax.devices()[0].platform))
    return compiled, {'trace_seconds': traced - start, 'compile_seconds': time.perf_counter() - traced}


def measure_calls(run, compiled, *, batch, flops, rates):
    """Measures a compiled function that makes or takes a batch of images.

    Args:
      run: see `timing.seconds_per_call`.
      compiled: the jax.stages.Compiled that it calls.
      batch: images a call.
      flops: of a call, from `flops.model_flops`.
      rates: DeviceRates.

    Returns:
      A dict: images_per_second (median of repeats), spread (largest less smallest), seconds_per_call; the shares of
      the device's rates; counts per image; kernels per call; memory [bytes]. None stands for what the backend does not
      say.
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


def compiler_memory(compiled):
    """Returns the bytes that the compiler planned with: arguments, results and temporary memory, shared ones once."""
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
    """The most memory that the process ever had in use on the device; None where it does not count."""
    stats = jax.devices()[0].memory_stats()
    return stats and stats.get('peak_bytes_in_use')


def _peak_above(before):
    """The peak, where it is higher than it was before: else it belongs to something that ran earlier."""
    now = _peak_memory()
    return now if now is not None and now > before else None
