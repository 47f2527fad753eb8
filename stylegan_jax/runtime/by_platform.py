"""The form of an operation that suits the platform, chosen while a function is traced where the platform is known.

JAX learns the platform only when it lowers a traced function. `lax.platform_dependent` therefore traces the forms for
all platforms, and lowering throws away all but one. In a training step that is half of the time that tracing takes.
"""

import typing
from collections.abc import Callable

import jax
from jax import lax

# The platform that functions are traced for: a name such as 'cpu', 'cuda', 'rocm' or 'tpu', or None if it is not known.
# `with traced_for(name):` sets it for one thread. JAX never takes a trace made for one platform for that of another,
# because the value is a part of the keys of all its caches.
traced_for = jax.make_user_context(None)
# The value for programs that are written to a file (`conversion.stablehlo`): they contain the forms for all platforms,
# and nothing that JAX does not promise to read again in later versions, such as constraints of layouts.
PORTABLE = 'portable'


def platform_of(device: jax.Device) -> str | None:
    """Returns the name that `traced_for` takes for the platform of a device; None if the device does not tell."""
    if device.platform != 'gpu':
        return device.platform
    # GPUs of all makers have this name, although `lax.platform_dependent` tells them apart.
    version = device.client.platform_version.lower()  # such as 'PJRT C API\ncuda 12090'
    return next((name for name in ('cuda', 'rocm') if name in version), None)


def by_platform(
    *args: typing.Any, default: Callable[..., typing.Any], **forms: Callable[..., typing.Any]
) -> typing.Any:
    """Calls the form of a function that suits the platform.

    Inside `with traced_for(platform)` only that platform's form is traced, and the program is right for that platform
    alone. Elsewhere all forms are traced, so that the program may be lowered for any platform.

    Args:
      *args: pytrees of arrays.
      default: the form for platforms that `forms` does not name.
      **forms: forms by the name of their platform; all return arrays of the same shapes and types.

    Returns:
      The result of the form.
    """
    platform = traced_for.value
    if platform in (None, PORTABLE):
        return lax.platform_dependent(*args, default=default, **forms)
    return forms.get(platform, default)(*args)
