"""Small networks and runs for the tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax import training
from stylegan_jax.config import (
    Config,
    DiscriminatorConfig,
    GeneratorConfig,
    ImageConfig,
    ParallelConfig,
    ScheduleConfig,
)
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator

HARDLY_ANY = 1e-30  # momentum, where a test wants Adam to keep the gradient: as its first moment
_WIDTHS = {'fmap_base': 32, 'fmap_max': 8}
# Table 1 of the paper; F is E trained with mixing regularization.
_CONFIGURATIONS = {
    'B': {
        'mapping_layers': 0,
        'use_styles': False,
        'const_input': False,
        'use_noise': False,
        'use_pixel_norm': True,
        'use_instance_norm': False,
        'truncation_psi': None,
    },
    'C': {'const_input': False, 'use_noise': False},
    'D': {'use_noise': False},
    'E': {},
    'F': {},
}


def generator_config(letter='F', resolution=16, *, image=None, **fields):
    """A small generator of configuration A to F."""
    image = image or ImageConfig(resolution)
    if letter == 'A':
        return GeneratorConfig.progan(image, **dict(z_dim=6, **_WIDTHS) | fields)
    widths = dict(z_dim=6, w_dim=5, mapping_layers=2, mapping_fmaps=7, truncation_cutoff=4, **_WIDTHS)
    return GeneratorConfig(image, **widths | _CONFIGURATIONS[letter] | fields)


def discriminator_config(letter='F', resolution=16, *, image=None, **fields):
    """The discriminator that goes with `generator_config`."""
    image = image or ImageConfig(resolution)
    special = {'architecture': 'progan', 'blur_filter': ()} if letter == 'A' else {}
    return DiscriminatorConfig(image, **_WIDTHS | special | fields)


def run_config(letter='F', resolution=8, *, image=None, generator=None, discriminator=None, **fields):
    """A small run of one replica on one device, 4 images a step."""
    image = image or ImageConfig(resolution)
    return Config(
        **{
            'replicas': 1,
            'precision': 'float32',
            'parallel': ParallelConfig(devices=1),
            'image': image,
            'schedule': ScheduleConfig(batch=4),
            'generator': generator_config(letter, image=image, **generator or {}),
            'discriminator': discriminator_config(letter, image=image, **discriminator or {}),
        }
        | fields
    )


def filled(network, seed=1):
    """Moves every array, so that biases, noise strengths and the average w take part."""
    leaves, structure = jax.tree.flatten(network)
    random = np.random.default_rng(seed)
    moved = [np.asarray(x) + 0.3 * random.standard_normal(x.shape, np.float32) for x in leaves]
    return jax.tree.unflatten(structure, [jnp.asarray(x, leaf.dtype) for x, leaf in zip(moved, leaves, strict=True)])


def fresh(kind, config, seed=0):
    """Draws what `kind.init` draws, by NumPy: XLA takes a second to compile it for each of a hundred architectures."""
    random = np.random.default_rng(seed)

    def draw(path, leaf):
        name = jax.tree_util.keystr(path)
        if name.endswith("['const']"):
            return np.ones(leaf.shape, leaf.dtype)
        if not (name.endswith("weight']") or name.startswith('.noise')):
            return np.zeros(leaf.shape, leaf.dtype)
        scale = 1 / config.mapping_lr_multiplier if "['mapping']['dense" in name else 1
        return (scale * random.standard_normal(leaf.shape)).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(lambda: kind.init(jax.random.key(0), config)))


@functools.cache
def generator(config):
    return filled(fresh(Generator, config))


@functools.cache
def discriminator(config):
    return filled(fresh(Discriminator, config, seed=2))


def state(config, **given):
    """The state before the first step of networks from NumPy, `filled`; `given` as `training.create_state` takes it."""
    networks = {'generator': generator(config.generator), 'discriminator': discriminator(config.discriminator)}
    return training.create_state(config, **networks | given)


def saved(generator, tmp_path_factory):
    """Path of a file with a network."""
    path = str(tmp_path_factory.mktemp('network') / 'network.npz')
    generator.save(path)
    return path


def with_gradients(function, *arguments):
    """The value, the gradients of a nonlinear function of it, and the gradients of their squares."""
    every = tuple(range(len(arguments)))
    gradients = jax.grad(lambda *a: jnp.sum(jnp.sin(function(*a))), argnums=every)
    second = jax.grad(lambda *a: sum(jnp.sum(jnp.square(g)) for g in gradients(*a)), argnums=every)
    return jax.jit(lambda *a: (function(*a), gradients(*a), second(*a)))(*arguments)


def normal(*shape, seed=0):
    """Reproducible normal numbers in the current default precision."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), float)


def assert_trees_close(a, b, **tolerances):
    def check(path, x, y):
        np.testing.assert_allclose(x, y, err_msg=jax.tree_util.keystr(path), **tolerances)

    jax.tree_util.tree_map_with_path(check, a, b)


def trees_equal(a, b):
    """Whether all arrays are the same to the bit."""
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
