"""The synthesis network g: ws and noise to images (Section 2; Figure 1b).

With styles and noise switched off it is the traditional generator (Figure 1a), Progressive GAN's included.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from stylegan_jax.config.network import GeneratorConfig, num_fmaps
from stylegan_jax.networks import ops, ports
from stylegan_jax.networks.kernels import convolution, epilogue
from stylegan_jax.networks.layers import DENSE_INPUT_GAIN, Dense, ToRGB, conv_weight, from_channels_first, stage_name

# Layers up to this size [pixels] stay float32. In bfloat16 some gradients (of biases and noise strengths at 4x4) had a
# cosine of 0.92 to 0.97 with float32 ones; now all reach 0.99.
FLOAT32_UP_TO = 16


class SynthesisLayer(nn.Module):
    """One layer: a source of features, and the epilogue that all layers share.

    Attributes:
      config: of the whole generator.
      layer: its number, 0 to num_layers - 1; there are two per stage.
      source: what makes the features: 'const', 'dense', 'conv' or 'conv_up'.
    """

    config: GeneratorConfig
    layer: int
    source: str

    @nn.compact
    def __call__(
        self, x: jax.Array | None, w: jax.Array, noise: jax.Array | None, dtype: jax.typing.DTypeLike
    ) -> jax.Array:
        """Computes the layer.

        Args:
          x: features of the layer before, [N, H, W, I]; None for layer 0.
          w: [N, W].
          noise: [1 or N, h, w, 1], or None for none.
          dtype: of the result, and of the activations that are stored in between.

        Returns:
          [N, h, w, C].
        """
        config = self.config
        taps = tuple(config.blur_filter) if self.source == 'conv_up' else ()
        in_convolution = self._blurs_rows_in_convolution(taps, dtype)
        x = self._features(x, w, dtype, taps if in_convolution else ())
        bias = self.param('bias', nn.initializers.zeros, (x.shape[-1],))
        # B of Figure 1b: learned scale of the noise for each channel, zero at first.
        strength = self.param('noise_strength', nn.initializers.zeros, (x.shape[-1],)) if config.use_noise else None
        # A of Figure 1b: learned affine map of w to the style y.
        style = Dense(2 * x.shape[-1], name='style')(w) if config.use_styles else None
        noise = noise if config.use_noise else None
        if port := ports.BY_ARCHITECTURE.get(config.architecture):
            x = ports.stylize_channels(port, x, noise, strength, bias, style, config.nonlinearity, taps)
            return x.astype(dtype)
        if self._has_own_epilogue:
            # StyleGAN's own epilogue, with noise and AdaIN (Eq. 1), has derivatives written by hand.
            strength = None if noise is None else strength
            return epilogue.stylize_channels(x, noise, strength, bias, style, config.nonlinearity, taps, in_convolution)
        # Other configurations (the traditional generator, Table 1 A and B) are plain compositions.
        x = ops.blur(ops.at_least_float32(x), taps) + bias
        x = ops.rectify(x if noise is None else x + noise * strength, config.nonlinearity)
        if config.use_pixel_norm:
            x = ops.pixel_norm(x)
        if config.use_instance_norm:
            x = ops.instance_norm(x)
        return (ops.stylize(x, style) if config.use_styles else x).astype(dtype)

    @property
    def _has_own_epilogue(self):
        config = self.config
        is_port = config.architecture in ports.BY_ARCHITECTURE
        return config.use_styles and config.use_instance_norm and not config.use_pixel_norm and not is_port

    def _blurs_rows_in_convolution(self, taps, dtype):
        """Returns whether the convolution filters along rows as well, so that the epilogue filters columns only."""
        stage = self.layer // 2
        _, width = self.config.image.stage_shape(stage)
        features = num_fmaps(self.config, stage + 1)
        return bool(taps) and self._has_own_epilogue and convolution.blurs_rows(width, features, taps, dtype)

    def _features(self, x, w, dtype, row_taps):
        """Returns [N, h, w, C] without bias, from the constant, from w or from the layer before.

        With `row_taps` the convolution that doubles the size filters along rows.
        """
        config = self.config
        stage = self.layer // 2
        features = num_fmaps(config, stage + 1)
        height, width = config.image.stage_shape(stage)
        if self.source == 'const':  # configuration D on: the learned constant input (Section 2.1)
            const = self.param('const', nn.initializers.ones, (1, height, width, features))
            return jnp.broadcast_to(const, (w.shape[0], *const.shape[1:])).astype(dtype)
        if self.source == 'dense':  # configurations A to C: the traditional input layer
            weight = self.param('weight', nn.initializers.normal(1.0), (w.shape[-1], features * height * width))
            x = ops.dense(w, ops.equalized(weight, gain=DENSE_INPUT_GAIN, fan_in=w.shape[-1]))
            return from_channels_first(x, height, width).astype(dtype)
        weight, x = conv_weight(self, x, features), x.astype(dtype)
        if self.source == 'conv':
            return convolution.same_convolve(x, weight)
        if ports.is_bilinear(config.architecture):
            return convolution.same_convolve(ops.upscale_bilinear(x), weight)
        # The official code fuses upsampling and convolution from 128 pixels on, and its fused form reverses the kernel.
        flip = min(height, width) >= config.flip_from
        return convolution.up_convolve(x, weight, flip=flip, taps=row_taps)


class SynthesisBlock(nn.Module):
    """The two layers of a stage, and its conversion to colours.

    Attributes:
      config: of the whole generator.
      stage: 0 is the base shape; each next one doubles it.
    """

    config: GeneratorConfig
    stage: int

    def setup(self) -> None:
        config, first = self.config, 2 * self.stage
        if self.stage:
            self.conv0_up = SynthesisLayer(config, first, 'conv_up')
            self.conv1 = SynthesisLayer(config, first + 1, 'conv')
        elif config.const_input:
            self.const = SynthesisLayer(config, first, 'const')
            self.conv = SynthesisLayer(config, first + 1, 'conv')
        else:
            self.dense = SynthesisLayer(config, first, 'dense')
            self.conv = SynthesisLayer(config, first + 1, 'conv')
        self.to_rgb = ToRGB(config.image.channels)

    def __call__(
        self, x: jax.Array | None, ws: jax.Array, noise: Sequence[jax.Array], dtype: jax.typing.DTypeLike
    ) -> jax.Array:
        """Computes both layers: features of the stage before [N, H / 2, W / 2, I] -> [N, H, W, C].

        Args:
          x: None at stage 0.
          ws: [N, L, W].
          noise: one array per layer of the network, or empty for none.
          dtype: of activations.
        """
        if self.stage:
            layers = (self.conv0_up, self.conv1)
        else:
            layers = (self.const if self.config.const_input else self.dense, self.conv)
        for layer in layers:
            w = ws[:, layer.layer if self.config.use_styles else 0]
            x = layer(x, w, noise[layer.layer] if noise else None, dtype)
        return x


class Synthesis(nn.Module):
    """Makes images stage by stage.

    Attributes:
      config: of the whole generator.
    """

    config: GeneratorConfig

    @nn.compact
    def __call__(
        self,
        ws: jax.Array,
        noise: Sequence[jax.Array],
        *,
        stage: int,
        alpha: float | jax.Array | None,
        dtype: jax.typing.DTypeLike | None = None,
    ) -> jax.Array:
        """Synthesizes images.

        Args:
          ws: [N, L, W].
          noise: a sequence of arrays [1 or N, h, w, 1], one per layer of the stages in use; empty for none.
          stage: the last stage to run (static).
          alpha: weight of that stage against the one before, 0 to 1 (may be traced; ignored at stage 0); None for a
            stage that is not faded (static).
          dtype: of activations above 16 pixels; None = that of `ws`, as below. Statistics and colours are at least
            float32.

        Returns:
          [N, H, W, C] at the size of the stage, in the type of the weights.
        """
        image = self.config.image
        # `init` visits every stage, so that the parameter tree is complete whatever stage runs later.
        last = image.num_stages - 1 if self.is_initializing() else stage
        lowest = stage if alpha is None else stage - 1  # of those that make colours
        x, colours = None, []
        for s in range(last + 1):
            block = SynthesisBlock(self.config, s, name=stage_name(image, s))
            # Small layers cost little, and their gradients have come through all others, with all their rounding.
            is_small = image.stage_resolution(s) <= FLOAT32_UP_TO
            x = block(x, ws, noise, ws.dtype if is_small else dtype or ws.dtype)
            # Only the last two stages are faded (ProGAN Figure 2).
            if s >= lowest or self.is_initializing():
                colours.append(block.to_rgb(x))
        if stage == 0 or alpha is None or self.is_initializing():
            return colours[-1]
        upscale = ops.upscale_bilinear if ports.is_bilinear(self.config.architecture) else ops.upscale
        return ops.fade(upscale(colours[-2]), colours[-1], alpha)
