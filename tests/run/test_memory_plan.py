"""The estimate of memory, against XLA's own plan for an H100 (compiled 2026-11-22)."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

import tiny
import tiny_run
from stylegan_jax import training
from stylegan_jax.benchmarks.cases import full_config
from stylegan_jax.config import ImageConfig, LossConfig, ParallelConfig
from stylegan_jax.config.schedule import resolve
from stylegan_jax.data.batch import Batch
from stylegan_jax.run import memory_plan
from stylegan_jax.run.memory_plan import Plan
from stylegan_jax.runtime.flops import model_flops
from stylegan_jax.training import Share


@pytest.mark.parametrize('resolution, gigabytes', [(256, 0.70), (1024, 2.7)])
def test_estimate_is_near_what_xla_plans(resolution, gigabytes):
    """Of batch 4 in bfloat16: temporary memory, without the state."""
    config = full_config(resolution, 'bfloat16')
    state = jax.eval_shape(lambda: training.create_state(config))
    plan = memory_plan._plan(config, state, config.image.num_stages - 1, 4, Share(1))
    networks = state.g_params, state.d_params, state.g_ema, state.g_optimizer, state.d_optimizer
    assert plan.total_bytes - memory_plan._bytes(networks) == pytest.approx(gigabytes * 1e9, rel=0.3)


@pytest.mark.parametrize(
    'letter, loss',
    [('F', {}), ('F', {'r2_gamma': 10.0}), ('F', {'r1_gamma': 0.0}), ('A', {'name': 'wgan_gp'})],
    ids=str,
)
def test_operations_are_those_of_the_iteration(letter, loss):
    config = resolve(tiny.run_config(letter, replicas=1, image=ImageConfig(16), loss=LossConfig(**loss)))
    (*_, plan) = memory_plan.plans(dataclasses.replace(config, parallel=ParallelConfig(devices=1)))
    pixels = jax.ShapeDtypeStruct((plan.batch, *config.image.shape), jnp.uint8)
    label = jax.ShapeDtypeStruct((plan.batch, 0), jnp.float32)
    counted = model_flops(
        lambda *args: training.train_iteration(config, *args, 0.001, stage=config.image.num_stages - 1),
        jax.eval_shape(lambda: training.create_state(config)),
        Batch(pixels, label, label),
    )
    assert plan.flops_per_image == pytest.approx(counted / plan.batch, rel=0.05)


def test_every_stage_and_batch_has_a_plan():
    plans = memory_plan.plans(tiny_run.run_config())
    assert [(plan.resolution, plan.batch, plan.images) for plan in plans] == [((4, 4), 4, 4), ((8, 8), 4, 4)]
    assert 0 < plans[0].flops_per_image < plans[1].flops_per_image
    assert 0 < plans[0].total_bytes < plans[1].total_bytes


def test_says_which_accumulate_makes_it_fit():
    plan = Plan((8, 8), 32, 32, 1, 4, 0.0, fixed_bytes=100, held_bytes=10, bytes_per_image=10)
    assert plan.total_bytes == 430
    assert plan.verdict(430) == 'yes'
    assert plan.verdict(429) == plan.verdict(270) == 'with parallel.accumulate=2'
    assert plan.verdict(269) == plan.verdict(190) == 'with parallel.accumulate=4'
    assert plan.verdict(189) == 'no, with no parallel.accumulate'
