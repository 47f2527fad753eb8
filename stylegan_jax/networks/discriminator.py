"""The discriminator: images to logits (Appendix C). It is Progressive GAN's, with a blur before each downsampling.

`Discriminate` is the network as a Linen module; `Discriminator` is the object that users hold: a pytree with arrays as
leaves and the config as static data.
"""

# Annotations stay text: building those with shapes takes time at each start, and only tests need them built.
from __future__ import annotations

import dataclasses
import functools
import os
import typing

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float, Real

from stylegan_jax.config.network import DiscriminatorConfig, num_fmaps, stage_and_alpha
from stylegan_jax.errors import UserError
from stylegan_jax.networks import file as network_file
from stylegan_jax.networks import ops
from stylegan_jax.networks.kernels import convolution, epilogue
from stylegan_jax.networks.labels import Labels, as_label
from stylegan_jax.networks.layers import Dense, FromRGB, channels_first, conv_weight, stage_name
from stylegan_jax.networks.ops import AnyArray


class DiscriminatorLayer(nn.Module):
    """3x3 convolution, bias and rectifier.

    Attributes:
      config: of the whole discriminator.
      features: O.
      down: halve the size.
      blurs: low-pass filter the result, because a layer that halves the size follows.
    """

    config: DiscriminatorConfig
    features: int
    down: bool = False
    blurs: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [N, H, W, I] to [N, H, W, O], or to [N, H / 2, W / 2, O]."""
        weight, taps = conv_weight(self, x, self.features), tuple(self.config.blur_filter)
        if self.down:
            in_convolution = convolution.blurs_rows(x.shape[2], x.shape[3], taps, x.dtype)
            x = convolution.down_convolve(x, weight, taps if in_convolution else ())
        else:
            x = convolution.same_convolve(x, weight)
        bias = self.param('bias', nn.initializers.zeros, (self.features,))
        if not self.blurs:
            return epilogue.rectify_channels(x, bias, self.config.nonlinearity)
        # The layer that follows may filter along rows itself: see `row_blur`.
        columns_only = convolution.blurs_rows(x.shape[2], x.shape[3], taps, x.dtype)
        return epilogue.rectify_channels(x, bias, self.config.nonlinearity, taps, columns_only)


class DiscriminatorBlock(nn.Module):
    """The layers of a stage: two convolutions that lead to the stage below, or the last layers at stage 0.

    Attributes:
      config: of the whole discriminator.
      stage: 0 is the base shape; each next one doubles it.
    """

    config: DiscriminatorConfig
    stage: int

    def setup(self) -> None:
        config, stage = self.config, self.stage
        features = num_fmaps(config, stage + 1)
        self.from_rgb = FromRGB(features, config.nonlinearity)
        if stage:
            # The first convolution keeps the number of features; in rosinality's code it is the one that doubles it.
            first = num_fmaps(config, stage) if config.architecture == 'rosinality' else features
            self.conv0 = DiscriminatorLayer(config, first, blurs=True)
            self.conv1_down = DiscriminatorLayer(config, num_fmaps(config, stage), down=True)
        else:
            self.conv = DiscriminatorLayer(config, features)
            self.dense0 = Dense(num_fmaps(config, 0), gain=ops.ACTIVATION_GAIN)
            self.dense1 = Dense(config.num_scores)

    def features_of(self, images: AnyArray, dtype: jax.typing.DTypeLike) -> jax.Array:
        """Converts images at the size of this stage to its features: [N, H, W, channels] -> [N, H, W, C]."""
        return self.from_rgb(images, dtype)

    def __call__(self, x: jax.Array, replicas: int) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Runs the layers on features of this stage [N, H, W, C].

        Returns:
          Above stage 0 the features of the stage below, [N, H / 2, W / 2, C]; at stage 0 (scores [N, K], the features
          that they are computed from [N, D]).
        """
        config = self.config
        if self.stage:
            return self.conv1_down(self.conv0(x))
        # Minibatch standard deviation (ProGAN Section 3), towards the end of the discriminator.
        if config.mbstd_group_size > 1:
            x = ops.minibatch_stddev(x, config.mbstd_group_size, config.mbstd_num_features, replicas)
        x = ops.at_least_float32(channels_first(self.conv(x)))
        features = ops.rectify(self.dense0(x), config.nonlinearity)
        return self.dense1(features), features


