"""Latents in, uint8 images out, at speed: mapping, truncation, synthesis and conversion are one program.

Commands, sample grids and metrics draw with this. `Generator` itself returns images as floats and takes inputs that are
unusual; where layers have styles and noise of their own, `sampling.painter.Painter` draws.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.errors import UserError, require
from stylegan_jax.networks.generator import Generator, broadcast_w, map_latents, synthesize_images
from stylegan_jax.sampling.engine import (
    PRECISIONS,
    chosen_precision,
    fetched,
    fitting_batch,
    kept_program,
    noise_of_keys,
    rows_of_batch,
    synthesis_dtype,
    to_uint8_on_device,
)

NOISES = 'const', 'random', 'none'


class Sampler:
    """Makes images of one kind with one generator: the options are fixed, the latents come with each call.

    Programs are kept for the life of the process, so another Sampler of the same kind (the weights, psi, the cutoff and
    the fade weight may differ) compiles nothing. An image depends on its own latent, label and key alone, not on the
    others of its batch nor on the number of devices, but for rounding.

    Attributes:
      batch: how many images are made at a time, over all devices.
      shape: (H, W, C) of an image.
      precision: the one in use, also where 'auto' was asked for.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        lod: float = 0.0,
        psi: float | None = None,
        cutoff: int | None = None,
        noise: str = 'const',
        batch: int | None = None,
        count: int | None = None,
        devices: Sequence[jax.Device] | None = None,
        precision: str = 'float32',
    ):
        """Places nothing on devices and compiles nothing yet.

        Args:
          generator: a Generator; one of `jax.ShapeDtypeStruct`s is enough for `compile`.
          lod: see `Generator.synthesize`.
          psi: see `Generator.truncate`.
          cutoff: see `Generator.truncate`.
          noise: 'const' (the stored inputs), 'random' (from the key of each image) or 'none'.
          batch: how many images at a time, rounded up to a multiple of the devices; None for what suits them.
          count: how many images there will be in all, if that is known: batches are then no larger, and even.
          devices: devices of this process; None for all.
          precision: 'float32' (exact products), 'tf32' (as fast as the chip has them for float32), 'bfloat16' or
            'float16' (activations), or 'auto', what suits the device.

        Raises:
          UserError: the network has no such thing, or the lod is outside its range.
        """
        require(noise in NOISES, 'noise', noise, 'choose ' + ', '.join(map(repr, NOISES)))
        require(precision in PRECISIONS, 'precision', precision, 'choose ' + ', '.join(map(repr, PRECISIONS)))
        config, devices = generator.config, tuple(devices or jax.local_devices())
        shapes = jax.eval_shape(lambda generator: generator, generator)
        self.shape = _checked_shape(shapes, psi=psi, cutoff=cutoff, noise=noise, lod=lod)
        self.batch = -(-(batch or fitting_batch(self.shape, devices, count)) // len(devices)) * len(devices)
        self.precision = chosen_precision(precision, devices[0])
        self._generator, self._shapes, self._dtype = generator, shapes, shapes.w_avg.dtype
        stage, alpha = stage_and_alpha(config.image, lod)
        psi = config.truncation_psi if psi is None else psi
        cutoff = config.truncation_cutoff if cutoff is None else cutoff
        truncation = None
        if not config.is_progan and psi is not None and cutoff is not None:
            truncation = np.asarray(psi, self._dtype), np.int32(cutoff)
        # Arrays, and so arguments of the program: another value compiles nothing.
        self._settings = truncation, np.asarray(alpha, self._dtype)
        self._noise = noise
        self._program = kept_program(
            _draw, devices, self.precision, stage=stage, noise=noise, dtype=synthesis_dtype(self.precision)
        )

    def compile(self) -> 'Sampler':
        """Compiles the program unless it exists, also in a thread ahead of time; returns the Sampler."""
        self._program.compile(*self._argument_shapes())
        return self

    def lower(self) -> jax.stages.Lowered:
        """Returns what `jax.jit` calls the lowered form, a function of `arguments`; for measurements."""
        return self._program.lower(*self._argument_shapes())

    def __call__(
        self,
        z: jax.Array | np.ndarray,
        label: jax.Array | np.ndarray | None = None,
        keys: jax.Array | None = None,
        centers: jax.Array | np.ndarray | None = None,
    ) -> jax.Array:
        """Makes images; returns before they are done.

        Args:
          z: [N, Z], N at most `batch`; in host memory or on devices.
          label: vectors [N, K] (`networks.labels.as_label` makes them), or None for zeros.
          keys: typed JAX keys [N] for random noise inputs, and only for those.
          centers: the w that truncation pulls each image to, [N, W]; None for the average w of the network.

        Returns:
          uint8 [N, H, W, C] on the devices: the floats of `Generator.__call__` as `sampling.grid.to_uint8` has them.

        Raises:
          UserError: a shape does not fit.
        """
        return self.make(z, label, keys, centers)[0]

    def make(
        self,
        z: jax.Array | np.ndarray,
        label: jax.Array | np.ndarray | None = None,
        keys: jax.Array | None = None,
        centers: jax.Array | np.ndarray | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Makes images as `__call__` does, and says of each whether it was finite before it became uint8.

        Returns:
          (uint8 [N, H, W, C], bool [N]), on the devices.
        """
        made = self._padded(z, label, keys, centers)
        return made if len(z) == self.batch else tuple(x[: len(z)] for x in made)

    def stream(self, inputs: Iterable[Sequence[Any]]) -> Iterator[np.ndarray]:
        """Makes images batch after batch; a batch is fetched while the devices work on the next one.

        Args:
          inputs: an iterable of arguments for `__call__`: (z,), (z, label), (z, label, keys) or (z, label, keys,
            centers).

        Yields:
          uint8 [N, H, W, C] in host memory, one for each of the inputs.
        """
        return fetched((self._padded(*arguments)[0], len(arguments[0])) for arguments in inputs)

    def arguments(
        self,
        z: jax.Array | np.ndarray,
        label: jax.Array | np.ndarray | None = None,
        keys: jax.Array | None = None,
        centers: jax.Array | np.ndarray | None = None,
    ) -> tuple[Any, Any]:
        """Returns what the compiled program takes for a call with these arguments, on the devices; for measurements."""
        return self._placed, self._program.split(self._full_batch(z, label, keys, centers))

    @functools.cached_property
    def _placed(self):
        return self._program.place((self._generator, *self._settings))

    def _padded(self, z, label=None, keys=None, centers=None):
        """What `make` returns, filled up to `batch` with copies of the last image."""
        return self._program(self._placed, self._full_batch(z, label, keys, centers))

    def _full_batch(self, z, label, keys, centers):
        z = z if isinstance(z, jax.Array) else np.asarray(z)
        count, image = len(z), self._generator.config.image
        if z.shape[1:] != (self._generator.z_dim,) or not 1 <= count <= self.batch:
            raise UserError(f'z has shape {z.shape}; give [1 to {self.batch}, {self._generator.z_dim}]')
        label = np.zeros((count, image.label_dim)) if label is None else label
        if np.shape(label) != (count, image.label_dim):
            raise UserError(f'label has shape {np.shape(label)}; give vectors [{count}, {image.label_dim}]')
        if (keys is not None) != (self._noise == 'random') or (keys is not None and keys.shape != (count,)):
            raise UserError(f"keys: give [{count}] with noise='random', and none otherwise")
        if centers is not None and np.shape(centers) != (count, self._shapes.w_avg.shape[0]):
            raise UserError(f'centers have shape {np.shape(centers)}; give [{count}, {self._shapes.w_avg.shape[0]}]')
        # What is on a device stays there: fetching it would wait for all that the device has to do before.
        z, label, centers = (
            x if x is None else x.astype(self._dtype) if isinstance(x, jax.Array) else np.array(x, self._dtype)
            for x in (z, label, centers)
        )
        rows = rows_of_batch(0, self.batch, count)
        return tuple(x if x is None or count == self.batch else x[rows] for x in (z, label, keys, centers))

    def _argument_shapes(self):
        """What `arguments` returns, as shapes and types alone; weights are not needed for it."""
        config, array = self._generator.config, jax.ShapeDtypeStruct
        keys = array((self.batch,), jax.eval_shape(jax.random.key, 0).dtype) if self._noise == 'random' else None
        z = array((self.batch, config.z_dim), self._dtype)
        label = array((self.batch, config.image.label_dim), self._dtype)
        return (self._shapes, *self._settings), (z, label, keys, None)


def _draw(network, batch, *, stage, noise, dtype):
    """Latents to uint8 images [N, H, W, C], and whether each was finite, bool [N]; see `Sampler`."""
    (generator, truncation, alpha), (z, label, keys, centers) = network, batch
    config, params = generator.config, generator.params
    w = map_latents(config, params, z, label)
    ws = broadcast_w(config, w) if truncation is None else generator.truncate(w, *truncation, centers)
    inputs = generator.noise[: 2 * (stage + 1)] if noise == 'const' else ()  # two layers a stage
    if noise == 'random':
        inputs = noise_of_keys(config, keys, stage, ws.dtype)
    images = synthesize_images(config, params, ws, inputs, stage=stage, alpha=alpha, dtype=dtype)
    return to_uint8_on_device(images), jnp.all(jnp.isfinite(images), axis=(1, 2, 3))


def _checked_shape(generator, *, psi, cutoff, noise, lod):
    """(H, W, C) of the images; raises what `Generator.__call__` would."""

    def make(generator, z):
        return generator(z, psi=psi, cutoff=cutoff, noise=jax.random.key(0) if noise == 'random' else noise, lod=lod)

    return jax.eval_shape(make, generator, jax.ShapeDtypeStruct((1, generator.z_dim), generator.w_avg.dtype)).shape[1:]
