"""Latents in, uint8 images out, at speed: one compiled graph over all local devices, and no device that waits.

For commands, sample grids and measurements; `Generator` itself gives images as floats, and takes what is unusual.
"""

import collections
import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import broadcast_w, draw_noise, map_latents, synthesize_images
from stylegan_jax.runtime.platforms import activation_dtype, best_precision, compiler_options, matmul_precision

PRECISIONS = 'auto', 'float32', 'tf32', 'bfloat16', 'float16'
NOISES = 'const', 'random', 'none'
_AXIS = 'device'
# Pixels and images that a device gets at a time if nobody says: two images of 1024x1024 on a processor, 16 elsewhere.
_CPU_BATCH, _ACCELERATOR_BATCH = (2**21, 16), (2**24, 128)


class Sampler:
    """Makes images of one kind with one generator: the options are fixed, the latents come with each call.

    Graphs are kept for the life of the process, so another Sampler of the same kind (the weights, psi, the cutoff and
    the fade weight may differ) compiles nothing. An image depends on its own latent, label and key alone, not on the
    others of its batch nor on the number of devices, but for rounding.

    Attributes:
      batch: how many images are made at a time, over all devices.
      shape: (H, W, C) of an image.
      precision: the one in use, also where 'auto' was asked for.
    """

    def __init__(
        self,
        generator,
        *,
        lod=0.0,
        psi=None,
        cutoff=None,
        noise='const',
        batch=None,
        count=None,
        devices=None,
        precision='float32',
    ):
        """Places nothing on devices and compiles nothing yet.

        Args:
          generator: a Generator; one of `jax.ShapeDtypeStruct`s is enough for `compile`.
          lod: see `Generator.synthesize`.
          psi, cutoff: see `Generator.truncate`.
          noise: 'const' (the stored inputs), 'random' (from the key of each image) or 'none'.
          batch: how many images at a time, rounded up to a multiple of the devices; None for what suits them.
          count: how many images there will be in all, if that is known: batches are then no larger, and even.
          devices: a list of devices of this process; None for all.
          precision: 'float32' (exact products), 'tf32' (as fast as the chip has them for float32), 'bfloat16' or
            'float16' (activations), or 'auto', what suits the device.

        Raises:
          UserError: the network has no such thing, or the lod is outside its range.
        """
        if noise not in NOISES:
            raise UserError(f'noise={noise!r}: choose ' + ', '.join(map(repr, NOISES)))
        if precision not in PRECISIONS:
            raise UserError(f'precision={precision!r}: choose ' + ', '.join(map(repr, PRECISIONS)))
        config, devices = generator.config, tuple(devices or jax.local_devices())
        abstract = jax.eval_shape(lambda generator: generator, generator)
        self.shape = _checked_shape(abstract, psi=psi, cutoff=cutoff, noise=noise, lod=lod)
        self.batch = -(-(batch or fitting_batch(self.shape, devices, count)) // len(devices)) * len(devices)
        self.precision = best_precision(devices[0]) if precision == 'auto' else precision
        self._generator, self._dtype = generator, abstract.w_avg.dtype
        stage, self._alpha = stage_and_alpha(config.image, lod)
        psi = config.truncation_psi if psi is None else psi
        cutoff = config.truncation_cutoff if cutoff is None else cutoff
        self._truncation = None if config.is_progan or psi is None or cutoff is None else (psi, cutoff)
        mesh = Mesh(np.array(devices), (_AXIS,))
        self._cut, self._everywhere = NamedSharding(mesh, PartitionSpec(_AXIS)), NamedSharding(mesh, PartitionSpec())
        leaves, structure = jax.tree.flatten(abstract)
        self._graph = _graph(
            structure, tuple(leaves), self.batch, stage, self._truncation is not None, noise, self.precision, mesh
        )

    def compile(self):
        """Compiles the graph unless it exists, also in a thread ahead of time; returns the Sampler."""
        self._graph.compiled()
        return self

    def lower(self):
        """Returns what `jax.jit` calls the lowered form, a function of `arguments`; for measurements."""
        return self._graph.lower()

    def __call__(self, z, label=None, keys=None):
        """Makes images; returns before they are done.

        Args:
          z: [N, Z], N at most `batch`; in host memory or on devices.
          label: vectors [N, K] (`networks.labels.as_label` makes them), or None for zeros.
          keys: typed JAX keys [N] for random noise inputs, and only for those.

        Returns:
          uint8 [N, H, W, C] on the devices: the floats of `Generator.__call__` as `sampling.grid.to_uint8` has them.

        Raises:
          UserError: a shape does not fit.
        """
        return self.make(z, label, keys)[0]

    def make(self, z, label=None, keys=None):
        """As `__call__`, and says of each image whether all its values were finite before they became uint8.

        Returns:
          (uint8 [N, H, W, C], bool [N]), on the devices.
        """
        made = self._padded(z, label, keys)
        return made if len(z) == self.batch else tuple(x[: len(z)] for x in made)

    def stream(self, inputs):
        """Makes images batch after batch; a batch is fetched while the devices work on the next one.

        Args:
          inputs: an iterable of arguments for `__call__`: (z,), (z, label) or (z, label, keys).

        Yields:
          uint8 [N, H, W, C] in host memory, one for each of the inputs.
        """
        under_way = collections.deque()
        for arguments in inputs:
            images, _ = self._padded(*arguments)
            images.copy_to_host_async()
            under_way.append((images, len(arguments[0])))
            if len(under_way) > 1:
                yield _fetched(*under_way.popleft())
        for images, count in under_way:
            yield _fetched(images, count)

    @functools.cached_property
    def _placed(self):
        """(generator, truncation, alpha) on the devices."""
        truncation = self._truncation and (np.asarray(self._truncation[0], self._dtype), np.int32(self._truncation[1]))
        return jax.device_put((self._generator, truncation, np.asarray(self._alpha, self._dtype)), self._everywhere)

    def _padded(self, z, label=None, keys=None):
        """As `__call__`, filled up to `batch` with copies of the last image."""
        return self._graph.compiled()(*self.arguments(z, label, keys))

    def arguments(self, z, label=None, keys=None):
        """Returns what the compiled graph takes for a call with these arguments, on the devices; for measurements."""
        z = z if isinstance(z, jax.Array) else np.asarray(z)
        count, image = len(z), self._generator.config.image
        if z.shape[1:] != (self._generator.z_dim,) or not 1 <= count <= self.batch:
            raise UserError(f'z has shape {z.shape}; give [1 to {self.batch}, {self._generator.z_dim}]')
        label = np.zeros((count, image.label_dim)) if label is None else label
        if np.shape(label) != (count, image.label_dim):
            raise UserError(f'label has shape {np.shape(label)}; give vectors [{count}, {image.label_dim}]')
        if (keys is not None) != self._graph.needs_keys or (keys is not None and keys.shape != (count,)):
            raise UserError(f"keys: give [{count}] with noise='random', and none otherwise")
        rows = np.minimum(np.arange(self.batch), count - 1)
        # What is on a device stays there: fetching it would wait for all that the device has to do before.
        z, label = (x.astype(self._dtype) if isinstance(x, jax.Array) else np.array(x, self._dtype) for x in (z, label))
        given = [x if x is None or count == self.batch else x[rows] for x in (z, label, keys)]
        generator, truncation, alpha = self._placed
        return generator, *jax.device_put(given, self._cut), truncation, alpha


class _Graph:
    """A compiled function, made when it is first asked for; a thread that asks meanwhile waits for it."""

    def __init__(self, structure, leaves, batch, stage, truncates, noise, precision, mesh):
        self._lock, self._compiled, self.needs_keys = threading.Lock(), None, noise == 'random'
        self.lower = functools.partial(_lower, structure, leaves, batch, stage, truncates, noise, precision, mesh)
        self._options = compiler_options(mesh.devices.flat[0].platform)

    def compiled(self):
        """Returns the function of (generator, z, label, keys, truncation, alpha)."""
        with self._lock:
            if self._compiled is None:
                self._compiled = self.lower().compile(self._options)
            return self._compiled


_graph = functools.cache(_Graph)


def _lower(structure, leaves, batch, stage, truncates, noise, precision, mesh):
    cut, everywhere = PartitionSpec(_AXIS), PartitionSpec()
    generator = jax.tree.unflatten(structure, leaves)
    config, dtype = generator.config, generator.w_avg.dtype

    def argument(shape, dtype, spec):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))

    arguments = (
        jax.tree.map(lambda x: argument(x.shape, x.dtype, everywhere), generator),
        argument((batch, config.z_dim), dtype, cut),
        argument((batch, config.image.label_dim), dtype, cut),
        argument((batch,), jax.eval_shape(jax.random.key, 0).dtype, cut) if noise == 'random' else None,
        (argument((), dtype, everywhere), argument((), jnp.int32, everywhere)) if truncates else None,
        argument((), dtype, everywhere),
    )
    # Weights of double precision say that all is.
    activations = None if precision == 'float32' else activation_dtype(precision)
    # Each device runs the graph of one: nothing that the partitioner could exchange between them.
    mapped = jax.shard_map(
        functools.partial(_images, stage=stage, noise=noise, dtype=activations),
        mesh=mesh,
        in_specs=(everywhere, cut, cut, cut, everywhere, everywhere),
        out_specs=cut,
        check_vma=False,
    )
    with matmul_precision(precision):
        return jax.jit(mapped).lower(*arguments)


