"""StyleGAN in JAX and Flax: `load` a network, or `Generator.init` a fresh one."""
from stylegan_jax.config import Config, DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.discriminator import Discriminator
from stylegan_jax.errors import UserError
from stylegan_jax.generator import Generator, mix
from stylegan_jax.loading import load
from stylegan_jax.networks.ops import adaptive_instance_norm

__all__ = ['Config', 'Discriminator', 'DiscriminatorConfig', 'Generator', 'GeneratorConfig', 'ImageConfig',
           'UserError', 'adaptive_instance_norm', 'load', 'mix']
