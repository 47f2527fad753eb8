"""The discriminator: images to logits (Appendix C; Progressive GAN's, with a blur before each reduction)."""
import flax.linen as nn
import jax.numpy as jnp

from stylegan_jax.network_config import DiscriminatorConfig, num_fmaps
from stylegan_jax.networks import convolution, epilogue, ops
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
            scores = scores * label              # the score of the image's own class
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
        blocks = [DiscriminatorBlock(self.config, s, name=stage_name(image, s))
                  for s in range(image.num_stages if initializing else stage + 1)]
        x = blocks[stage].features_of(images, dtype)
        for s in range(stage, 0, -1):
            x = blocks[s](x, replicas)
            if alpha is None:
                continue
            if initializing:     # every stage's from_rgb gets its parameters
                blocks[s - 1].features_of(jnp.zeros((1, 1, 1, image.channels), images.dtype), dtype)
            elif s == stage:
                x = ops.fade(blocks[s - 1].features_of(ops.downscale(images), dtype), x, alpha)
        return blocks[0](x, replicas)
