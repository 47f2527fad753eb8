"""Steps in bfloat16 and float16 against float32, loss scaling, and lazy penalties."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax import training
from stylegan_jax.config import LossConfig
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.training.gradients import discriminator_gradients, generate, generator_gradients

STAGE = 3  # up to 16x16 the generator is float32 anyway
LABEL = jnp.zeros((4, 0))
WIDE = {'fmap_base': 256, 'fmap_max': 32}
# A gradient counts if its norm is at least this fraction of the greatest norm. Smaller ones are mostly rounding.
NEGLIGIBLE = 0.01


def configured(precision='float32', **loss):
    return tiny.run_config('F', 32, precision=precision, loss=LossConfig(**loss), generator=WIDE, discriminator=WIDE)


@functools.cache
def start():
    config, key = configured(), jax.random.key(0)
    networks = {
        'generator': tiny.filled(Generator.init(key, config.generator)),
        'discriminator': tiny.filled(Discriminator.init(key, config.discriminator)),
    }
    state = training.create_state(config, **networks)
    # The first scale, 16, is the greatest that can work in float16, and runs come down from it.
    return state.replace(g_loss_scale=jnp.float32(10), d_loss_scale=jnp.float32(10))


def inputs(name):
    """(arguments after the state, draws) of a step."""
    draw = {'d': training.draw_discriminator_step, 'g': training.draw_generator_step}[name]
    draws = draw(configured(), start().key, 0, 4, stage=STAGE)
    reals = np.random.default_rng(3).integers(0, 256, (4, 32, 32, 3), np.uint8)
    return (reals, LABEL, draws) if name == 'd' else (LABEL, draws)


@functools.cache
def compiled_gradients(name, precision, **loss):
    function = {'d': discriminator_gradients, 'g': generator_gradients}[name]
    return jax.jit(functools.partial(function, configured(precision, **loss), stage=STAGE))


def gradients(name, precision='float32', cur_nimg=0, **loss):
    """(gradients, metrics) of a step, after `cur_nimg` images."""
    state = start().replace(cur_nimg=jnp.int32(cur_nimg))
    result, _, metrics, *_ = compiled_gradients(name, precision, **loss)(state, *inputs(name))
    return result, metrics


def assert_aligned(short, exact, cosine):
    exact = {jax.tree_util.keystr(path): np.ravel(g) for path, g in jax.tree_util.tree_leaves_with_path(exact)}
    short = {jax.tree_util.keystr(path): np.ravel(g) for path, g in jax.tree_util.tree_leaves_with_path(short)}
    norms = {name: np.linalg.norm(g) for name, g in exact.items()}
    counted = [name for name in norms if norms[name] > NEGLIGIBLE * max(norms.values())]
    assert len(counted) > len(norms) / 2
    for name in counted:
        length = np.linalg.norm(short[name])
        assert short[name] @ exact[name] / (length * norms[name]) > cosine, name
        assert length == pytest.approx(norms[name], rel=0.1), name


# bfloat16 and float16.


@pytest.mark.parametrize('precision', ['bfloat16', pytest.param('float16', marks=pytest.mark.full)])
@pytest.mark.parametrize('name', [pytest.param('d', marks=pytest.mark.full), 'g'])
def test_gradients_in_short_types(name, precision):
    short, _ = gradients(name, precision)
    exact, _ = gradients(name)
    assert {g.dtype for g in jax.tree.leaves(short)} == {jnp.dtype('float32')}
    assert_aligned(short, exact, 0.99)


def test_images_in_bfloat16():
    _, draws = inputs('g')
    short, exact = (
        jax.jit(functools.partial(generate, configured(precision), stage=STAGE, alpha=1.0))(
            start().g_params, LABEL, draws
        )[0]
        for precision in ('bfloat16', 'float32')
    )
    error = np.sqrt(np.mean(np.square(np.asarray(short, np.float32) - exact))) / np.std(exact)
    assert 0 < error < 0.02


# Loss scaling.


@functools.cache
def compiled_step(name, precision):
    step = {'d': training.discriminator_step, 'g': training.generator_step}[name]
    return jax.jit(functools.partial(step, configured(precision), stage=STAGE, lr=0.001))


@pytest.mark.full
@pytest.mark.parametrize('name', ['d', 'g'])
def test_the_scale_of_float16_rises_and_falls(name):
    step, scale = compiled_step(name, 'float16'), f'{name}_loss_scale'
    after, metrics = step(start(), *inputs(name))
    assert metrics[f'{name}_skipped'] == 0 and float(getattr(after, scale)) == pytest.approx(10.0005, abs=1e-5)
    state = start().replace(**{scale: jnp.float32(60)})
    after, metrics = step(state, *inputs(name))
    assert metrics[f'{name}_skipped'] == 1 and getattr(after, scale) == 59
    for field in (f'{name}_params', f'{name}_optimizer'):
        assert tiny.trees_equal(getattr(after, field), getattr(state, field))


@pytest.mark.parametrize('name', ['d', pytest.param('g', marks=pytest.mark.full)])
def test_what_steps_carry_stays_float32(name):
    after, metrics = compiled_step(name, 'bfloat16')(start(), *inputs(name))

    def types(tree):
        return jax.tree.map(lambda x: x.dtype, tree)

    assert types(after.replace(key=None)) == types(start().replace(key=None))
    assert not {metric.dtype for metric in metrics.values()} & {jnp.dtype('bfloat16'), jnp.dtype('float16')}
    assert getattr(after, f'{name}_loss_scale') == getattr(start(), f'{name}_loss_scale')


# Lazy penalties.


@pytest.mark.parametrize(
    'shown, gamma', [(0, 20.0), *(pytest.param(*pair, marks=pytest.mark.full) for pair in ((4, 0.0), (8, 20.0)))]
)
def test_lazy_penalties(shown, gamma):
    lazy, metrics = gradients('d', cur_nimg=shown, r1_gamma=10.0, lazy_r1_interval=2)
    plain, plain_metrics = gradients('d', cur_nimg=shown, r1_gamma=gamma)
    tiny.assert_trees_close(lazy, plain, rtol=1e-3, atol=1e-4)
    assert metrics['r1_penalty'] == pytest.approx(float(2 * plain_metrics['r1_penalty']) if gamma else 0.0, rel=1e-4)


def test_only_lazy_penalties_branch(accelerator_forms):  # a choice of platform is a branch as well
    def branches(interval):
        function = functools.partial(discriminator_gradients, configured(lazy_r1_interval=interval), stage=STAGE)
        return str(jax.make_jaxpr(function)(start(), *inputs('d'))).count('cond[')

    assert (branches(1), branches(2)) == (0, 1)
