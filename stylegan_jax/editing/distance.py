"""How far images are from targets, for projection: what is compared, and how it is weighed.

LPIPS where there is one, else features of the discriminator of the same training; pixels at all sizes in any case.
"""

import dataclasses
import typing

import jax
import jax.numpy as jnp

from stylegan_jax.feature_networks.resizing import to_colour
from stylegan_jax.networks import ops
from stylegan_jax.networks.discriminator import Discriminate, DiscriminatorBlock
from stylegan_jax.networks.layers import stage_name

LPIPS_LEAST = 16  # pixels, of the shorter side; VGG halves four times
_LPIPS_MOST = 256  # pixels; larger images are reduced to it, as StyleGAN2's projector does
_PYRAMID_LEAST = 4  # pixels of the shorter side of the smallest level
_FEATURE_WEIGHT = 0.05  # of relative errors, against squared ones of pixels


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Distance:
    """What tells images apart; a pytree.

    Attributes:
      discriminator: a Discriminator that knows such images, or None. Its last stage is not used: it looks at a whole
        batch.
      lpips: an LPIPS, which takes the discriminator's place; or None. Nothing smaller than 16 pixels has an LPIPS.
      alpha: weight of the discriminator's newest stage against the one below.
      stage: of the images (static).
    """

    discriminator: typing.Any
    lpips: typing.Any
    alpha: typing.Any
    stage: int = dataclasses.field(metadata={'static': True})

    def seen(self, images):
        """What of the images is compared.

        Args:
          images: [N, H, W, C] in [-1, 1].

        Returns:
          A dict of lists of arrays [N, ...].
        """
        features = []
        if self.lpips is None and self.discriminator is not None:
            features = _stage_features(self.discriminator, images, self.stage, self.alpha)
        return {'pixels': _pyramid(images), 'features': features}

    def __call__(self, images, targets):
        """Computes the distance of images from targets.

        Args:
          images: [N, H, W, C] in [-1, 1].
          targets: `seen` of as many others.

        Returns:
          (distance [N], mean squared error of the pixels in [-1, 1] at full size [N]).
        """
        return self.between(self.seen(images), targets)

    def between(self, found, targets):
        """As a call, of what was `seen` of the images; either side may have a single one."""
        errors = [_mean((a - b) ** 2) for a, b in zip(found['pixels'], targets['pixels'])]
        distance = sum(errors)
        for a, b in zip(found['features'], targets['features']):
            distance += _FEATURE_WEIGHT * _mean((a - b) ** 2) / (_mean(b**2) + 1e-8)
        if self.lpips is not None:
            reduced = [to_colour(_reduced(x)) for x in (targets['pixels'][0], found['pixels'][0])]
            distance += self.lpips.layer_distances(*reduced).sum(axis=1)
        return distance, errors[0]


def noise_regularization(noise):
    """Says how far noise inputs are from white noise: neighbours' correlations, at all sizes.

    Noise that carries the picture has pixels that resemble their neighbours, at its own size or when it is reduced.

    Args:
      noise: arrays [N, h, w, 1] of mean 0 and variance 1.

    Returns:
      [N]: squared correlations of neighbours times the number of pixels, of which white noise has 1 in the mean,
      summed over both directions, sizes and inputs.

    Reference: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", Appendix D. Counting pixels
    is not theirs: with it one weight serves all sizes.
    """
    total = jnp.zeros(len(noise[0]) if noise else ())
    for x in noise:
        while True:
            pixels = x.shape[1] * x.shape[2]
            total += sum(pixels * _mean(x * jnp.roll(x, 1, axis)) ** 2 for axis in (1, 2))
            if min(x.shape[1:3]) <= 8 or any(side % 2 for side in x.shape[1:3]):
                break
            x = 2 * ops.downscale(x)  # of variance 1 again, if it is white
    return total


def normalized_noise(noise):
    """Gives each noise input [N, h, w, 1] of each image mean 0 and variance 1."""
    centred = [x - jnp.mean(x, axis=(1, 2, 3), keepdims=True) for x in noise]
    return tuple(x * jax.lax.rsqrt(jnp.mean(x * x, axis=(1, 2, 3), keepdims=True) + 1e-8) for x in centred)


def _pyramid(images):
    """The images, and halved again and again."""
    levels = [images]
    while min(levels[-1].shape[1:3]) >= 2 * _PYRAMID_LEAST and not any(side % 2 for side in levels[-1].shape[1:3]):
        levels.append(ops.downscale(levels[-1]))
    return levels


def _stage_features(discriminator, images, stage, alpha):
    """What comes out of the discriminator's stages but the last, [N, h, w, C] each."""

    def wanted(module, method):
        return isinstance(module, DiscriminatorBlock) and method == '__call__'

    config = discriminator.config
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
    while max(images.shape[1:3]) > _LPIPS_MOST:
        images = ops.downscale(images)
    return images


def _mean(x):
    """Over all axes but the first."""
    return jnp.mean(x, axis=tuple(range(1, x.ndim)))
