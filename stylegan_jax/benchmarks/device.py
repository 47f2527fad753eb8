"""The measured limits of the device: the rate of matrix products, and the memory bandwidth."""

import statistics
import typing

import jax
import jax.numpy as jnp

from stylegan_jax.benchmarks.timing import seconds_per_call
from stylegan_jax.runtime.platforms import resolved

_SIZES = {'cpu': (1024, 2048, 4096), 'accelerator': (2048, 4096, 8192, 16384)}
_PASS_BYTES = {'cpu': 1 << 28, 'accelerator': 1 << 30}  # well above any cache
_SECONDS = 0.5  # that each repeat takes at least


class DeviceRates(typing.NamedTuple):
    """The limits of a device.

    Attributes:
      flops: operations per second of a matrix product, two for a multiply-add; the best of several sizes.
      product: what was multiplied, such as 'bfloat16 8192x8192'.
      bandwidth: bytes read plus written per second, by a program that changes every number of a large array in place.
    """

    flops: float
    product: str
    bandwidth: float

    def __str__(self):
        return f'{self.flops / 1e12:.3g} TFLOP/s ({self.product}), {self.bandwidth / 1e9:.3g} GB/s'


def measure(precision: str) -> DeviceRates:
    """Measures the default device.

    Args:
      precision: see `Config`; it decides the type of the factors and how exact their products are.

    Returns:
      The rates.
    """
    kind = 'cpu' if jax.default_backend() == 'cpu' else 'accelerator'
    precision = resolved(precision)
    dtype, products = product_type(precision)
    rates = {size: matrix_rate(size, dtype, products) for size in _SIZES[kind]}
    best = max(rates, key=rates.get)
    name = 'tf32' if precision == 'tf32' and kind != 'cpu' else jnp.dtype(dtype).name
    return DeviceRates(rates[best], f'{name} {best}x{best}', copy_bandwidth(_PASS_BYTES[kind]))


def product_type(precision: str) -> tuple[str, str]:
    """Returns the type of the factors, and the setting of `jax.default_matmul_precision`, of a precision."""
    return ('float32' if precision == 'tf32' else precision), 'highest' if precision == 'float32' else 'default'


def matrix_rate(size: int, dtype: str, products: str = 'default', *, seconds: float | None = None) -> float:
    """Returns operations per second of a product of square matrices.

    Args:
      size: rows and columns of both factors.
      dtype: of factors and result.
      products: see `jax.default_matmul_precision`.
      seconds: that a repeat takes; None for half of one.
    """
    a, b = (jax.random.normal(key, (size, size), dtype) for key in jax.random.split(jax.random.key(0)))
    with jax.default_matmul_precision(products):
        multiply = jax.jit(jnp.matmul).lower(a, b).compile()

    def run(count):
        for _ in range(count):
            product = multiply(a, b)
        product.block_until_ready()

    return 2 * size**3 / statistics.median(seconds_per_call(run, seconds=_SECONDS if seconds is None else seconds))


def copy_bandwidth(size: int, *, seconds: float | None = None) -> float:
    """Returns bytes read plus written per second.

    Args:
      size: of the array [bytes].
      seconds: that a repeat takes; None for half of one.
    """
    array = jnp.zeros(size // 4, jnp.float32)
    # The array is donated, so that it is changed in place: the operating system clears newly allocated memory first,
    # and that time would be measured as well.
    increase = jax.jit(lambda x: x + 1, donate_argnums=0).lower(array).compile()

    def run(count):
        nonlocal array
        for _ in range(count):
            array = increase(array)
        array.block_until_ready()

    return 2 * size / statistics.median(seconds_per_call(run, seconds=_SECONDS if seconds is None else seconds))
