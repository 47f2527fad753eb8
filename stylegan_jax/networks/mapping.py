"""The mapping network: z (and a label) to w (Section 2; Figure 1b)."""

import flax.linen as nn
import jax.numpy as jnp

from stylegan_jax.config.network import GeneratorConfig
from stylegan_jax.networks import ops
from stylegan_jax.networks.layers import Dense


class Mapping(nn.Module):
    """Maps latents to intermediate latents."""

    config: GeneratorConfig

    @nn.compact
    def __call__(self, z, label):
        """Computes w.

        Args:
          z: [N, Z].
          label: [N, K]; K may be 0.

        Returns:
          [N, W], where without mapping layers W is what goes into them.
        """
        config = self.config
        x = z
        if config.image.label_dim:
            if not config.is_progan:  # Progressive GAN appends the label as it is
                label = label @ self.param(
                    'label_weight', nn.initializers.normal(1.0), (config.image.label_dim, config.z_dim)
                )
            x = jnp.concatenate([x, label], axis=-1)
        if config.normalize_latents:
            x = ops.pixel_norm(x)
        for i in range(config.mapping_layers):
            last = i == config.mapping_layers - 1
            x = Dense(
                config.w_dim if last else config.mapping_fmaps,
                gain=ops.ACTIVATION_GAIN,
                lr_multiplier=config.mapping_lr_multiplier,
                name=f'dense{i}',
            )(x)
            x = ops.rectify(x, config.mapping_nonlinearity)
        return x
