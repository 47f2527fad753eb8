"""Generators as StableHLO programs in the form of `jax.export`: files that draw images with JAX alone.

A program is for one level of detail and for batches of any size. It contains the forms of the networks' operations for
all of its platforms. Its inputs are named, as `describe` lists them:

    network = jax.export.deserialize(open('faces.stablehlo', 'rb').read())
    images = jax.jit(network.call)(z=z)

The name of the function inside ends with a digest of the file, by which `draw` and `describe` tell damage, and programs
of others.
"""

import contextlib
import dataclasses
import hashlib
import math
import os
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jax import export as jax_export

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.errors import UserError, in_one_line, require, require_choice
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.labels import Labels, as_label
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.by_platform import PORTABLE, traced_for
from stylegan_jax.runtime.platforms import matmul_precision

PLATFORMS = 'cpu', 'cuda', 'rocm', 'tpu'
_NAME = b'stylegan_jax generator, sha256 '
_NO_DIGEST = b'0' * 64  # its place, while the digest is computed


def export(
    generator: Generator,
    path: str | os.PathLike,
    *,
    lod: float = 0.0,
    inputs: str = 'z',
    psi: float | str | None = None,
    cutoff: int | None = None,
    noise: str = 'const',
    weights: str = 'inside',
    platforms: Sequence[str] = PLATFORMS,
    precision: str = 'float32',
) -> None:
    """Writes a generator as a program; the file appears whole or not at all.

    Args:
      generator: the network.
      path: of the file; an existing one is replaced.
      lod: level of detail, see `Generator.synthesize`.
      inputs: 'z' for a program that takes `z` [N, Z], and `label` [N, K] where the network has labels; 'ws' for one
        that takes `ws` [N, L, W].
      psi: see `Generator.truncate`; 'input' for an input `psi`, a number.
      cutoff: see `Generator.truncate`.
      noise: 'const' (the stored inputs), 'none', or 'inputs' for an input `noise`, a list of arrays [N, h, w, 1], one
        per layer of the stages in use.
      weights: 'inside', or 'arguments' for an input `weights`, a dict of the arrays that `Generator.named_arrays`
        returns. They are written beside the program, to `weights_path(path)`, and those of another network of the same
        config may take their place.
      platforms: that the program is for, of `PLATFORMS`.
      precision: 'float32' has matrix products exact on all platforms; 'tf32' lets accelerators round their factors.

    Raises:
      UserError: an argument does not fit the network, or a package is missing.
    """
    _require_flatbuffers()
    _check(generator, inputs, psi, cutoff, noise, weights, platforms, precision)
    arguments = _arguments(generator, lod, inputs, psi, noise, weights)

    def images(*, weights=None, z=None, ws=None, label=None, psi=psi, noise=noise):
        network = generator if weights is None else Generator.from_arrays(generator.config, weights)
        if ws is not None:
            return network.synthesize(ws, noise=noise, lod=lod)
        return network(z, label, psi=psi, cutoff=cutoff, noise=noise, lod=lod)

    with matmul_precision(precision), traced_for(PORTABLE), _without_paths():
        exported = jax_export.export(jax.jit(images), platforms=tuple(platforms))(**arguments)
    exported = dataclasses.replace(exported, fun_name=(_NAME + _NO_DIGEST).decode())
    content = bytes(exported.serialize())
    place = content.rfind(_NAME) + len(_NAME)
    content = content[:place] + _digest(content, place) + content[place + len(_NO_DIGEST) :]
    if weights == 'arguments':
        arrays = {name: np.ascontiguousarray(array) for name, array in generator.named_arrays().items()}
        with atomic.writing(weights_path(path), 'wb') as file:
            file.write(safetensors.numpy.save(arrays))
    with atomic.writing(path, 'wb') as file:
        file.write(content)


def weights_path(path: str | os.PathLike) -> str:
    """Returns the path of the weights that `export` writes beside a program that takes them as an input."""
    return f'{os.fspath(path)}.safetensors'


