"""How fast uint8 images are generated from latents that are on the device, mapping and truncation included."""

import jax

from stylegan_jax.benchmarks.cases import Case
from stylegan_jax.benchmarks.compiled import compile_timed, measure_calls
from stylegan_jax.benchmarks.device import DeviceRates
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runtime.flops import model_flops
from stylegan_jax.sampling.sampler import Sampler


def measure(case: Case, rates: DeviceRates) -> dict[str, float | str | None]:
    """Measures one case.

    Args:
      case: of the measurement.
      rates: the limits of the device.

    Returns:
      A dict, see `compiled.measure_calls`; with trace_seconds and compile_seconds.
    """
    config = case.config.generator
    generator = Generator.init(jax.random.key(0), config)
    z = jax.random.normal(jax.random.key(1), (case.batch, config.z_dim))
    sampler = Sampler(generator, batch=case.batch, devices=jax.devices()[:1], precision=case.config.precision)
    compiled, times = compile_timed(sampler.lower)
    arguments = sampler.arguments(z)

    def run(count):
        for _ in range(count):
            images, _ = compiled(*arguments)
        images.block_until_ready()

    flops = model_flops(_generate, generator, z)
    return case.named() | measure_calls(run, compiled, batch=case.batch, flops=flops, rates=rates) | times


def _generate(generator, z):
    return generator(z)
