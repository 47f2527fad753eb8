"""The samples that metrics are measured on: real images, generated ones, and steps along paths in latent space.

Each sample is a function of the seed and of its number alone, so values do not depend on the batch or on the devices
but for rounding.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.data.pipeline import random_labels
from stylegan_jax.errors import UserError
from stylegan_jax.metrics import path_length
from stylegan_jax.networks.generator import broadcast_w, map_latents, synthesize_images
from stylegan_jax.runtime.on_devices import OnDevices
from stylegan_jax.sampling.engine import noise_of_keys, rows_of_batch
from stylegan_jax.sampling.latents import draw_keys, draw_normal, draw_uniform
from stylegan_jax.sampling.sampler import Sampler

# Purposes keep streams of random numbers apart that share a seed.
_LATENTS, _NOISE, _PATH_ENDS, _PATH_PLACES, _PATH_NOISE, _MIRRORED = range(6)


class Reals:
    """Images of a data set in its own order, at full size.

    Attributes:
      identity: dict for JSON of what they are.
    """

    def __init__(self, dataset, *, mirror, seed, batch):
        """Names them.

        Args:
          dataset: a `data.dataset.Dataset`.
          mirror: whether each is mirrored with probability one half, as in training.
          seed: of that.
          batch: images at a time.
        """
        self._dataset, self._batch = dataset, batch
        self._mirrored = np.random.default_rng([_MIRRORED, seed]).random(len(dataset)) < 0.5 if mirror else None
        self.identity = {
            'source': 'reals',
            'data': dataset.signature,
            'shape': dataset.image.shape,
            'mirror': mirror,
            'seed': seed if mirror else None,
        }

    def batches(self, start):
        """Yields uint8 [batch, H, W, C] from an image on; the last one is filled up with its last image."""
        count, stage = len(self._dataset), self._dataset.image.num_stages - 1
        for first in range(start, count, self._batch):
            indices = rows_of_batch(first, self._batch, count)
            images = self._dataset.images(indices, stage)
            if self._mirrored is not None:
                images = np.where(self._mirrored[indices, None, None, None], images[:, :, ::-1], images)
            yield images


class Fakes:
    """Generated images, without end.

    Attributes:
      identity: dict for JSON of what they are.
      batch: images at a time.
    """

    def __init__(self, generator, digest, *, dataset, lod, psi, seed, batch, devices, precision):
        """Compiles nothing yet.

        Args:
          generator: a Generator.
          digest: what tells it from others.
          dataset: where labels are drawn from, for a network that has some; else None will do.
          lod: level of detail; smaller images are enlarged by repeating pixels, as the official networks do.
          psi: truncation; 1 is none.
          seed: of latents, labels and noise.
          batch: images at a time over all devices; None for what suits them.
          devices: a tuple of devices of this process.
          precision: see `sampling.sampler.Sampler`.

        Raises:
          UserError: labels are needed and there are none.
        """
        config = generator.config
        if config.image.label_dim and (dataset is None or dataset.labels.shape[1] != config.image.label_dim):
            raise UserError(
                f'this network has labels of {config.image.label_dim} values, which are drawn from those '
                'of the data set: give it with --data'
            )
        noise = 'random' if config.use_noise else 'const'
        self._sampler = Sampler(
            generator,
            lod=lod,
            psi=None if config.is_progan else psi,
            noise=noise,
            batch=batch,
            devices=devices,
            precision=precision,
        )
        self.batch, self._noise = self._sampler.batch, noise == 'random'
        self._factor = config.image.shape[0] // self._sampler.shape[0]
        self._dataset, self._generator, self._seed = dataset, generator, seed
        self._map = OnDevices(
            lambda params, z, label: map_latents(config, params, z, label), generator.params, devices, precision
        )
        labels = {'labels': dataset.signature} if config.image.label_dim else {}
        self.identity = {
            'source': 'fakes',
            'network': digest,
            'lod': lod,
            'seed': seed,
            'psi': None if config.is_progan else psi,
            'noise': noise,
            'sample_precision': self._sampler.precision,
            **labels,
        }

    def batches(self, start):
        """Yields uint8 [batch, H, W, C] at full size, on the devices, from an image on.

        Raises:
          UserError: an image is not finite.
        """
        key = self._key(_NOISE)
        for numbers, z, label in self.latents(start):
            images, finite = self._sampler.make(z, label, draw_keys(key, numbers) if self._noise else None)
            _check_finite(numbers, finite)
            yield _repeated(images, self._factor)

    def latents(self, start):
        """Yields (numbers [batch], z [batch, Z], label [batch, K]) from a sample on."""
        key, config = self._key(_LATENTS), self._generator.config
        while True:
            numbers = np.arange(start, start + self.batch)
            label = np.zeros((self.batch, 0), np.float32)
            if config.image.label_dim:
                label = random_labels(self._dataset, self._seed, start, self.batch)
            yield numbers, draw_normal(key, numbers, config.z_dim), label
            start += self.batch

    def map(self, z, label):
        """Maps latents [batch, Z] to w [batch, W], on the devices."""
        return self._map(z, label)

    def _key(self, purpose):
        return jax.random.fold_in(jax.random.key(self._seed), purpose)


class Steps:
    """Distances over small steps on paths between random latents, without end; always float32 with exact products."""

    def __init__(self, generator, digest, perceptual, *, space, ends, crop, lod, seed, batch, devices):
        """Compiles nothing yet.

        Args:
          generator: a Generator.
          digest: what tells it from others.
          perceptual: a network with `distance(images, images)` and `digest`.
          space: 'z' or 'w'.
          ends: whether steps start at one end of the paths, rather than anywhere on them.
          crop: see `metrics.path_length.distances`.
          lod, seed, devices: see `Fakes`.
          batch: steps at a time, a multiple of the devices.

        Raises:
          UserError: the network has no such space.
        """
        config = generator.config
        if config.is_progan and space == 'w':
            raise UserError('ppl_w: a Progressive GAN generator has no intermediate latents; ask for ppl_z')
        stage, alpha = stage_and_alpha(config.image, lod)
        factor = config.image.shape[0] // config.image.stage_shape(stage)[0]

        def distances(networks, z, t, keys):
            params, perceptual = networks
            # Fresh for each step, and the same in both images of it.
            noise = tuple(jnp.repeat(layer, 2, axis=0) for layer in noise_of_keys(config, keys, stage))

            def mapped(z):
                return map_latents(config, params, z, jnp.zeros((len(z), config.image.label_dim)))

            def synthesize(w):
                images = synthesize_images(config, params, broadcast_w(config, w), noise, stage=stage, alpha=alpha)
                return _repeated(images, factor)

            return {
                'distances': path_length.distances(
                    z,
                    t,
                    space=space,
                    map_latents=mapped,
                    synthesize=synthesize,
                    perceptual=perceptual.distance,
                    crop=crop,
                )[:, None]
            }

        self._run = OnDevices(distances, (generator.params, perceptual), devices, 'float32')
        self._seed, self._batch, self._ends, self._z_dim = seed, batch, ends, config.z_dim
        self.identity = {
            'source': 'steps',
            'network': digest,
            'lod': lod,
            'seed': seed,
            'space': space,
            'ends': ends,
            'crop': crop,
            'noise': 'random' if config.use_noise else 'const',
            'feature_network': perceptual.name,
            'feature_digest': perceptual.digest,
        }

    def distances(self, start):
        """Yields {'distances': [batch, 1]} from a step on."""
        keys = [
            jax.random.fold_in(jax.random.key(self._seed), purpose)
            for purpose in (_PATH_ENDS, _PATH_PLACES, _PATH_NOISE)
        ]
        while True:
            numbers = np.arange(start, start + self._batch)
            z = draw_normal(keys[0], np.stack([2 * numbers, 2 * numbers + 1], axis=1).reshape(-1), self._z_dim)
            t = draw_uniform(keys[1], numbers) * (0 if self._ends else 1)
            yield self._run(z, t, draw_keys(keys[2], numbers))
            start += self._batch


@functools.partial(jax.jit, static_argnums=1)
def _repeated(images, factor):
    """Repeats each pixel in both directions."""
    return jnp.repeat(jnp.repeat(images, factor, axis=1), factor, axis=2)


def _check_finite(numbers, finite):
    finite = np.asarray(finite)
    if not finite.all():
        raise UserError(
            f'the network makes images with values that are not finite (sample {numbers[~finite][0]} is '
            'the first); its weights are damaged'
        )
