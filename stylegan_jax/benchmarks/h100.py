"""Compiling for an H100 on a machine that has none, to read the graph (`graph.read_graph`). Nothing runs.

XLA's compiler for GPUs works from a description of the chip (h100_sxm.txtpb). It comes in two packages of JAX for
CUDA, which stay outside of the environment, so that JAX does not look for a GPU:

    python -m pip install --no-deps --target FOLDER jax-cuda12-plugin==VERSION jax-cuda12-pjrt==VERSION

with the version of the installed JAX. cuDNN's algorithms are not chosen, because that takes the chip.
"""

import importlib.resources
import os

import jax
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec

from stylegan_jax.errors import UserError
from stylegan_jax.runtime.platforms import compiler_options

COMPILER_VARIABLE = 'STYLEGAN_JAX_GPU_COMPILER'
_LIBRARY = os.path.join('jax_plugins', 'xla_cuda12', 'xla_cuda_plugin.so')


def compile_for_h100(fn, *args, compiler=None, donate_argnums=()):
    """Compiles a function for one H100.

    Args:
      fn: a function of pytrees of arrays.
      *args: pytrees of arrays or jax.ShapeDtypeStruct, of which only shapes and types are used.
      compiler: the folder with the compiler packages; None for what STYLEGAN_JAX_GPU_COMPILER says.
      donate_argnums: see `jax.jit`.

    Returns:
      jax.stages.Compiled, to look at.

    Raises:
      UserError: the compiler packages are not there, or of another version.
    """
    library = compiler_library(compiler)
    sharding = NamedSharding(topologies.make_mesh(_topology(library), (1,), ('device',)), PartitionSpec())
    args = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), args)
    lowered = jax.jit(fn, donate_argnums=donate_argnums, keep_unused=True).lower(*args)  # as training does
    return lowered.compile({'xla_gpu_autotune_level': 0} | compiler_options('cuda'))


def compiler_library(compiler=None):
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
    from jax._src import xla_bridge  # the public way to add a backend would have it look for the chip

    jax.devices()  # backends that are there are made now, without the new one
    if 'cuda' not in xla_bridge._backend_factories:
        xla_bridge.register_plugin('cuda', library_path=library, options={})
    chip = importlib.resources.files('stylegan_jax.benchmarks').joinpath('h100_sxm.txtpb').read_text()
    return topologies.get_topology_desc(platform='cuda', topology_name='', target_config=chip, topology='1x1x1')
