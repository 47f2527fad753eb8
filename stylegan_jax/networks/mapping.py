"""The mapping network f: z (and a label) to the intermediate latent w (Section 2; Figure 1b)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from stylegan_jax.config.network import GeneratorConfig
from stylegan_jax.networks import ops
from stylegan_jax.networks.layers import Dense


class Mapping(nn.Module):
    """Maps latents z to intermediate latents w: 8 fully connected layers of width 512 in the paper.

    Attributes:
      config: of the whole generator.
    """

    config: GeneratorConfig

    @nn.compact
    def __call__(self, z: jax.Array, label: jax.Array) -> jax.Array:
        """Computes w.

        Args:
          z: [N, Z].
          label: [N, K]; K may be 0.

        Returns:
          w, [N, W]. Without mapping layers w is z (with its label), normalised.
        """
        config = self.config
        x = z
        if config.image.label_dim:
            # A label becomes an embedding of the size of z. Progressive GAN appends the label itself.
            if not config.is_progan:
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
                lr_multiplier=config.mapping_lr_multiplier,  # 0.01: deep mappings are unstable otherwise (Appendix C)
                name=f'dense{i}',
            )(x)
            x = ops.rectify(x, config.mapping_nonlinearity)
        return x
