"""Pictures that move, as samples of metrics: along paths in W, or because the inputs of synthesis are shifted."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation.metric_samples import identity_of_labels, labels_of_paths
from stylegan_jax.metrics import equivariance, path_length, sticking
from stylegan_jax.networks.generator import Generator, broadcast_w, map_latents, synthesize_images
from stylegan_jax.networks.layers import stage_name
from stylegan_jax.runtime.on_devices import OnDevices
from stylegan_jax.sampling.engine import noise_of_keys
from stylegan_jax.sampling.latents import draw_keys, draw_normal
from stylegan_jax.sampling.seed_labels import SeedLabels

# Folded into the key of the seed; `metric_samples` has the numbers below.
_ENDS, _NOISE = 6, 7


class Motions:
    """Samples of one kind, without end, each with noise inputs that stay (or are shifted with the constant).

    They are computed in float32, without truncation.

    Attributes:
      identity: dict for JSON of all that the outputs depend on.
    """

    def __init__(
        self,
        generator: Generator,
        digest: str,
        *,
        kind: str,
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
          kind: 'walks' for `sticking.moments_of_walks`, 'shifts' for `equivariance.squares`.
          lod: see `metric_samples.Fakes`; images have the size of the stage.
          seed: of latents and noise.
          batch: samples at a time, a multiple of the devices.
          devices: devices of this process.
          dataset, labels: see `metric_samples.Steps`.

        Raises:
          UserError: the input of the generator cannot be shifted.
        """
        config = generator.config
        if kind == 'shifts' and not config.const_input:
            raise UserError(
                'eqt: the input of this generator is a matrix product of the latent, which cannot be shifted '
                '(configurations D to F have a learned constant, which can)',
                remedy='ask for sticking',
            )
        if kind == 'shifts' and min(config.image.base_shape) == 1:
            raise UserError(
                'eqt: the constant of this generator has a side of one pixel (image.base_shape='
                f'{config.image.base_shape}), and shifted by that nothing of it is left to compare',
                remedy='ask for sticking',
            )
        stage, alpha = stage_and_alpha(config.image, lod)
        compute = {'walks': _walks, 'shifts': _shifts}[kind]
        self._run = OnDevices(
            functools.partial(compute, config=config, stage=stage, alpha=alpha), generator.params, devices, 'float32'
        )
        self._seed, self._batch, self._z_dim = seed, batch, config.z_dim
        self._labels, labels = labels_of_paths(generator, dataset, labels, seed)
        self.identity = {
            'source': kind,
            'network': digest,
            'lod': lod,
            'seed': seed,
            'noise': 'random' if config.use_noise else 'const',
            **identity_of_labels(config.image.label_dim, labels, dataset),
        }

    def outputs(self, start: int) -> Iterator[dict[str, jax.Array]]:
        """Yields outputs {name: [batch, D]} from the sample with the number `start` on."""
        ends, noise = (jax.random.fold_in(jax.random.key(self._seed), purpose) for purpose in (_ENDS, _NOISE))
        while True:
            numbers = np.arange(start, start + self._batch)
            z = [draw_normal(ends, 2 * numbers + end, self._z_dim) for end in (0, 1)]
            yield self._run(*z, draw_keys(noise, numbers), self._labels(numbers))
            start += self._batch


def _walks(params, start, stop, keys, label, *, config, stage, alpha):
    """Returns {'moments': [n, 6]} of walks between latents [n, Z], which have one label [n, K]."""
    noise = noise_of_keys(config, keys, stage)

    def mapped(z):
        return map_latents(config, params, z, label)

    def synthesize(w):
        return synthesize_images(config, params, broadcast_w(config, w), noise, stage=stage, alpha=alpha)

    if config.is_progan:  # it has no W; great circles in Z are passed at an even speed
        ends, interpolate = (start, stop), lambda a, b, t: mapped(path_length.slerp(a, b, t))
    else:
        ends, interpolate = (mapped(start), mapped(stop)), path_length.lerp
    return {'moments': sticking.moments_of_walks(*ends, interpolate=interpolate, synthesize=synthesize)}


def _shifts(params, z, _, keys, label, *, config, stage, alpha):
    """Returns {'squares': [n, 1]} of pictures of the latents [n, Z], with labels [n, K]."""
    noise, base = noise_of_keys(config, keys, stage), config.image.stage_shape(0)
    ws = broadcast_w(config, map_latents(config, params, z, label))

    def synthesize(down, across):
        shifted = _with_shifted_constant(params, stage_name(config.image, 0), down, across)
        inputs = tuple(
            jnp.roll(layer, (down * (layer.shape[1] // base[0]), across * (layer.shape[2] // base[1])), axis=(1, 2))
            for layer in noise
        )
        return synthesize_images(config, shifted, ws, inputs, stage=stage, alpha=alpha)

    return {'squares': equivariance.squares(synthesize, base)[:, None]}


def _with_shifted_constant(params, block, down, across):
    """Returns weights whose constant [1, h, w, C] is shifted in a circle."""
    synthesis = params['synthesis']
    first = synthesis[block]['const']
    first = {**first, 'const': jnp.roll(first['const'], (down, across), axis=(1, 2))}
    return {**params, 'synthesis': {**synthesis, block: {**synthesis[block], 'const': first}}}