def _images(generator, z, label, keys, truncation, alpha, *, stage, noise, dtype):
    """Latents to uint8 images [N, H, W, C], and whether each was finite, bool [N]; see `Sampler`."""
    config, params = generator.config, generator.params
    w = map_latents(config, params, z, label)
    ws = broadcast_w(config, w) if truncation is None else generator.truncate(w, *truncation)
    inputs = generator.noise[: 2 * (stage + 1)] if noise == 'const' else ()
    if noise == 'random':
        drawn = jax.vmap(lambda key: draw_noise(config, key, 1, stage, ws.dtype))(keys)
        inputs = tuple(layer[:, 0] for layer in drawn)
    images = synthesize_images(config, params, ws, inputs, stage=stage, alpha=alpha, dtype=dtype)
    return to_uint8(images), jnp.all(jnp.isfinite(images), axis=(1, 2, 3))


def to_uint8(images):
    """What `sampling.grid.to_uint8` does, equal to the bit, for arrays on devices and in compiled functions."""
    # Clipping first changes nothing, but keeps compilers from merging product and sum, which would round once less.
    return (jnp.clip(images.astype(jnp.float32) * 127.5, -128, 127) + 128).astype(jnp.uint8)


def _fetched(images, count):
    return np.asarray(images)[:count]


def _checked_shape(generator, *, psi, cutoff, noise, lod):
    """(H, W, C) of the images; raises what `Generator.__call__` would."""

    def make(generator, z):
        return generator(z, psi=psi, cutoff=cutoff, noise=jax.random.key(0) if noise == 'random' else noise, lod=lod)

    return jax.eval_shape(make, generator, jax.ShapeDtypeStruct((1, generator.z_dim), generator.w_avg.dtype)).shape[1:]


def fitting_batch(shape, devices, count=None):
    """Returns how many images of a shape (H, W, C) suit devices at a time; no more than `count` and even, if given."""
    pixels, most = _CPU_BATCH if devices[0].platform == 'cpu' else _ACCELERATOR_BATCH
    batch = min(most, max(1, pixels // (shape[0] * shape[1]))) * len(devices)
    return batch if count is None else -(-count // -(-count // batch))
