"""Compiling for an H100 on a machine without one, to read the graph (`graph.read_graph`). The program does not run.

XLA's compiler for GPUs works from a description of the chip (h100_sxm.txtpb). It comes in two packages of JAX for
CUDA, which stay outside of the environment, so that JAX does not look for a GPU:

    python -m pip install --no-deps --target FOLDER jax-cuda12-plugin==VERSION jax-cuda12-pjrt==VERSION

with the version of the installed JAX. Only the chip itself could choose cuDNN's algorithms, so they stay open.
"""

import importlib.resources
import os
import typing
from collections.abc import Callable

import jax
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec

from stylegan_jax.errors import UserError
from stylegan_jax.runtime.by_platform import traced_for
from stylegan_jax.runtime.platforms import compiler_options

COMPILER_VARIABLE = 'STYLEGAN_JAX_GPU_COMPILER'
_LIBRARY = os.path.join('jax_plugins', 'xla_cuda12', 'xla_cuda_plugin.so')


def compile_for_h100(
    fn: Callable[..., typing.Any],
    *args: typing.Any,
    compiler: str | None = None,
    donate_argnums: tuple[int, ...] = (),
) -> jax.stages.Compiled:
    """Compiles a function for one H100.

    Args:
      fn: a function of pytrees of arrays.
      *args: pytrees of arrays or jax.ShapeDtypeStruct, of which only shapes and types are used.
      compiler: the folder with the compiler packages; None for $STYLEGAN_JAX_GPU_COMPILER.
      donate_argnums: see `jax.jit`.

    Returns:
      The compiled function, which can be read but not run.

    Raises:
      UserError: the compiler packages are missing, or are of another version.
    """
    library = compiler_library(compiler)
    sharding = NamedSharding(topologies.make_mesh(_topology(library), (1,), ('device',)), PartitionSpec())
    args = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), args)
    with traced_for('cuda'):
        lowered = jax.jit(fn, donate_argnums=donate_argnums, keep_unused=True).lower(*args)  # as training does
    return lowered.compile({'xla_gpu_autotune_level': 0} | compiler_options('cuda'))


def compiler_library(compiler: str | None = None) -> str:
    """Returns the path of XLA's GPU compiler; see `compile_for_h100` for the argument and the error."""
    install = (
        'python -m pip install --no-deps --target FOLDER '
        f'jax-cuda12-plugin=={jax.__version__} jax-cuda12-pjrt=={jax.__version__}'
    )
    compiler = compiler or os.environ.get(COMPILER_VARIABLE, '')
    if not compiler:
        raise UserError(f'{COMPILER_VARIABLE} is not set; install with "{install}" and set it to FOLDER')
    library = os.path.join(compiler, _LIBRARY)
    if not os.path.isfile(library):
        raise UserError(f'{COMPILER_VARIABLE}={compiler}: no {_LIBRARY} there; install with "{install}"')
    if not os.path.isdir(os.path.join(compiler, f'jax_cuda12_pjrt-{jax.__version__}.dist-info')):
        raise UserError(f'{COMPILER_VARIABLE}={compiler}: not of JAX {jax.__version__}; install with "{install}"')
    return library


def _topology(library):
    from jax._src import xla_bridge  # private: the public way to add a backend makes it look for the chip

    jax.devices()  # initialises the existing backends before the new one is registered, so that it is not
    if 'cuda' not in xla_bridge._backend_factories:
        xla_bridge.register_plugin('cuda', library_path=library, options={})
    chip = importlib.resources.files('stylegan_jax.benchmarks').joinpath('h100_sxm.txtpb').read_text()
    return topologies.get_topology_desc(platform='cuda', topology_name='', target_config=chip, topology='1x1x1')
