"""Cutting a run's iterations into dispatches, and having their batches ready ahead of time."""

import types

import pytest

import tiny_run
from stylegan_jax.config.schedule import Iterations
from stylegan_jax.run.dispatches import black_batch, dispatches, with_batches
from stylegan_jax.training import Program


def devices(steps):
    """Stands in for devices with `steps` iterations per dispatch."""
    return types.SimpleNamespace(
        program=lambda stage, batch, alpha: Program(stage, batch, steps),
        arrange=lambda *batches: batches,
        part=lambda batch: (0, batch),
    )


def steps_of(steps, nimg=0, group_nimg=0):
    """[(position, steps)] of the first three groups, which are of 4 iterations with 4 images each."""
    config = tiny_run.run_config()
    all_of_run = dispatches(config, devices(steps), Iterations(config, nimg, group_nimg), group_nimg)
    return [(dispatch.position, dispatch.program.steps) for dispatch in all_of_run if dispatch.position < 48]


@pytest.mark.parametrize('steps', [1, 2, 4])
def test_a_group_is_cut_into_equal_dispatches(steps):
    assert steps_of(steps) == [(position, steps) for position in range(0, 48, 4 * steps)]


def test_the_rest_of_a_group_that_does_not_divide_is_taken_one_by_one():
    assert steps_of(4, nimg=20, group_nimg=16) == [(20, 1), (24, 1), (28, 1), (32, 4)]
    assert steps_of(2, nimg=20, group_nimg=16) == [(20, 1), (24, 2), (32, 2), (40, 2)]
    assert steps_of(2, nimg=24, group_nimg=16) == [(24, 2), (32, 2), (40, 2)]


def test_all_iterations_of_a_dispatch_have_its_setting():
    config = tiny_run.run_config()
    iterations = Iterations(config, 0, 0)
    expected = [setting for _, setting in iterations]
    found = list(dispatches(config, devices(4), iterations, 0))
    assert [dispatch.setting for dispatch in found for _ in range(dispatch.program.steps)] == expected
    assert {dispatch.program for dispatch in found} == {Program(0, 4, 4), Program(1, 4, 4)}


def test_batches_are_asked_for_ahead_of_time():
    config, asked = tiny_run.run_config(), []

    def next_batch(setting):
        asked.append(setting.stage)
        return len(asked)

    ahead = with_batches(dispatches(config, devices(2), Iterations(config, 0, 0), 0), next_batch, devices(2), ahead=2)
    dispatch, last, arranged = next(ahead)
    assert (dispatch.position, last, arranged) == (0, 2, (1, 2)) and len(asked) == 6
    assert [(dispatch.position, arranged) for dispatch, _, arranged in ahead] == [
        (position, (position // 4 + 1, position // 4 + 2)) for position in range(8, 160, 8)
    ]


def test_black_batches_have_the_shapes_of_the_stage():
    config = tiny_run.run_config()
    _, setting = Iterations(config, 0, 0)[0]
    batch = black_batch(config, devices(1), setting)
    assert batch.images.shape == (4, 4, 4, 3) and not batch.images.any()
    assert batch.labels.shape == batch.g_labels.shape == (4, 0)
