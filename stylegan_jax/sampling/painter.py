"""From ws and noise inputs to uint8 images, in batches of one size: what figures and animations are drawn with.

`sampling.sampler.Sampler` is faster where all that varies is the latent; here layers may have styles and noise
of their own.
"""

import functools

import jax
import numpy as np

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import broadcast_w, draw_noise, map_latents, synthesize_images
from stylegan_jax.networks.labels import as_label
from stylegan_jax.runtime.platforms import activation_dtype, best_precision, compiler_options, matmul_precision
from stylegan_jax.sampling.latents import latents
from stylegan_jax.sampling.sampler import fitting_batch, to_uint8


class Painter:
    """A generator at one level of detail, for one class, on the first device.

    Attributes:
      generator: the Generator.
      config: its GeneratorConfig.
      stage: the last stage in use.
      num_layers: how many layers of the synthesis network are in use.
      shape: (H, W, C) of an image.
      batch: how many images are made at a time.
      dtype: of the weights.
    """

    def __init__(self, generator, *, label=None, lod=0.0, precision='float32', drawn=lambda count: None):
        """Compiles nothing yet.

        Args:
          generator: a Generator.
          label: a class, or None for none.
          lod: level of detail, see `Generator.synthesize`.
          precision: see `sampling.sampler.Sampler`.
          drawn: called with the number of images after each batch of them.

        Raises:
          UserError: there is no such class or level of detail.
        """
        device = jax.local_devices()[0]
        self.generator, self.config = generator, generator.config
        self.stage, self._alpha = stage_and_alpha(self.config.image, lod)
        self.num_layers = 2 * (self.stage + 1)
        self.shape = (*self.config.image.stage_shape(self.stage), self.config.image.channels)
        self._precision = best_precision(device) if precision == 'auto' else precision
        self.dtype = generator.w_avg.dtype
        self._label = np.asarray(as_label(None if label is None else [label], 1, generator.label_dim, self.dtype))
        self.batch, self._drawn = fitting_batch(self.shape, [device]), drawn
        self._options = compiler_options(device.platform)

    def w(self, z):
        """Maps latents [N, Z] to w [N, W]."""
        label = np.repeat(self._label, len(z), axis=0)
        with matmul_precision(self._precision):
            return np.asarray(_map(self.config, self.generator.params, np.asarray(z, self.dtype), label))

    def ws(self, seeds, psi=None, cutoff=None):
        """Returns the ws [N, L, W] of seeds.

        Args:
          seeds: numbers, see `sampling.latents.latents`.
          psi, cutoff: see `Generator.truncate`.

        Raises:
          UserError: psi is given, and the network is Progressive GAN's.
        """
        return self.ws_of_z(latents(seeds, self.generator.z_dim), psi, cutoff)

    def ws_of_z(self, z, psi=None, cutoff=None):
        """Returns the ws [N, L, W] of latents [N, Z]; see `ws`."""
        w = self.w(z)
        if not self.config.is_progan:
            return np.asarray(self.generator.truncate(w, psi, cutoff))
        if psi is not None:
            raise UserError(f'psi={psi:g}: a Progressive GAN generator has no truncation; leave it out')
        return np.asarray(broadcast_w(self.config, w))

    def batches(self, ws, noise='const'):
        """Makes images.

        Args:
          ws: [N, L, W].
          noise: 'const' (the stored inputs), 'none', typed JAX keys [N], or arrays [1 or N, h, w, 1], one a layer.

        Yields:
          uint8 [n, H, W, C] in host memory, a batch after the other, N in all.
        """
        under_way, done = None, 0
        for start in range(0, len(ws), self.batch):
            rows = np.minimum(np.arange(start, start + self.batch), len(ws) - 1)
            images = self._images(np.asarray(ws)[rows], self._noise(noise, rows, len(ws)))
            images.copy_to_host_async()
            if under_way is not None:  # fetched while the device works on the next one
                yield self._fetched(under_way, self.batch)
                done += self.batch
            under_way = images
        yield self._fetched(under_way, len(ws) - done)

    def images(self, ws, noise='const'):
        """Makes images, see `batches`; returns all of them, uint8 [N, H, W, C]."""
        return np.concatenate(list(self.batches(ws, noise)))

    def _fetched(self, images, count):
        images = np.asarray(images)[:count]
        self._drawn(count)
        return images

    def _images(self, ws, noise):
        dtype = None if self._precision == 'float32' else activation_dtype(self._precision)
        draw = _compiled(tuple(self._options.items()))
        with matmul_precision(self._precision):
            return draw(self.config, self.generator.params, ws, noise, self.stage, dtype, self._alpha)

    def _noise(self, noise, rows, count):
        """The noise inputs of a batch, whatever form they were given in."""
        if not self.config.use_noise or (isinstance(noise, str) and noise == 'none'):
            return ()
        if isinstance(noise, str):
            return self.generator.noise[: self.num_layers]
        if isinstance(noise, jax.Array):
            return _drawn_noise(self.config, noise[rows], self.stage, self.dtype)
        return tuple(array if len(array) == 1 and count > 1 else array[rows] for array in noise[: self.num_layers])


def noise_keys(seed, count):
    """Returns keys [count] for noise inputs; each depends on the seed and its own number alone."""
    key = jax.random.key(np.uint32(seed))
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(np.arange(count, dtype=np.uint32))


_map = jax.jit(map_latents, static_argnums=0)


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def _drawn_noise(config, keys, stage, dtype):
    """Noise inputs [N, h, w, 1] a layer, of keys [N]."""
    drawn = jax.vmap(lambda key: draw_noise(config, key, 1, stage, dtype))(keys)
    return tuple(layer[:, 0] for layer in drawn)


@functools.cache
def _compiled(options):
    def draw(config, params, ws, noise, stage, dtype, alpha):
        return to_uint8(synthesize_images(config, params, ws, noise, stage=stage, alpha=alpha, dtype=dtype))

    return jax.jit(draw, static_argnums=(0, 4, 5), compiler_options=dict(options))
