"""Networks whose convolutions filter along rows, against the same networks with the filter by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.config.network import DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.networks.discriminator import Discriminator, discriminate
from stylegan_jax.networks.generator import Generator, broadcast_w, draw_noise, synthesize_images
from stylegan_jax.networks.kernels import convolution, row_packing
from stylegan_jax.networks.layers import stage_name
from stylegan_jax.runtime.by_platform import traced_for

IMAGE = ImageConfig(16, channels=2, base_shape=(2, 4))
TAPS = (1, 2, 4)  # not symmetric, so that none is mistaken for its reverse


@pytest.fixture
def results(float64, monkeypatch):
    """Returns (result with the filter in convolutions of blocks, result without blocks) of a function."""

    def both(function, *arguments):
        found = []
        for in_blocks in (True, False):
            monkeypatch.setattr(row_packing, 'is_half_precision', lambda dtype: in_blocks)
            assert convolution.blurs_rows(8, 8, TAPS, jnp.float64) == in_blocks
            jax.clear_caches()  # a trace made the other way would pass for this one
            with traced_for('cuda'):
                found.append(jax.jit(function)(*arguments))
        jax.clear_caches()
        return found

    return both


def moved(params):
    """Returns parameters none of which is zero, or as good as its neighbours, so that each has a gradient."""
    return jax.tree.map(lambda x: x + 0.3 * tiny.normal(*x.shape, seed=x.size), params)


@pytest.mark.full
def test_discriminator(results):
    """The score and the gradients of a score and of R1."""
    config = DiscriminatorConfig(image=IMAGE, fmap_base=64, fmap_max=8, blur_filter=TAPS)
    params = moved(Discriminator.init(jax.random.key(0), config).params)
    stage = IMAGE.num_stages - 1
    x = tiny.normal(4, *IMAGE.stage_shape(stage), 2)

    def score(params, x):
        return jnp.sum(discriminate(config, params, x, jnp.zeros((4, 0)), stage=stage, alpha=None))

    def loss(params):
        return score(params, x) + jnp.sum(jnp.square(jax.grad(score, argnums=1)(params, x)))

    ours, plain = results(jax.value_and_grad(loss), params)
    assert all(np.any(g) for g in jax.tree.leaves(plain[1][stage_name(IMAGE, stage)]['conv0']))
    tiny.assert_trees_close(ours, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.full
def test_generator(results):
    """Images, and the gradients of a function of them."""
    config = GeneratorConfig(
        image=IMAGE, z_dim=8, w_dim=8, mapping_layers=1, fmap_base=64, fmap_max=8, blur_filter=TAPS
    )
    params = moved(Generator.init(jax.random.key(0), config).params)
    stage = IMAGE.num_stages - 1
    ws = broadcast_w(config, tiny.normal(2, 8))
    noise = draw_noise(config, jax.random.key(1), 2, stage, jnp.float64)

    def loss(params):
        images = synthesize_images(config, params, ws, noise, stage=stage, alpha=None)
        return jnp.sum(jnp.sin(images)), images

    ours, plain = results(jax.value_and_grad(loss, has_aux=True), params)
    tiny.assert_trees_close(ours, plain, rtol=1e-9, atol=1e-9)
