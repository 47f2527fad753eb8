"""The discriminator: images to logits (Appendix C; Progressive GAN's, with a blur before each reduction).

`Discriminate` is the network; `Discriminator` is what users hold: arrays as leaves, config as static data.
"""

import dataclasses
import functools
import typing

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from stylegan_jax.config.network import DiscriminatorConfig, num_fmaps, stage_and_alpha
from stylegan_jax.errors import UserError
from stylegan_jax.networks import file as network_file
from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import convolution, epilogue
from stylegan_jax.networks.labels import as_label
from stylegan_jax.networks.layers import Dense, FromRGB, channels_first, conv_weight, stage_name


class DiscriminatorLayer(nn.Module):
    """3x3 convolution, bias and activation; halves the size if `down`; blurs what a reduction follows if `blurs`."""

    config: DiscriminatorConfig
    features: int
    down: bool = False
    blurs: bool = False

    @nn.compact
    def __call__(self, x):
        weight = conv_weight(self, x, self.features)
        x = convolution.down_convolve(x, weight) if self.down else convolution.same_convolve(x, weight)
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        taps = tuple(self.config.blur_filter) if self.blurs else ()
        return epilogue.rectify_channels(x, bias, self.config.nonlinearity, taps)


class DiscriminatorBlock(nn.Module):
    """The layers of a stage: two convolutions down to the stage below, or the tail at stage 0."""

    config: DiscriminatorConfig
    stage: int

    def setup(self):
        config, stage = self.config, self.stage
        features = num_fmaps(config, stage + 1)
        self.from_rgb = FromRGB(features, config.nonlinearity)
        if stage:
            self.conv0 = DiscriminatorLayer(config, features, blurs=True)
            self.conv1_down = DiscriminatorLayer(config, num_fmaps(config, stage), down=True)
        else:
            self.conv = DiscriminatorLayer(config, features)
            self.dense0 = Dense(num_fmaps(config, 0), gain=ops.ACTIVATION_GAIN)
            self.dense1 = Dense(config.num_scores)

    def features_of(self, images, dtype):
        return self.from_rgb(images, dtype)

    def __call__(self, x, replicas):
        """Returns what the block below takes; at stage 0 scores [N, K] and the features that they come from [N, D]."""
        config = self.config
        if self.stage:
            return self.conv1_down(self.conv0(x))
        if config.mbstd_group_size > 1:
            x = ops.minibatch_stddev(x, config.mbstd_group_size, config.mbstd_num_features, replicas)
        x = ops.widen(channels_first(self.conv(x)))
        features = ops.rectify(self.dense0(x), config.nonlinearity)
        return self.dense1(features), features


