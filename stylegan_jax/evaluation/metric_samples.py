"""The samples that metrics are measured on: real images, generated ones, and steps along paths in latent space.

Each sample is a function of the seed and of its number alone, so values do not depend on the batch or on the devices
but for rounding.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.data.pipeline import random_labels
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks.arrays import digest
from stylegan_jax.metrics import path_length
from stylegan_jax.networks.generator import Generator, broadcast_w, map_latents, synthesize_images
from stylegan_jax.runtime.on_devices import OnDevices
from stylegan_jax.sampling.engine import noise_of_keys, rows_of_batch
from stylegan_jax.sampling.latents import draw_keys, draw_normal, draw_uniform
from stylegan_jax.sampling.sampler import Sampler
from stylegan_jax.sampling.seed_labels import SeedLabels, labels_in_turn

# Folded into the key of the seed, so that random numbers for different purposes of metrics are independent. They are
# not independent of those of a training with the same seed, since JAX splits a key by folding in 0, 1, ... as well; no
# metric compares the two.
_LATENTS, _NOISE, _PATH_ENDS, _PATH_PLACES, _PATH_NOISE, _MIRRORED = range(6)


class Reals:
    """Images of a data set in its own order, at full size.

    Attributes:
      identity: dict for JSON of all that the images depend on, by which stored results are found again.
    """

    def __init__(self, dataset: Dataset, *, mirror: bool, seed: int, batch: int):
        """Reads no image yet.

        Args:
          dataset: a `data.dataset.Dataset`.
          mirror: whether each image is mirrored with probability one half, as in training.
          seed: decides which images are mirrored.
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

    def batches(self, start: int) -> Iterator[np.ndarray]:
        """Yields uint8 [batch, H, W, C], from the image with the number `start` on.

        The last batch is filled up with copies of the last image.
        """
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
      identity: dict for JSON of all that the images depend on.
      batch: images at a time.
    """

    def __init__(
        self,
        generator: Generator,
        digest: str,
        *,
        dataset: Dataset | None,
        lod: float,
        psi: float | None,
        seed: int,
        batch: int | None,
        devices: tuple[jax.Device, ...],
        precision: str,
        labels: SeedLabels | None = None,
    ):
        """Compiles nothing yet.

        Args:
          generator: a Generator.
          digest: identifies the generator's weights.
          dataset: where labels are drawn from; may be None for a network without labels.
          lod: level of detail; smaller images are enlarged by repeating pixels, as the official networks do.
          psi: truncation; 1 is none.
          seed: of latents, labels and noise.
          batch: images at a time over all devices; None for what suits them.
          devices: a tuple of devices of this process.
          precision: see `sampling.sampler.Sampler`.
          labels: those of the samples by their numbers; None for labels that are drawn from the data set.

        Raises:
          UserError: labels are needed and there are none.
        """
        config = generator.config
        if labels is None:
            _check_labels(config.image.label_dim, dataset)
        psi, noise = None if config.is_progan else psi, 'random' if config.use_noise else 'const'
        self._sampler = Sampler(
            generator, lod=lod, psi=psi, noise=noise, batch=batch, devices=devices, precision=precision
        )
        self.batch, self._noise = self._sampler.batch, noise == 'random'
        self._factor = config.image.shape[0] // self._sampler.shape[0]
        self._generator, self._seed = generator, seed
        # The weights of synthesis are not needed here, and the sampler has placed them already.
        mapping = {'mapping': generator.params['mapping']}
        self._map = OnDevices(
            lambda params, z, label: map_latents(config, params, z, label), mapping, devices, precision
        )
        self._labels = labels or _drawn_labels(config.image.label_dim, dataset, seed)
        self._centers = labels.centers if labels and labels.own_average and psi not in (None, 1) else None
        self.identity = {
            'source': 'fakes',
            'network': digest,
            'lod': lod,
            'seed': seed,
            'psi': psi,
            'noise': noise,
            'sample_precision': self._sampler.precision,
            **identity_of_labels(config.image.label_dim, labels, dataset),
            **({'truncates_to': 'the average of each label'} if self._centers else {}),
        }

    def batches(self, start: int) -> Iterator[jax.Array]:
        """Yields uint8 [batch, H, W, C] at full size, on the devices, from the image with the number `start` on.

        Raises:
          UserError: an image is not finite.
        """
        key = self._key(_NOISE)
        for numbers, z, label in self.latents(start):
            keys = draw_keys(key, numbers) if self._noise else None
            images, finite = self._sampler.make(z, label, keys, self._centers and self._centers(numbers))
            _check_finite(numbers, finite)
            yield _repeated(images, self._factor)

    def latents(self, start: int) -> Iterator[tuple[np.ndarray, jax.Array, np.ndarray]]:
        """Yields (numbers [batch], z [batch, Z], label [batch, K]) from the sample with the number `start` on."""
        key, config = self._key(_LATENTS), self._generator.config
        while True:
            numbers = np.arange(start, start + self.batch)
            yield numbers, draw_normal(key, numbers, config.z_dim), self._labels(numbers)
            start += self.batch

    def map(self, z: jax.Array, label: np.ndarray) -> jax.Array:
        """Maps latents [batch, Z] to w [batch, W], on the devices."""
        return self._map(z, label)

    def _key(self, purpose):
        return jax.random.fold_in(jax.random.key(self._seed), purpose)


class Steps:
    """Perceptual distances over small steps on paths between random latents, without end (Section 4.1).

    They are always computed in float32 with exact products, since a step changes images by little more than rounding.

    Attributes:
      identity: dict for JSON of all that the distances depend on.
    """

    def __init__(
        self,
        generator: Generator,
        digest: str,
        perceptual: Any,
        *,
        space: str,
        ends: bool,
        crop: bool,
        lod: float,
        seed: int,
        batch: int,
        devices: tuple[jax.Device, ...],
        dataset: Dataset | None = None,
        labels: SeedLabels | None = None,
    ):
        """Compiles nothing yet.

        Args:
          generator: a Generator.
          digest: identifies the generator's weights.
          perceptual: a network with `distance(images, images)`, `name` and `digest`, such as LPIPS.
          space: 'z' or 'w'.
          ends: whether steps start at one end of the paths, rather than anywhere on them.
          crop: see `metrics.path_length.distances`.
          lod: see `Fakes`.
          seed: of latents, places on the paths and noise.
          batch: steps at a time, a multiple of the devices.
          devices: devices of this process.
          dataset: where the labels of paths are drawn from, one for both ends of a path; None, or a data set without
            such labels, for all labels of the network in turn.
          labels: those of the paths by their numbers, in the place of all these; see `Fakes`.

        Raises:
          UserError: the network has no such space.
        """
        config = generator.config
        if config.is_progan and space == 'w':
            raise UserError('ppl_w: a Progressive GAN generator has no intermediate latents; ask for ppl_z')
        stage, alpha = stage_and_alpha(config.image, lod)
        distances = functools.partial(_distances, config=config, stage=stage, alpha=alpha, space=space, crop=crop)
        self._run = OnDevices(distances, (generator.params, perceptual), devices, 'float32')
        self._seed, self._batch, self._ends, self._z_dim = seed, batch, ends, config.z_dim
        self._labels, labels = labels_of_paths(generator, dataset, labels, seed)
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
            **identity_of_labels(config.image.label_dim, labels, dataset),
        }

    def distances(self, start: int) -> Iterator[dict[str, jax.Array]]:
        """Yields {'distances': [batch, 1]} from the step with the number `start` on."""
        keys = [
            jax.random.fold_in(jax.random.key(self._seed), purpose)
            for purpose in (_PATH_ENDS, _PATH_PLACES, _PATH_NOISE)
        ]
        while True:
            numbers = np.arange(start, start + self._batch)
            # Rows 2i and 2i + 1 are the ends of path i, so that a device gets both.
            z = draw_normal(keys[0], np.stack([2 * numbers, 2 * numbers + 1], axis=1).reshape(-1), self._z_dim)
            t = draw_uniform(keys[1], numbers) * (0 if self._ends else 1)
            yield self._run(z, t, draw_keys(keys[2], numbers), self._labels(numbers))
            start += self._batch


def _distances(networks, z, t, keys, label, *, config, stage, alpha, space, crop):
    """The function that devices run for `Steps`: {'distances': [n, 1]} of steps at t [n] on paths between z [2n, Z].

    Both ends of a path have the same label [n, K].
    """
    params, perceptual = networks
    # Fresh for each step, and the same in both images of it.
    noise = tuple(jnp.repeat(layer, 2, axis=0) for layer in noise_of_keys(config, keys, stage))
    factor = config.image.shape[0] // config.image.stage_shape(stage)[0]

    def mapped(z):
        return map_latents(config, params, z, jnp.repeat(label, 2, axis=0))

    def synthesize(w):
        images = synthesize_images(config, params, broadcast_w(config, w), noise, stage=stage, alpha=alpha)
        return _repeated(images, factor)

    found = path_length.distances(
        z, t, space=space, map_latents=mapped, synthesize=synthesize, perceptual=perceptual.distance, crop=crop
    )
    return {'distances': found[:, None]}


def _drawn_labels(label_dim, dataset, seed):
    """Returns a function of numbers of samples, which follow one another, that draws labels from a data set."""

    def drawn(numbers):
        if not label_dim:
            return np.zeros((len(numbers), 0), np.float32)
        return random_labels(dataset, seed, int(numbers[0]), len(numbers))

    return drawn


def labels_of_paths(
    generator: Generator, dataset: Dataset | None, labels: SeedLabels | None, seed: int
) -> tuple[Callable[[np.ndarray], np.ndarray], SeedLabels | None]:
    """Chooses the labels of paths, one for both ends of a path; arguments are those of `Steps`.

    Returns:
      (function of the numbers of paths, which follow one another, that returns labels [n, K]; the labels that were
      given, or all labels of the network in turn; None where they are drawn from the data set).
    """
    label_dim = generator.config.image.label_dim
    if labels is None and (dataset is None or dataset.labels.shape[1] != label_dim):
        labels = labels_in_turn(generator)
    return labels or _drawn_labels(label_dim, dataset, seed), labels


def identity_of_labels(label_dim: int, labels: SeedLabels | None, dataset: Dataset | None) -> dict[str, str]:
    """Returns what the labels of samples depend on, as a part of their identity; nothing without labels."""
    if not label_dim:
        return {}
    if labels is None:
        return {'labels': dataset.signature}
    return {'labels': f'{labels.listed()} ({digest({"rows": labels.rows})})'}


def _check_labels(label_dim, dataset):
    if label_dim and (dataset is None or dataset.labels.shape[1] != label_dim):
        raise UserError(
            f'this network has labels of {label_dim} values, which are drawn from those of the data set; name the one '
            'that it was trained on',
            field='data',
        )


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
