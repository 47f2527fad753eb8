"""What is chosen for kinds of devices, and that the compiler takes its options."""

import types

import jax
import jax.numpy as jnp
import pytest

from stylegan_jax.runtime import platforms


def device(platform, capability=None):
    """What `best_precision` looks at of a device that need not be here."""
    return types.SimpleNamespace(platform=platform, **{'compute_capability': capability} if capability else {})


@pytest.mark.parametrize(
    'platform, capability, precision',
    [
        ('cpu', None, 'float32'),
        ('gpu', '7.0', 'tf32'),
        ('gpu', '7.5', 'tf32'),
        ('gpu', '8.0', 'bfloat16'),
        ('gpu', '9.0', 'bfloat16'),
        ('gpu', '10.0', 'bfloat16'),
        ('gpu', 'gfx942', 'bfloat16'),
        ('tpu', None, 'bfloat16'),
    ],
)
def test_best_precision(platform, capability, precision):
    assert platforms.best_precision(device(platform, capability)) == precision


def test_auto_is_the_best_of_the_devices_at_hand():
    assert platforms.resolved('auto') == platforms.best_precision(jax.devices()[0])
    assert [platforms.resolved(name) for name in ('bfloat16', 'tf32')] == ['bfloat16', 'tf32']
    assert platforms.activation_dtype('tf32') == jnp.float32 and platforms.activation_dtype('float16') == jnp.float16


def test_the_compiler_takes_the_options_of_this_platform():
    platform = jax.default_backend()
    lowered = jax.jit(lambda x: x + 1).lower(jnp.ones(3))
    assert lowered.compile(compiler_options=platforms.compiler_options(platform))(jnp.ones(3)).tolist() == [2, 2, 2]
    with pytest.raises(Exception, match='xla_no_such_option'):
        lowered.compile(compiler_options={'xla_no_such_option': True})


def test_all_kinds_of_gpu_have_the_same_options():
    assert platforms.compiler_options('cuda') == platforms.compiler_options('rocm') == platforms.compiler_options('gpu')
    assert platforms.compiler_options('gpu') and platforms.compiler_options('somewhere else') == {}
