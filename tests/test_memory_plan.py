"""The estimate of memory, against XLA's own plan for an H100 (compiled 2026-11-22)."""
import jax
import pytest

import tiny_run
from stylegan_jax import memory_plan, training
from stylegan_jax.benchmarks.cases import full_config
from stylegan_jax.memory_plan import Plan


@pytest.mark.parametrize('resolution, gigabytes', [(256, 0.70), (1024, 2.7)])
def test_estimate_is_near_what_xla_plans(resolution, gigabytes, monkeypatch):
    """Of batch 4 in bfloat16: temporary memory, without the state."""
    monkeypatch.setattr(memory_plan, '_flops', lambda *args: 0)      # tracing takes long and is tested below
    config = full_config(resolution, 'bfloat16')
    state = jax.eval_shape(lambda: training.create_state(config))
    plan = memory_plan._plan(config, state, config.image.num_stages - 1, 4, 1)
    networks = state.g_params, state.d_params, state.g_ema, state.g_optimizer, state.d_optimizer
    assert plan.total_bytes - memory_plan._bytes(networks) == pytest.approx(gigabytes * 1e9, rel=0.3)


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