class Discriminate(nn.Module):
    """Judges images of any stage."""

    config: DiscriminatorConfig

    def __call__(self, images, label, *, stage, alpha, replicas=1, dtype=None):
        """Computes logits.

        Args:
          images: [N, H, W, C] at the size of the stage.
          label: [N, K]; K may be 0.
          stage: where the images enter (static).
          alpha: weight of that stage against the one below, 0 to 1 (may be traced; ignored at stage 0).
          replicas: how many replicas' images these are, one after another; minibatch statistics stay within each.
          dtype: of activations; None = that of `images`. Statistics and scores are never shorter than float32.

        Returns:
          [N], positive for real.
        """
        scores, _ = self.scores_and_features(images, stage=stage, alpha=alpha, replicas=replicas, dtype=dtype)
        if self.config.image.label_dim and not self.config.is_progan:
            scores = scores * label  # the score of the image's own class
        return jnp.sum(scores, axis=-1)

    @nn.compact
    def scores_and_features(self, images, *, stage, alpha=None, replicas=1, dtype=None):
        """Computes the scores of all classes, and what they are computed from.

        Args:
          images, stage, replicas, dtype: see `__call__`.
          alpha: see `__call__`; None for a network that does not grow: only its last stage takes images (static).

        Returns:
          scores: [N, K], one for each class, or [N, 1] without labels.
          features: [N, D], the rectified outputs of the dense layer before the last.
        """
        image, dtype = self.config.image, dtype or images.dtype
        initializing = self.is_initializing()
        blocks = [
            DiscriminatorBlock(self.config, s, name=stage_name(image, s))
            for s in range(image.num_stages if initializing else stage + 1)
        ]
        x = blocks[stage].features_of(images, dtype)
        for s in range(stage, 0, -1):
            x = blocks[s](x, replicas)
            if alpha is None:
                continue
            if initializing:  # every stage's from_rgb gets its parameters
                blocks[s - 1].features_of(jnp.zeros((1, 1, 1, image.channels), images.dtype), dtype)
            elif s == stage:
                x = ops.fade(blocks[s - 1].features_of(ops.downscale(images), dtype), x, alpha)
        return blocks[0](x, replicas)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Discriminator:
    """A discriminator with its weights; a pytree, as `Generator` is.

    Attributes:
      config: what it is.
      params: trainable arrays.
    """

    config: DiscriminatorConfig = dataclasses.field(metadata={'static': True})
    params: typing.Any

    @classmethod
    def init(cls, key, config):
        """Makes a fresh discriminator from a typed JAX key and a DiscriminatorConfig."""
        return _init(key, config)

    @property
    def label_dim(self):
        return self.config.image.label_dim

    @property
    def resolution(self):
        return self.config.image.resolution

    @property
    def shape(self):
        """(H, W, C) at full size."""
        return self.config.image.shape

    def __call__(self, images, label=None, *, lod=0.0):
        """Judges images.

        Args:
          images: [N, H, W, C] in [-1, 1], at the size of the stage that `lod` means.
          label: vectors [N, K], class indices [N], or None for zeros.
          lod: level of detail, a Python float (see `Generator.synthesize`).

        Returns:
          logits [N], positive for real.

        Raises:
          UserError: a shape or the lod does not fit.
        """
        stage, alpha = stage_and_alpha(self.config.image, lod)
        images = jnp.asarray(images, jax.tree.leaves(self.params)[0].dtype)
        shape = (*self.config.image.stage_shape(stage), self.config.image.channels)
        if images.ndim != 4 or images.shape[1:] != shape:
            raise UserError(
                f'images have shape {images.shape}; at lod {lod} give [N, ' + ', '.join(map(str, shape)) + ']'
            )
        label = as_label(label, images.shape[0], self.label_dim, images.dtype)
        return _discriminate_compiled(self.config, self.params, images, label, stage=stage, alpha=alpha)

    def save(self, path, dtype=None):
        """Writes one portable file (arrays and config, no pickle) that `stylegan_jax.load` reads.

        Args:
          path: where to; an existing file is replaced.
          dtype: in which numbers are stored: 'float16' for half the size and three digits; None for their own type.
        """
        arrays = traverse_util.flatten_dict({'params': self.params}, sep='/')
        network_file.write(path, kind='discriminator', config=self.config, arrays=arrays, dtype=dtype)

    @classmethod
    def from_arrays(cls, config, arrays):
        """Rebuilds a discriminator from the arrays that `save` wrote; UserError if they are not those of `config`."""
        template = jax.eval_shape(lambda key: cls.init(key, config), jax.random.key(0))
        network_file.check_arrays(arrays, traverse_util.flatten_dict({'params': template.params}, sep='/'))
        params = {tuple(name.split('/')[1:]): jnp.asarray(array) for name, array in arrays.items()}
        return cls(config, traverse_util.unflatten_dict(params))


def discriminate(config, params, images, label, *, stage, alpha, replicas=1, dtype=None):
    """Runs the network; see `Discriminate`."""
    return Discriminate(config).apply(
        {'params': params}, images, label, stage=stage, alpha=alpha, replicas=replicas, dtype=dtype
    )


_discriminate_compiled = jax.jit(discriminate, static_argnums=0, static_argnames='stage')


@functools.partial(jax.jit, static_argnums=1)
def _init(key, config):
    image = config.image
    images, label = jnp.zeros((1, *image.shape)), jnp.zeros((1, image.label_dim))
    params = Discriminate(config).init(key, images, label, stage=image.num_stages - 1, alpha=1.0)['params']
    return Discriminator(config, params)
