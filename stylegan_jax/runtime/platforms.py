"""Differences between kinds of devices: the number types that they are fast at, and compiler options of XLA for them.

The names of precisions (`config.PRECISIONS`) decide the type of activations only. Parameters, statistics, losses,
penalties and optimisers are float32 in all of them, except that 'float64' has everything in float64.
"""

import contextlib

import jax
import jax.numpy as jnp

from stylegan_jax.runtime.xla_options import known_options

_ACTIVATIONS = {
    'bfloat16': jnp.bfloat16,
    'float16': jnp.float16,
    'tf32': jnp.float32,
    'float32': jnp.float32,
    'float64': jnp.float64,
}
_FIRST_WITH_BFLOAT16 = 8  # major compute capability of NVIDIA GPUs (Ampere)
_COMPILER_OPTIONS = {
    # XLA:CPU's default convolution library (YNN) is four times slower in filter gradients; '' turns it off.
    'cpu': {'xla_cpu_experimental_ynn_fusion_type': ''},
    # Otherwise XLA skips the rounding to bfloat16 or float16 inside fusions. It then stores float32 between two
    # fusions, which is twice the bytes.
    'gpu': {'xla_allow_excess_precision': False},
}


def resolved(precision: str) -> str:
    """Returns the precision that 'auto' means on this machine's devices, and other names as they are."""
    return best_precision(jax.devices()[0]) if precision == 'auto' else precision


def best_precision(device: jax.Device) -> str:
    """Returns the fastest precision of a device that trains as well as float32."""
    if device.platform == 'cpu':
        return 'float32'
    major = str(getattr(device, 'compute_capability', '')).partition('.')[0]  # of NVIDIA GPUs; AMD's are names
    return 'tf32' if major.isdecimal() and int(major) < _FIRST_WITH_BFLOAT16 else 'bfloat16'


def activation_dtype(precision: str) -> jax.typing.DTypeLike:
    """Returns the type of activations in a precision (a name of `config.PRECISIONS`)."""
    return _ACTIVATIONS[resolved(precision)]


def matmul_precision(precision: str) -> contextlib.AbstractContextManager:
    """Returns a context that sets the precision of float32 matrix products and convolutions.

    They are exact in 'float32' and 'float64'. In other precisions accelerators may round the factors (to TF32 on NVIDIA
    GPUs).
    """
    return jax.default_matmul_precision('highest' if resolved(precision) in ('float32', 'float64') else 'default')


def compiler_options(platform: str) -> dict[str, object]:
    """Returns XLA's options for a platform.

    Args:
      platform: of a device, such as 'cpu' or 'cuda'.

    Returns:
      The argument `compiler_options` of `compile` of a lowered function. Options that the installed XLA does not have
      are left out, see `xla_options`.
    """
    return known_options(_COMPILER_OPTIONS.get('gpu' if platform in ('cuda', 'rocm') else platform, {}))
