"""The parameter trees: names, shapes, counts, initial values, and which stage reaches what."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.config import DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.networks.discriminator import Discriminator, discriminate
from stylegan_jax.networks.generator import Generator, broadcast_w, map_latents, synthesize_images

# The trees of a generator and a discriminator of 8x8 images with 2 classes. Z 6, W 5, mapping width 7;
# 8 feature maps at both stages; one more channel for the minibatch standard deviation.
GOLDEN_GENERATOR = """
mapping/dense0/bias 7
mapping/dense0/weight 12x7
mapping/dense1/bias 5
mapping/dense1/weight 7x5
mapping/label_weight 2x6
synthesis/4x4/const/bias 8
synthesis/4x4/const/const 1x4x4x8
synthesis/4x4/const/noise_strength 8
synthesis/4x4/const/style/bias 16
synthesis/4x4/const/style/weight 5x16
synthesis/4x4/conv/bias 8
synthesis/4x4/conv/noise_strength 8
synthesis/4x4/conv/style/bias 16
synthesis/4x4/conv/style/weight 5x16
synthesis/4x4/conv/weight 3x3x8x8
synthesis/4x4/to_rgb/bias 3
synthesis/4x4/to_rgb/weight 1x1x8x3
synthesis/8x8/conv0_up/bias 8
synthesis/8x8/conv0_up/noise_strength 8
synthesis/8x8/conv0_up/style/bias 16
synthesis/8x8/conv0_up/style/weight 5x16
synthesis/8x8/conv0_up/weight 3x3x8x8
synthesis/8x8/conv1/bias 8
synthesis/8x8/conv1/noise_strength 8
synthesis/8x8/conv1/style/bias 16
synthesis/8x8/conv1/style/weight 5x16
synthesis/8x8/conv1/weight 3x3x8x8
synthesis/8x8/to_rgb/bias 3
synthesis/8x8/to_rgb/weight 1x1x8x3
"""
GOLDEN_DISCRIMINATOR = """
4x4/conv/bias 8
4x4/conv/weight 3x3x9x8
4x4/dense0/bias 8
4x4/dense0/weight 128x8
4x4/dense1/bias 2
4x4/dense1/weight 8x2
4x4/from_rgb/bias 8
4x4/from_rgb/weight 1x1x3x8
8x8/conv0/bias 8
8x8/conv0/weight 3x3x8x8
8x8/conv1_down/bias 8
8x8/conv1_down/weight 3x3x8x8
8x8/from_rgb/bias 8
8x8/from_rgb/weight 1x1x3x8
"""


def named(params):
    """{'4x4/conv/bias': array, ...}"""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {'/'.join(entry.key for entry in path): leaf for path, leaf in leaves}


def shapes(cls, config):
    return jax.eval_shape(lambda key: cls.init(key, config), jax.random.key(0))


def count(network):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(network.params))


@pytest.mark.parametrize(
    'cls, make_config, golden',
    [
        (Generator, tiny.generator_config, GOLDEN_GENERATOR),
        (Discriminator, tiny.discriminator_config, GOLDEN_DISCRIMINATOR),
    ],
)
def test_golden_tree(cls, make_config, golden):
    params = named(shapes(cls, make_config(image=ImageConfig(8, label_dim=2))).params)
    lines = [f'{name} ' + 'x'.join(map(str, leaf.shape)) for name, leaf in params.items()]
    assert lines == golden.split('\n')[1:-1]


def test_full_size_counts_are_the_published_ones():
    assert count(shapes(Generator, GeneratorConfig())) == 26_219_627
    assert count(shapes(Discriminator, DiscriminatorConfig())) == 23_087_249


@functools.cache
def wide_generator():
    config = tiny.generator_config(
        image=ImageConfig(8, label_dim=40),
        fmap_base=4096,
        fmap_max=64,
        z_dim=40,
        w_dim=40,
        mapping_fmaps=40,
        mapping_lr_multiplier=0.02,
    )
    return Generator.init(jax.random.key(0), config)


def test_initial_values():
    network = wide_generator()
    for name, leaf in named(network.params).items():
        if name.endswith('/const'):
            assert (leaf == 1).all(), name
        elif name.endswith('weight'):
            deviation = 1 / 0.02 if name.startswith('mapping/dense') else 1
            assert leaf.std() == pytest.approx(deviation, rel=5 / math.sqrt(2 * leaf.size)), name
            assert abs(leaf.mean()) < 5 * deviation / math.sqrt(leaf.size), name
        else:
            assert name.endswith(('bias', 'noise_strength')) and (leaf == 0).all(), name
    noise = np.concatenate([leaf.ravel() for leaf in network.noise])
    assert [leaf.shape for leaf in network.noise] == [(1, s, s, 1) for s in (4, 4, 8, 8)]
    assert noise.std() == pytest.approx(1, abs=0.2)
    assert (network.w_avg == 0).all()


def test_the_networks_of_the_tests_are_drawn_alike():
    """Those of `tiny.fresh`, leaf by leaf: the same type, mean and spread."""
    network = wide_generator()
    drawn = jax.tree.leaves(tiny.fresh(Generator, network.config))
    for (path, leaf), ours in zip(jax.tree_util.tree_leaves_with_path(network), drawn, strict=True):
        assert ours.shape == leaf.shape and ours.dtype == leaf.dtype, path
        error = 7 * leaf.std() / math.sqrt(leaf.size)  # five standard errors of the difference of two means
        assert abs(ours.mean() - leaf.mean()) <= error and abs(ours.std() - leaf.std()) <= error, path


def test_every_array_is_drawn_on_its_own():
    network = wide_generator()
    drawn = [
        leaf.ravel()[:10] for name, leaf in named(network.params).items() if name.endswith('weight') and leaf.size >= 10
    ]
    drawn += [leaf.ravel()[:10] for leaf in network.noise]
    assert len(np.unique(np.stack(drawn), axis=0)) == len(drawn)


VARIANTS = {
    'A with labels': {'letter': 'A', 'image': ImageConfig(8, label_dim=3)},
    'B': {'letter': 'B'},
    'C': {'letter': 'C'},
    'D': {'letter': 'D'},
    'E and F': {'letter': 'F'},
    'rosinality': {
        'generator': {'architecture': 'rosinality'},
        'discriminator': {'architecture': 'rosinality'},
    },
    'labels, 1 channel, no blur, no mbstd': {
        'image': ImageConfig(8, channels=1, label_dim=3),
        'generator': {'blur_filter': ()},
        'discriminator': {'blur_filter': (), 'mbstd_group_size': 0},
    },
    '3x4, 4 channels, relu': {
        'image': ImageConfig(8, base_shape=(3, 4), channels=4),
        'generator': {'nonlinearity': 'relu', 'mapping_nonlinearity': 'relu'},
        'discriminator': {'nonlinearity': 'relu'},
    },
    'no mapping layers, 2 mbstd features': {
        'image': ImageConfig(8, label_dim=3),
        'generator': {'mapping_layers': 0},
        'discriminator': {'mbstd_num_features': 2},
    },
}


@functools.cache
def run_stage(variant, stage):
    """Images, logits, and the gradients of their sum in both networks' weights, by name."""
    config = tiny.run_config(**VARIANTS[variant])
    G, D = tiny.generator(config.generator), tiny.discriminator(config.discriminator)
    z = tiny.normal(4, config.generator.z_dim)
    label = jax.nn.one_hot(jnp.arange(4), config.image.label_dim)
    label = label.at[3].set(1)  # every row of a label's matrix takes part in some sample

    def run(params):
        ws = broadcast_w(G.config, map_latents(G.config, params['G'], z, label))
        images = synthesize_images(G.config, params['G'], ws, G.noise[: 2 * stage + 2], stage=stage, alpha=0.4)
        logits = discriminate(D.config, params['D'], images, label, stage=stage, alpha=0.4)
        return jnp.sum(jnp.sin(logits)), (images, logits)

    gradients, (images, logits) = jax.jit(jax.grad(run, has_aux=True))({'G': G.params, 'D': D.params})
    return config.image, images, logits, named(gradients)


def is_reached(name, image, stage):
    """Whether a fade into `stage` uses an array: stages up to it, colours of the last two."""
    block = re.search(r'(\d+)x(\d+)/(\w+)', name)
    if not block:
        return True
    shapes = [image.stage_shape(s) for s in range(image.num_stages)]
    its_stage = shapes.index((int(block[1]), int(block[2])))
    return stage - 1 <= its_stage <= stage if block[3].endswith('_rgb') else its_stage <= stage


@pytest.mark.parametrize('stage', [pytest.param(0, marks=pytest.mark.full), 1])
@pytest.mark.parametrize('variant', VARIANTS)
def test_runs_at_every_stage(variant, stage):
    image, images, logits, gradients = run_stage(variant, stage)
    assert images.shape == (4, *image.stage_shape(stage), image.channels)
    assert logits.shape == (4,)
    assert np.isfinite(images).all() and np.isfinite(logits).all()
    assert np.std(images, axis=0).min() > 0 and np.std(logits) > 0  # samples differ
    for name, gradient in gradients.items():
        assert np.isfinite(gradient).all(), name
        assert np.any(gradient) == is_reached(name, image, stage), name