def draw(
    path: str | os.PathLike,
    latents: jax.typing.ArrayLike,
    label: Labels | None = None,
    *,
    psi: float | None = None,
    noise: Sequence[jax.typing.ArrayLike] | None = None,
) -> jax.Array:
    """Draws images with a program that `export` wrote.

    Args:
      path: of the program; weights that it takes as an input are read from `weights_path(path)`.
      latents: z [N, Z] or ws [N, L, W], whichever the program takes.
      label: see `Generator.map`.
      psi: for programs that take it.
      noise: for programs that take it, one array [N, h, w, 1] per layer.

    Returns:
      images [N, H, W, C].

    Raises:
      UserError: the file cannot be read, is damaged, or takes other inputs.
    """
    exported = _read(path)
    takes = _named_inputs(exported)
    latents = jnp.asarray(latents, next(takes[name] for name in ('z', 'ws') if name in takes).dtype)
    given = {'ws' if 'ws' in takes else 'z': latents}
    if 'label' in takes:
        given['label'] = as_label(label, len(latents), takes['label'].shape[1], latents.dtype)
    elif label is not None and np.size(label):
        raise UserError(f'{path}: this program takes no label')
    if psi is not None:
        given['psi'] = jnp.asarray(psi, latents.dtype)
    if noise is not None:
        given['noise'] = [jnp.asarray(array, latents.dtype) for array in noise]
    if 'weights' in takes:
        given['weights'] = _read_weights(weights_path(path))
    if missing := takes.keys() ^ given.keys():
        name = min(missing)
        raise UserError(f'{path}: this program takes {"an input" if name in takes else "no input"} {name}')
    try:
        return jax.jit(exported.call)(**given)
    except (ValueError, RuntimeError) as error:
        # Other shapes or names than those of the program; a device of another platform; a program of a newer JAX.
        raise UserError(f'{path}: cannot be run with these inputs here ({in_one_line(error)})') from None


def describe(path: str | os.PathLike) -> list[str]:
    """Returns lines that say what a program takes and returns, and what it is for.

    Raises:
      UserError: the file cannot be read, is damaged, or was not written by `export`.
    """
    exported = _read(path)
    lines = ['for ' + ', '.join(exported.platforms)]
    for name, value in _named_inputs(exported).items():
        arrays = jax.tree.leaves(value)
        if name == 'weights':
            lines.append(f'takes weights: {len(arrays)} arrays of {sum(array.size for array in arrays):,} numbers')
        elif name == 'noise':
            lines.append('takes noise: ' + ' '.join(map(_shape, arrays)))
        else:
            lines.append(f'takes {name}: {_shape(value)}')
    return [*lines, f'returns images: {_shape(exported.out_avals[0])}']


def _shape(array):
    return f'{array.dtype}[{", ".join(map(str, array.shape))}]'


def _check(generator, inputs, psi, cutoff, noise, weights, platforms, precision):
    """Raises a UserError for arguments that do not fit the network, where the network itself would not."""
    require_choice('inputs', inputs, ('z', 'ws'))
    require_choice('noise', noise, ('const', 'inputs', 'none'))
    require_choice('weights', weights, ('inside', 'arguments'))
    require_choice('precision', precision, ('float32', 'tf32'))
    fits = not isinstance(platforms, str) and platforms and set(platforms) <= set(PLATFORMS)
    require(fits, 'platforms', platforms, f'give some of {PLATFORMS}')
    config = generator.config
    require(psi is None or psi == 'input' or _is_number(psi), 'psi', psi, "give a number or 'input'")
    if inputs == 'ws':
        require(not config.is_progan, 'inputs', inputs, "a Progressive GAN takes 'z' only: it has no w")
        require(psi is None, 'psi', psi, 'leave it out: a program that takes ws does not truncate them')
        require(cutoff is None, 'cutoff', cutoff, 'leave it out: a program that takes ws does not truncate them')
    if psi == 'input' and cutoff is None and not config.is_progan:
        truncates = config.truncation_cutoff is not None
        require(truncates, 'psi', psi, 'this network truncates no layers by itself; give a cutoff as well')
    if noise == 'inputs':
        require(config.use_noise, 'noise', noise, 'this network has no noise inputs; leave it out')


