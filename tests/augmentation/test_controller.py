"""The controller of adaptive augmentation against its equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.augmentation.controller import adapt, first_augmentation


@pytest.mark.parametrize('interval', [1, 4])
def test_a_thousand_steps_follow_the_equations(interval):
    """p moves by the images of the interval over those of the speed, up where r_t is above the target, else down."""
    random = np.random.default_rng(0)
    overfitting = np.repeat([-0.5, 0.9, 0.2, 0.8], 250)  # down to the floor, up, down, up
    signs = np.clip(overfitting + 0.3 * random.standard_normal(1000), -1, 1).astype(np.float32)
    batches = np.repeat([32, 16, 32, 64], 250)
    step = jax.jit(lambda state, sign, batch: adapt(state, sign, batch, target=0.6, speed_kimg=20.0, interval=interval))
    state, p, sums = first_augmentation(), 0.0, []
    reached = set()
    for number, (sign, batch) in enumerate(zip(signs, batches), 1):
        state = step(state, sign, int(batch))
        sums.append((sign * batch, batch))
        if number % interval == 0:
            r_t = sum(a for a, _ in sums) / sum(b for _, b in sums)
            p = min(max(p + np.sign(r_t - 0.6) * sum(b for _, b in sums) / 20_000, 0), 1)
            sums = []
        np.testing.assert_allclose(state.p, p, atol=1e-5)
        assert state.steps == len(sums) and state.images == sum(b for _, b in sums)
        reached.add(round(p, 1))
    assert len(reached) > 4


@pytest.mark.parametrize('sign, expected', [(1.0, 1.0), (-1.0, 0.0)])
def test_p_stays_a_probability(sign, expected):
    state = first_augmentation().replace(p=jnp.float32(0.5))
    for _ in range(3):
        state = adapt(state, jnp.float32(sign), 600, target=0.6, speed_kimg=1.0, interval=1)
    assert state.p == expected


def test_at_the_target_p_stays():
    state = first_augmentation().replace(p=jnp.float32(0.5))
    assert adapt(state, jnp.float32(0.5), 64, target=0.5, speed_kimg=1.0, interval=1).p == 0.5
