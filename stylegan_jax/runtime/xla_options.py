"""The flags and compiler options that the installed version of XLA knows.

They come and go with versions of JAX, and XLA refuses unknown ones: an unknown compiler option raises an error, and an
unknown flag in XLA_FLAGS ends the process. The functions here try them out and leave the unknown ones out.
"""

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping


def known_flags(flags: Iterable[str]) -> list[str]:
    """Filters flags for the environment variable XLA_FLAGS: keeps those that XLA knows.

    They are tried in a second process, because XLA reads the variable only once, and an unknown flag ends the process.

    Args:
      flags: texts such as '--xla_backend_optimization_level=0'.

    Returns:
      The known flags, in the given order.

    Raises:
      RuntimeError: JAX does not start even without the unknown flags.
    """
    left = list(flags)
    while left:
        environment = os.environ | {'XLA_FLAGS': ' '.join(left), 'JAX_PLATFORMS': 'cpu'}
        asked = subprocess.run(
            [sys.executable, '-c', 'import jaxlib.xla_client as xla; xla.make_cpu_client()'],
            env=environment,
            text=True,
            capture_output=True,
        )
        if asked.returncode == 0:
            break
        complaint = re.search(r'Unknown flags? in XLA_FLAGS: (.*)', asked.stderr)
        unknown = [flag for flag in left if complaint and flag in complaint[1].split()]
        if not unknown:
            raise RuntimeError(f'XLA does not start with the flags {" ".join(left)}: {asked.stderr[-2000:]}')
        left = [flag for flag in left if flag not in unknown]
    return left


def known_options(options: Mapping[str, object]) -> dict[str, object]:
    """Filters compiler options: keeps those that XLA knows, and warns about others once on stderr.

    Args:
      options: {name: value}, as the argument `compiler_options` of `compile` of a lowered function.

    Returns:
      The known options.
    """
    return {name: value for name, value in options.items() if _is_known(name, value)}


@functools.cache
def _is_known(name, value):
    import jax  # not at the top, so that `known_flags` can be called before JAX reads its environment

    try:
        _smallest_program().compile({name: value})
    except jax.errors.JaxRuntimeError as error:
        if f"No such compile option: '{name}'" not in str(error):
            raise
        print(f'warning: XLA of JAX {jax.__version__} has no option {name}; it is left out', file=sys.stderr)
        return False
    return True


@functools.cache
def _smallest_program():
    import jax

    return jax.jit(lambda: 0).lower()
