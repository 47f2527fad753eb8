"""The discriminator that users hold: arrays as leaves, config as static data."""
import dataclasses
import functools
import typing

import jax
import jax.numpy as jnp
from flax import traverse_util

from stylegan_jax import network_file
from stylegan_jax.errors import UserError
from stylegan_jax.network_config import DiscriminatorConfig
from stylegan_jax.networks.discriminator import Discriminate
from stylegan_jax.networks.labels import as_label
from stylegan_jax.schedule import stage_and_alpha


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
            raise UserError(f'images have shape {images.shape}; at lod {lod} give [N, '
                             + ', '.join(map(str, shape)) + ']')
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
    """Runs the network; see `networks.discriminator.Discriminate`."""
    return Discriminate(config).apply({'params': params}, images, label, stage=stage, alpha=alpha,
                                      replicas=replicas, dtype=dtype)


_discriminate_compiled = jax.jit(discriminate, static_argnums=0, static_argnames='stage')


@functools.partial(jax.jit, static_argnums=1)
def _init(key, config):
    image = config.image
    images, label = jnp.zeros((1, *image.shape)), jnp.zeros((1, image.label_dim))
    params = Discriminate(config).init(key, images, label, stage=image.num_stages - 1, alpha=1.0)['params']
    return Discriminator(config, params)
