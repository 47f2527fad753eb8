"""Which of XLA's flags and compiler options the installed version has.

They come and go with versions of JAX, and XLA refuses what it does not know: an unknown compiler option raises an
error, and an unknown flag in XLA_FLAGS ends the process. So both are asked for, and what is unknown is left out.
"""

import functools
import os
import re
import subprocess
import sys


def known_flags(flags):
    """Returns those of some flags that XLA has, for the environment variable XLA_FLAGS.

    A second process asks, because XLA reads the variable once and ends the process at a flag that it does not know.

    Args:
      flags: texts such as '--xla_backend_optimization_level=0'.

    Returns:
      A list of those that are known, in their order.

    Raises:
      RuntimeError: JAX does not start, whatever the flags.
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


def known_options(options):
    """Returns those of some compiler options that XLA has; others are left out, which is said once on stderr.

    Args:
      options: dict of what `compile` of a lowered function takes as `compiler_options`.

    Returns:
      dict.
    """
    return {name: value for name, value in options.items() if _is_known(name, value)}


@functools.cache
def _is_known(name, value):
    import jax  # so that `known_flags` can be called before JAX reads its environment

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
