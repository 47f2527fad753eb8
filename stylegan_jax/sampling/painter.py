"""From ws and noise inputs to uint8 images: for figures and films, whose layers have styles and noise of their own.

Where only latents vary, `sampling.sampler.Sampler` is faster.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import jax
import numpy as np

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import Generator, broadcast_w, map_latents, synthesize_images
from stylegan_jax.runtime.platforms import matmul_precision
from stylegan_jax.sampling.engine import (
    chosen_precision,
    fetched,
    fitting_batch,
    kept_program,
    noise_of_keys,
    rows_of_batch,
    synthesis_dtype,
    to_uint8_on_device,
)
from stylegan_jax.sampling.latents import draw_keys, latents
from stylegan_jax.sampling.seed_labels import SeedLabels, same_label

# 'const' (the stored inputs), 'none', typed JAX keys [N], or arrays [1 or N, h, w, 1], one a layer.
Noise: TypeAlias = str | jax.Array | Sequence[jax.Array | np.ndarray]


class Painter:
    """A generator at one level of detail, with a label for each seed, on the first device.

    A figure has few images, and a second device would be given copies of the last one for most of them.

    Attributes:
      generator: the Generator.
      labels: the SeedLabels.
      config: its GeneratorConfig.
      stage: the last stage in use.
      num_layers: how many layers of the synthesis network are in use.
      shape: (H, W, C) of an image.
      batch: how many images are made at a time.
      dtype: of the weights.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        label: int | SeedLabels | None = None,
        lod: float = 0.0,
        precision: str = 'float32',
        drawn: Callable[[int], object] = lambda count: None,
    ):
        """Compiles nothing yet.

        Args:
          generator: a Generator.
          label: a class, the SeedLabels of its seeds, or None for none.
          lod: level of detail, see `Generator.synthesize`.
          precision: see `sampling.sampler.Sampler`.
          drawn: called with the number of images after each batch of them.

        Raises:
          UserError: there is no such class or level of detail.
        """
        devices = (jax.local_devices()[0],)
        self.generator, self.config = generator, generator.config
        self.stage, alpha = stage_and_alpha(self.config.image, lod)
        self.num_layers = 2 * (self.stage + 1)
        self.shape = (*self.config.image.stage_shape(self.stage), self.config.image.channels)
        self._precision = chosen_precision(precision, devices[0])
        self.dtype = generator.w_avg.dtype
        self.labels = label if isinstance(label, SeedLabels) else same_label(generator, label)
        self.batch, self._drawn = fitting_batch(self.shape, devices), drawn
        self._alpha = np.asarray(alpha, self.dtype)
        self._program = kept_program(
            _draw,
            devices,
            self._precision,
            config=self.config,
            stage=self.stage,
            dtype=synthesis_dtype(self._precision),
        )

    def w(self, z: np.ndarray, label: np.ndarray | None = None) -> np.ndarray:
        """Maps latents [N, Z], with labels [N, K] or those of the seeds from 0 on, to w [N, W]."""
        label = self.labels(range(len(z))) if label is None else np.asarray(label, self.dtype)
        with matmul_precision(self._precision):
            return np.asarray(_map(self.config, self.generator.params, np.asarray(z, self.dtype), label))

    def ws(self, seeds: Sequence[int], psi: float | None = None, cutoff: int | None = None) -> np.ndarray:
        """Returns the ws [N, L, W] of seeds, each with its own label.

        Args:
          seeds: numbers, see `sampling.latents.latents`.
          psi: see `Generator.truncate`.
          cutoff: see `Generator.truncate`.

        Raises:
          UserError: psi is given, and the network is Progressive GAN's.
        """
        w = self.w(latents(seeds, self.generator.z_dim), self.labels(seeds))
        return self._truncated(w, psi, cutoff, None if psi == 1 else self.labels.centers(seeds))

    def ws_of_z(
        self,
        z: np.ndarray,
        psi: float | None = None,
        cutoff: int | None = None,
        *,
        label: np.ndarray | None = None,
        centers: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the ws [N, L, W] of latents [N, Z]; see `ws`.

        Args:
          z: [N, Z].
          psi, cutoff: see `ws`.
          label: [N, K]; None for the labels of the seeds from 0 on, whose centers are then taken as well.
          centers: the w that truncation goes to, [N, W]; None for the average w of the network.
        """
        if label is None and psi != 1:
            centers = self.labels.centers(range(len(z)))
        return self._truncated(self.w(z, label), psi, cutoff, centers)

    def _truncated(self, w, psi, cutoff, centers):
        if not self.config.is_progan:
            return np.asarray(self.generator.truncate(w, psi, cutoff, centers))
        if psi is not None:
            raise UserError(
                'a Progressive GAN generator has no truncation', field='psi', value=f'{psi:g}', remedy='leave it out'
            )
        return np.asarray(broadcast_w(self.config, w))

    def batches(self, ws: np.ndarray, noise: Noise = 'const') -> Iterator[np.ndarray]:
        """Makes images.

        Args:
          ws: [N, L, W].
          noise: 'const' (the stored inputs), 'none', typed JAX keys [N], or arrays [1 or N, h, w, 1], one a layer.

        Yields:
          uint8 [n, H, W, C] in host memory, a batch after the other, N in all.
        """
        for images in fetched(self._started(np.asarray(ws), noise)):
            self._drawn(len(images))
            yield images

    def images(self, ws: np.ndarray, noise: Noise = 'const') -> np.ndarray:
        """Makes images, see `batches`; returns all of them, uint8 [N, H, W, C]."""
        return np.concatenate(list(self.batches(ws, noise)))

    def _started(self, ws, noise):
        """Yields (images of a full batch that the device works on, how many of them are wanted)."""
        for start in range(0, len(ws), self.batch):
            rows = rows_of_batch(start, self.batch, len(ws))
            shared, own = self._noise_inputs(noise, rows, len(ws))
            network = self._program.place((self._params, self._alpha, shared))
            yield self._program(network, (ws[rows], own)), min(self.batch, len(ws) - start)

    @functools.cached_property
    def _params(self):
        return self._program.place(self.generator.params)

    def _noise_inputs(self, noise, rows, count):
        """Noise inputs of the batch with these rows of `count`, as (those that all images share, those of each image).

        Either holds one entry a layer, which is None where the layer's input is in the other one. Both are empty where
        there is no noise.
        """
        if not self.config.use_noise or (isinstance(noise, str) and noise == 'none'):
            return (), ()
        if isinstance(noise, jax.Array):
            own = _noise_of_keys(self.config, noise[rows], self.stage, self.dtype)
            return (None,) * len(own), own
        if isinstance(noise, str):
            return self.generator.noise[: self.num_layers], (None,) * self.num_layers
        # Where there is one image in all, its noise counts as its own, so that a film whose last batch has one frame
        # draws it with the program of the batches before.
        arrays = noise[: self.num_layers]
        is_shared = [len(array) == 1 and count > 1 for array in arrays]
        shared = tuple(array if is_one else None for array, is_one in zip(arrays, is_shared))
        return shared, tuple(None if is_one else array[rows] for array, is_one in zip(arrays, is_shared))


def noise_keys(seed: int, count: int) -> jax.Array:
    """Returns keys [count] for noise inputs; each depends on the seed and its own number alone."""
    return draw_keys(jax.random.key(np.uint32(seed)), np.arange(count, dtype=np.uint32))


_map = jax.jit(map_latents, static_argnums=0)
_noise_of_keys = jax.jit(noise_of_keys, static_argnums=(0, 2, 3))


def _draw(network, batch, *, config, stage, dtype):
    """From ws [N, L, W] and noise inputs to uint8 images [N, H, W, C]; see `Painter._noise_inputs` for the noise."""
    (params, alpha, shared), (ws, own) = network, batch
    noise = tuple(ours if mine is None else mine for ours, mine in zip(shared, own))
    return to_uint8_on_device(synthesize_images(config, params, ws, noise, stage=stage, alpha=alpha, dtype=dtype))
