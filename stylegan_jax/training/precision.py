"""The number types that a run computes in, by the name that `config.precision` has.

Parameters, statistics, losses, penalties and optimisers are float32 whatever the activations are (float64 in 'float64').
"""
import jax
import jax.numpy as jnp

_ACTIVATIONS = {'bfloat16': jnp.bfloat16, 'float16': jnp.float16, 'tf32': jnp.float32, 'float32': jnp.float32,
                'float64': jnp.float64}
_FIRST_WITH_BFLOAT16 = 8.0       # compute capability of NVIDIA GPUs (Ampere)


def resolved(precision):
    """Returns the name that 'auto' stands for on the devices at hand, and other names as they are."""
    return best_precision(jax.devices()[0]) if precision == 'auto' else precision


def best_precision(device):
    """Returns the fastest precision that trains as well as float32, for a `jax.Device`."""
    if device.platform == 'cpu':
        return 'float32'
    capability = getattr(device, 'compute_capability', None)       # of NVIDIA GPUs; others have bfloat16
    try:
        old = capability is not None and float(capability) < _FIRST_WITH_BFLOAT16
    except ValueError:           # AMD's are names
        old = False
    return 'tf32' if old else 'bfloat16'


def activation_dtype(config):
    """Returns the type of the activations of a Config's networks."""
    return _ACTIVATIONS[resolved(config.precision)]


def scales_loss(config):
    """Whether losses are scaled up before differentiation, because small gradients would vanish."""
    return resolved(config.precision) == 'float16'


def matmul_precision(config):
    """Returns a context in which float32 products are exact, or as fast as the chip has them."""
    return jax.default_matmul_precision('highest' if resolved(config.precision) in ('float32', 'float64') else 'default')