class Discriminate(nn.Module):
    """Scores images of any stage.

    Attributes:
      config: of the discriminator.
    """

    config: DiscriminatorConfig

    def __call__(
        self,
        images: Float[AnyArray, 'N H W C'],
        label: Float[AnyArray, 'N K'],
        *,
        stage: int,
        alpha: float | Float[AnyArray, ''] | None,
        replicas: int = 1,
        dtype: jax.typing.DTypeLike | None = None,
    ) -> Float[Array, ' N']:
        """Computes logits.

        Args:
          images: [N, H, W, C] at the size of the stage.
          label: [N, K]; K may be 0.
          stage: the stage that the images enter at (static).
          alpha: weight of that stage against the one below, 0 to 1 (may be traced; ignored at stage 0); None for a
            stage that is not faded (static).
          replicas: number of replicas whose images these are, one after another; minibatch statistics are formed
            within each.
          dtype: of activations; None = that of `images`. Statistics and scores are at least float32.

        Returns:
          Logits [N], positive for real.
        """
        scores, _ = self.scores_and_features(images, stage=stage, alpha=alpha, replicas=replicas, dtype=dtype)
        if self.config.image.label_dim and not self.config.is_progan:
            scores = scores * label  # the score of the image's own class
        return jnp.sum(scores, axis=-1)

    @nn.compact
    def scores_and_features(
        self,
        images: Float[AnyArray, 'N H W C'],
        *,
        stage: int,
        alpha: float | Float[AnyArray, ''] | None = None,
        replicas: int = 1,
        dtype: jax.typing.DTypeLike | None = None,
    ) -> tuple[Float[Array, 'N K'], Float[Array, 'N D']]:
        """Computes the scores of all classes, and the features that they are computed from.

        Args:
          images, stage, replicas, dtype: see `__call__`.
          alpha: see `__call__`; with None `init` makes a network that does not grow, which has one from_rgb.

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
            if initializing:  # `init` calls from_rgb of every stage, so that each makes its parameters
                blocks[s - 1].features_of(jnp.zeros((1, 1, 1, image.channels), images.dtype), dtype)
            elif s == stage:  # the fade of a new stage (ProGAN Figure 2)
                x = ops.fade(blocks[s - 1].features_of(ops.downscale(images), dtype), x, alpha)
        return blocks[0](x, replicas)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Discriminator:
    """A discriminator with its weights; a pytree, as `Generator` is.

    Attributes:
      config: architecture and sizes.
      params: tree of trainable arrays. (Its leaves may be anything while JAX transforms the pytree.)
    """

    config: DiscriminatorConfig = dataclasses.field(metadata={'static': True})
    params: typing.Any

    @classmethod
    def init(cls, key: jax.Array, config: DiscriminatorConfig) -> 'Discriminator':
        """Makes a fresh discriminator.

        Args:
          key: a typed JAX key (`jax.random.key`).
          config: architecture and sizes.

        Returns:
          A Discriminator with random weights.
        """
        return _init(key, config)

    @property
    def label_dim(self) -> int:
        """K; 0 for an unconditional network."""
        return self.config.image.label_dim

    @property
    def resolution(self) -> int:
        """Longer side at full size [pixels]."""
        return self.config.image.resolution

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) at full size."""
        return self.config.image.shape

    def __call__(
        self,
        images: Real[AnyArray, 'N H W C'],
        label: Labels | None = None,
        *,
        lod: float = 0.0,
    ) -> Float[Array, ' N']:
        """Scores images.

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

    def save(self, path: str | os.PathLike, dtype: str | None = None) -> None:
        """Writes one portable file (arrays and config, no pickle) that `stylegan_jax.load` reads.

        Args:
          path: of the file; an existing one is replaced.
          dtype: number type of the stored arrays: 'float16' for half the size and three digits; None for their own.
        """
        network_file.write(path, kind='discriminator', config=self.config, arrays=self.named_arrays(), dtype=dtype)

    @classmethod
    def from_arrays(cls, config: DiscriminatorConfig, arrays: dict[str, jax.typing.ArrayLike]) -> 'Discriminator':
        """Rebuilds a discriminator from the arrays that `save` wrote.

        Raises:
          UserError: they are not those of a network of this config.
        """
        network_file.check_arrays(arrays, cls.shapes(config))
        params = {tuple(name.split('/')[1:]): jnp.asarray(array) for name, array in arrays.items()}
        return cls(config, traverse_util.unflatten_dict(params))

    @classmethod
    def shapes(cls, config: DiscriminatorConfig) -> dict[str, jax.ShapeDtypeStruct]:
        """Returns shape and type of all arrays that a discriminator of this config has; see `Generator.shapes`."""
        return network_file.template_of(
            lambda: jax.eval_shape(lambda key: cls.init(key, config), jax.random.key(0)).named_arrays()
        )

    def named_arrays(self) -> dict[str, typing.Any]:
        """Returns all arrays of the discriminator by the names that `save` writes: {name: array}."""
        return traverse_util.flatten_dict({'params': self.params}, sep='/')


def discriminate(
    config: DiscriminatorConfig,
    params: typing.Any,
    images: Float[AnyArray, 'N H W C'],
    label: Float[AnyArray, 'N K'],
    *,
    stage: int,
    alpha: float | Float[AnyArray, ''] | None,
    replicas: int = 1,
    dtype: jax.typing.DTypeLike | None = None,
) -> Float[Array, ' N']:
    """Runs the network with a tree of parameters; see `Discriminate`."""
    return Discriminate(config).apply(
        {'params': params}, images, label, stage=stage, alpha=alpha, replicas=replicas, dtype=dtype
    )


_discriminate_compiled = jax.jit(discriminate, static_argnums=0, static_argnames='stage')


@functools.partial(jax.jit, static_argnums=1)
def _init(key, config):
    # One jit, so that making all parameters compiles one program rather than one per layer.
    image = config.image
    images, label = jnp.zeros((1, *image.shape)), jnp.zeros((1, image.label_dim))
    params = Discriminate(config).init(key, images, label, stage=image.num_stages - 1, alpha=1.0)['params']
    return Discriminator(config, params)
