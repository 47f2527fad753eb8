"""What differs between kinds of devices: the number types that they are fast at, and how XLA compiles well for them.

Parameters, statistics, losses, penalties and optimisers are float32 whatever the activations are, and float64 in
'float64'.
"""

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
    # The library that takes convolutions by default has filter gradients at a quarter of the other's speed.
    'cpu': {'xla_cpu_experimental_ynn_fusion_type': ''},
    # Else XLA skips the rounding to short types inside fusions, and stores what is between two of them in float32.
    'gpu': {'xla_allow_excess_precision': False},
}


def resolved(precision):
    """Returns the name that 'auto' stands for on the devices at hand, and other names as they are."""
    return best_precision(jax.devices()[0]) if precision == 'auto' else precision


def best_precision(device):
    """Returns the fastest precision that trains as well as float32, for a `jax.Device`."""
    if device.platform == 'cpu':
        return 'float32'
    major = str(getattr(device, 'compute_capability', '')).partition('.')[0]  # of NVIDIA GPUs; AMD's are names
    return 'tf32' if major.isdecimal() and int(major) < _FIRST_WITH_BFLOAT16 else 'bfloat16'


def activation_dtype(precision):
    """Returns the type of activations in a precision (a name of `config.PRECISIONS`)."""
    return _ACTIVATIONS[resolved(precision)]


def matmul_precision(precision):
    """Returns a context in which float32 products are exact, or as fast as the chip has them."""
    return jax.default_matmul_precision('highest' if resolved(precision) in ('float32', 'float64') else 'default')


def compiler_options(platform):
    """Returns what `compile` of a lowered function takes as `compiler_options`, for a platform such as 'cpu'.

    Options that the installed XLA does not have are left out, see `xla_options`.
    """
    return known_options(_COMPILER_OPTIONS.get('gpu' if platform in ('cuda', 'rocm') else platform, {}))
