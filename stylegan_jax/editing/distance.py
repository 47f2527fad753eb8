"""How far images are from targets, for projection.

Compares LPIPS where it is given, else features of the discriminator of the same training; and pixels at all sizes in
any case.
"""

import collections.abc
import dataclasses

import jax
import jax.numpy as jnp

from stylegan_jax.feature_networks.lpips import LPIPS
from stylegan_jax.feature_networks.resizing import to_colour
from stylegan_jax.networks import ops
from stylegan_jax.networks.discriminator import Discriminate, Discriminator, DiscriminatorBlock
from stylegan_jax.networks.layers import stage_name

LPIPS_LEAST = 16  # pixels of the shorter side; VGG16 halves images four times
_LPIPS_MOST = 256  # pixels of the longer side; larger images are reduced to it, as in StyleGAN2's projector
_PYRAMID_LEAST = 4  # pixels of the shorter side of the smallest level
_FEATURE_WEIGHT = 0.05  # of relative errors of features, against squared errors of pixels
_EPSILON = 1e-8  # keeps divisions finite where features or noise inputs are zero


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Distance:
    """A distance between images; a pytree.

    Attributes:
      discriminator: a Discriminator for such images, or None. Its last stage is not used, because the minibatch
        standard deviation there depends on the whole batch.
      lpips: an LPIPS, which is compared in place of features of the discriminator; or None. It needs images of 16
        pixels or more.
      alpha: weight of the discriminator's newest stage against the one below.
      stage: of the images (static).
    """

    discriminator: Discriminator | None
    lpips: LPIPS | None
    alpha: jax.Array
    stage: int = dataclasses.field(metadata={'static': True})

    def seen(self, images: jax.Array) -> dict[str, list[jax.Array]]:
        """Computes the arrays that are compared: the images at all sizes, and features.

        Args:
          images: [N, H, W, C] in [-1, 1].

        Returns:
          A dict of lists of arrays [N, ...].
        """
        features = []
        if self.lpips is None and self.discriminator is not None:
            features = _stage_features(self.discriminator, images, self.stage, self.alpha)
        return {'pixels': _pyramid(images), 'features': features}

    def __call__(self, images: jax.Array, targets: dict[str, list[jax.Array]]) -> tuple[jax.Array, jax.Array]:
        """Computes the distance of images from targets.

        Args:
          images: [N, H, W, C] in [-1, 1].
          targets: `seen` of as many target images.

        Returns:
          (distance [N], mean squared error of the pixels in [-1, 1] at full size [N]).
        """
        return self.between(self.seen(images), targets)

    def between(
        self, found: dict[str, list[jax.Array]], targets: dict[str, list[jax.Array]]
    ) -> tuple[jax.Array, jax.Array]:
        """Computes the distance from `seen` of both sides, as a call does; either side may be a single image."""
        errors = [_mean((a - b) ** 2) for a, b in zip(found['pixels'], targets['pixels'])]
        distance = sum(errors)
        for a, b in zip(found['features'], targets['features']):
            distance += _FEATURE_WEIGHT * _mean((a - b) ** 2) / (_mean(b**2) + _EPSILON)
        if self.lpips is not None:
            reduced = [to_colour(_reduced(x)) for x in (targets['pixels'][0], found['pixels'][0])]
            distance += self.lpips.layer_distances(*reduced).sum(axis=1)
        return distance, errors[0]


def noise_regularization(noise: collections.abc.Sequence[jax.Array]) -> jax.Array:
    """Measures how far noise inputs are from white noise by the correlations of neighbouring pixels, at all sizes.

    Without it the optimisation would hide the picture in the noise inputs. Noise that carries a picture has pixels that
    resemble their neighbours, at its own size or when it is reduced.

    Args:
      noise: arrays [N, h, w, 1] of mean 0 and variance 1.

    Returns:
      [N]: squared correlations of neighbours times the number of pixels, summed over both directions, sizes and
      inputs. Each term is 1 on average for white noise.

    Reference: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", Appendix D. The factor of
    the number of pixels is not theirs: with it one weight serves all sizes.
    """
    total = jnp.zeros(len(noise[0]) if noise else ())
    for x in noise:
        while True:
            pixels = x.shape[1] * x.shape[2]
            total += sum(pixels * _mean(x * jnp.roll(x, 1, axis)) ** 2 for axis in (1, 2))
            if min(x.shape[1:3]) <= 8 or any(side % 2 for side in x.shape[1:3]):
                break
            x = 2 * ops.downscale(x)  # the mean of four white pixels has variance 1/4, so 2 restores variance 1
    return total


def normalized_noise(noise: collections.abc.Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    """Normalises each noise input [N, h, w, 1] of each image to mean 0 and variance 1."""
    centred = [x - jnp.mean(x, axis=(1, 2, 3), keepdims=True) for x in noise]
    return tuple(x * jax.lax.rsqrt(jnp.mean(x * x, axis=(1, 2, 3), keepdims=True) + _EPSILON) for x in centred)


def _pyramid(images):
    """Returns the images [N, H, W, C] at full size, and halved repeatedly."""
    levels = [images]
    while min(levels[-1].shape[1:3]) >= 2 * _PYRAMID_LEAST and not any(side % 2 for side in levels[-1].shape[1:3]):
        levels.append(ops.downscale(levels[-1]))
    return levels


def _stage_features(discriminator, images, stage, alpha):
    """Returns the outputs of the discriminator's stages but the last one (4x4), [N, h, w, C] each."""

    def wanted(module, method):
        return isinstance(module, DiscriminatorBlock) and method == '__call__'

    config = discriminator.config
    # With as many replicas as images, the minibatch standard deviation is formed within single images, so that no image
    # depends on the others. In compiled functions XLA drops the last stage, whose outputs are not used.
    _, found = Discriminate(config).apply(
        {'params': discriminator.params},
        images,
        stage=stage,
        alpha=alpha,
        replicas=len(images),
        method=Discriminate.scores_and_features,
        capture_intermediates=wanted,
        mutable=['intermediates'],
    )
    return [found['intermediates'][stage_name(config.image, s)]['__call__'][0] for s in range(stage, 0, -1)]


def _reduced(images):
    """Halves images until LPIPS takes them."""
    while max(images.shape[1:3]) > _LPIPS_MOST:
        images = ops.downscale(images)
    return images


def _mean(x):
    """Averages over all axes but the first."""
    return jnp.mean(x, axis=tuple(range(1, x.ndim)))