def _is_number(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def _arguments(generator, lod, inputs, psi, noise, weights):
    """Returns the inputs of the program by name, trees of shapes with a symbol for the size of the batch."""
    (batch,) = jax_export.symbolic_shape('batch')
    dtype = generator.w_avg.dtype

    def array(*shape):
        return jax.ShapeDtypeStruct(shape, dtype)

    if inputs == 'ws':
        arguments = {'ws': array(batch, generator.num_ws, generator.w_dim)}
    else:
        arguments = {'z': array(batch, generator.z_dim)}
        if generator.label_dim:
            arguments['label'] = array(batch, generator.label_dim)
    if psi == 'input':
        arguments['psi'] = array()
    if noise == 'inputs':
        stage, _ = stage_and_alpha(generator.config.image, lod)
        shapes = (generator.config.noise_shape(layer) for layer in range(2 * (stage + 1)))
        arguments['noise'] = [array(batch, *shape[1:]) for shape in shapes]
    if weights == 'arguments':
        arguments['weights'] = {
            name: jax.ShapeDtypeStruct(values.shape, values.dtype) for name, values in generator.named_arrays().items()
        }
    return arguments


@contextlib.contextmanager
def _without_paths() -> Iterator[None]:
    """Has JAX write no names of source files into a program: they tell the folders of the machine."""
    option = 'jax_hlo_source_file_canonicalization_regex'
    before = getattr(jax.config, option)
    jax.config.update(option, '.*')
    try:
        yield
    finally:
        jax.config.update(option, before)


def _require_flatbuffers():
    try:
        import flatbuffers  # noqa: F401  JAX writes with it, and does not install it
    except ImportError:
        raise UserError(
            'StableHLO programs need the package flatbuffers', remedy='pip install "stylegan_jax[export]"'
        ) from None


def _read(path):
    """Returns the jax.export.Exported of a file that `export` wrote, after a look at its digest."""
    _require_flatbuffers()
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}', remedy='give a StableHLO program') from None
    place = content.rfind(_NAME) + len(_NAME)
    if place < len(_NAME):
        raise UserError(f'{path}: this is no StableHLO program of stylegan_jax, or its end is missing')
    # The parsers of JAX and XLA see whole files only: damaged ones may end the process.
    if content[place : place + len(_NO_DIGEST)] != _digest(content, place):
        raise UserError(f'{path}: damaged StableHLO program: its digest does not match')
    try:
        return jax_export.deserialize(bytearray(content))
    except Exception as error:  # an older or newer JAX, or a digest that was made for the purpose
        raise UserError(
            f'{path}: this JAX ({jax.__version__}) cannot read the program ({in_one_line(error)})'
        ) from error


def _digest(content, place):
    """Returns the SHA-256 of a file, in hexadecimal, as if zeros were at the place of the digest."""
    content, digest = memoryview(content), hashlib.sha256()
    for part in (content[:place], _NO_DIGEST, content[place + len(_NO_DIGEST) :]):
        digest.update(part)
    return digest.hexdigest().encode()


def _named_inputs(exported):
    """Returns the inputs of a program: {name: tree of shapes}."""
    return jax.tree.unflatten(exported.in_tree, exported.in_avals)[1]


def _read_weights(path):
    try:
        return safetensors.numpy.load_file(path)
    except OSError as error:
        raise UserError(f'{path}: {error.strerror or error}', remedy='give the weights of the program') from None
    except Exception as error:  # errors of the library, for damaged files
        raise UserError(f'{path}: damaged .safetensors file ({in_one_line(error)})') from None
