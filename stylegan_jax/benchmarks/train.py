"""How fast training is: one D step and one G step on images that are on the device already."""

from collections.abc import Callable

import jax

from stylegan_jax import training
from stylegan_jax.benchmarks.cases import LEARNING_RATE, Case, abstract_iteration, iteration, noise_images
from stylegan_jax.benchmarks.compiled import compile_timed, measure_calls
from stylegan_jax.benchmarks.device import DeviceRates
from stylegan_jax.runtime.flops import model_flops


def measure(
    case: Case, rates: DeviceRates, on_compiled: Callable[..., None] = lambda run, compiled: None
) -> dict[str, float | str | None]:
    """Measures one case.

    Args:
      case: of the measurement.
      rates: the limits of the device.
      on_compiled: called at the end with what `profile.record` takes.

    Returns:
      A dict, see `compiled.measure_calls`; with trace_seconds and compile_seconds.
    """
    devices = training.Devices(case.config)
    step = devices.iteration()
    state = devices.replicate(training.create_state(case.config))
    batch = devices.arrange(noise_images(case))
    fades = devices.program(case.stage, case.batch, alpha=1.0).fades
    compiled, times = compile_timed(lambda: step.lower(state, batch, LEARNING_RATE, stage=case.stage, fades=fades))

    def run(count):
        nonlocal state
        for _ in range(count):
            state, metrics = compiled(state, batch, LEARNING_RATE)
        jax.block_until_ready((state, metrics))

    flops = model_flops(iteration(case, fades=fades), *abstract_iteration(case))
    result = case.named() | measure_calls(run, compiled, batch=case.batch, flops=flops, rates=rates) | times
    on_compiled(run, compiled)
    return result
