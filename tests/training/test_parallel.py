"""The same training on any number of devices, in every way to compile it."""

import functools
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
import trajectory

import tiny
from stylegan_jax import training
from stylegan_jax.config import AugmentConfig, ImageConfig, LossConfig, ParallelConfig, TrainConfig
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.compiling import Compilation, is_compiling
from tiny_run import count_compilations

HERE = pathlib.Path(__file__).parent


def largest_error(arrays, expected):
    """Over all arrays, norm of the difference over norm of the expected."""
    assert arrays.keys() == expected.keys()
    return max(
        np.linalg.norm(np.float64(arrays[name]) - expected[name])
        / max(np.linalg.norm(np.float64(expected[name])), 1e-30)
        for name in expected
    )


@functools.cache
def expected(steps=20):
    """The trajectory of one device that runs all replicas as one batch."""
    return trajectory.trajectory(trajectory.run_config(parallel=ParallelConfig(devices=1)), steps)


@pytest.mark.parametrize(
    'mode, devices, accumulate',
    [
        pytest.param('pmap', 1, 1, marks=pytest.mark.full),
        pytest.param('jit', 1, 8, marks=pytest.mark.full),
        pytest.param('jit', 2, 1, marks=pytest.mark.full),
        ('pmap', 2, 2),
        pytest.param('pmap', 4, 1, marks=pytest.mark.full),
        pytest.param('jit', 4, 2, marks=pytest.mark.full),
        pytest.param('jit', 8, 1, marks=pytest.mark.full),
        pytest.param('pmap', 8, 1, marks=pytest.mark.full),
    ],
)
def test_trajectories_agree(float64, mode, devices, accumulate):
    """In double precision: in single precision a GAN's trajectory makes rounding grow."""
    config = trajectory.run_config(parallel=ParallelConfig(mode=mode, devices=devices, accumulate=accumulate))
    assert largest_error(trajectory.trajectory(config, 20), expected()) < 1e-9


@pytest.mark.parametrize('mode', ['jit', pytest.param('pmap', marks=pytest.mark.full)])
def test_processes_agree(float64, tmp_path, mode):
    """Two processes of four devices each."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        coordinator = f'127.0.0.1:{probe.getsockname()[1]}'
    environment = os.environ | {
        'PYTHONPATH': f'{HERE}:{HERE.parent}:' + os.environ.get('PYTHONPATH', ''),
        'XLA_FLAGS': os.environ['XLA_FLAGS'] + ' --xla_force_host_platform_device_count=4',
    }
    processes = [
        subprocess.Popen(
            [sys.executable, HERE / 'trajectory.py', coordinator, '2', str(process), mode, tmp_path / 'state'],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(2)
    ]
    errors = [process.communicate(timeout=500)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    for process in range(2):
        with np.load(tmp_path / f'state-{process}.npz') as arrays:
            assert largest_error(dict(arrays), expected()) < 1e-9


@pytest.mark.full
@pytest.mark.parametrize(
    'mode, devices, accumulate',
    [
        ('jit', 1, 1),
        ('pmap', 2, 4),
        ('jit', 8, 1),
    ],
)
def test_two_iterations_per_dispatch_agree(float64, mode, devices, accumulate):
    """With single iterations on as many devices; metrics are sums, but for counts of skipped steps in a row."""
    config = trajectory.run_config(parallel=ParallelConfig(mode=mode, devices=devices, accumulate=accumulate))
    steps = 8  # 4x4 and the fade
    singly = [trajectory.trajectory(config, steps - 1), trajectory.trajectory(config, steps)]
    state = {name: array for name, array in singly[1].items() if name.startswith('.')}
    per_dispatch = trajectory.trajectory(config, steps, per_dispatch=2)
    assert largest_error({name: per_dispatch[name] for name in state}, state) < 1e-10
    for name in per_dispatch.keys() - state.keys():
        expected = singly[1][name] + (0 if name.endswith("_in_a_row']") else singly[0][name])
        np.testing.assert_allclose(per_dispatch[name], expected, rtol=1e-10, err_msg=name)


@pytest.mark.full
def test_trajectories_with_all_options_agree(float64):
    """Colours with opacity and labels; the options choose their steps, and two iterations are one dispatch."""
    config = functools.partial(
        trajectory.run_config,
        image=ImageConfig(8, channels=4, label_dim=3),
        loss=LossConfig(path_length=2.0, path_length_interval=2, separation=0.5, lazy_r1_interval=2),
        augment=AugmentConfig(mode='ada', target=-0.9, interval=3, speed_kimg=0.2),
    )
    one = trajectory.trajectory(config(parallel=ParallelConfig(devices=1)), 4)
    four = trajectory.trajectory(config(parallel=ParallelConfig(devices=4, accumulate=2)), 4, per_dispatch=2)
    states = [{name: array for name, array in arrays.items() if name.startswith('.')} for arrays in (four, one)]
    assert largest_error(*states) < 1e-8 and one['.augmentation.p'] > 0 and one['.path_length_means'].all()
    assert np.any(one[".probe.params['weight']"])


def test_one_dispatch_agrees_closely(float64):
    """Adam's epsilon is large here: Adam divides by roots of squares, so that tiny gradients make rounding grow."""
    config = trajectory.run_config(parallel=ParallelConfig(devices=1), train=TrainConfig(ema_kimg=0.1, epsilon=1e-3))
    singly, per_dispatch = (trajectory.trajectory(config, 2, steps) for steps in (1, 2))
    state = {name: array for name, array in singly.items() if name.startswith('.')}
    assert len(state) > 100 and largest_error({name: per_dispatch[name] for name in state}, state) < 1e-12


@pytest.mark.full
def test_one_dispatch_agrees_in_single_precision(monkeypatch):
    """The moments of each network's gradients do; of a weight whose gradient nearly cancels, Adam enlarges rounding."""
    config = trajectory.run_config(
        precision='float32', parallel=ParallelConfig(devices=1), train=TrainConfig(ema_kimg=0.1, beta1=tiny.HARDLY_ANY)
    )
    for name in ('generator', 'discriminator'):  # not those that a test in double precision has made before
        monkeypatch.setattr(tiny, name, getattr(tiny, name).__wrapped__)
    singly, per_dispatch = (trajectory.trajectory(config, 2, steps) for steps in (1, 2))
    for part in ('g_optimizer.mu', 'g_optimizer.nu', 'd_optimizer.mu', 'd_optimizer.nu', 'd_params', 'g_ema'):
        a, b = (
            np.concatenate([array.ravel() for name, array in arrays.items() if name.startswith(f'.{part}')])
            for arrays in (per_dispatch, singly)
        )
        assert a.size > 100 and np.linalg.norm(a - b) < 1e-6 * np.linalg.norm(b), part


def test_steps_that_were_skipped_in_a_row_are_counted_over_a_dispatch():
    config = trajectory.run_config(precision='float32', parallel=ParallelConfig(devices=1))
    devices, batches = training.Devices(config), []
    batches = [trajectory.batch_at(config, devices, nimg, 0) for nimg in (0, 16)]
    state = tiny.state(config, lod=1)
    state = state.replace(d_params=jax.tree.map(lambda x: x * np.nan, state.d_params))
    _, metrics = devices.iteration()(devices.replicate(state), devices.arrange(*batches), 0.001, stage=0)
    assert metrics['d_skipped'] == metrics['d_skipped_in_a_row'] == 2 == metrics['g_skipped_in_a_row']


@pytest.mark.parametrize(
    'mode, devices, accumulate',
    [
        pytest.param('jit', 8, 1, marks=pytest.mark.full),
        ('pmap', 2, 1),
        pytest.param('jit', 2, 4, marks=pytest.mark.full),
    ],
)
def test_gradients_agree_in_single_precision(mode, devices, accumulate):
    """After one step; with hardly any momentum Adam's first moment is the gradient."""

    def gradients(parallel):
        train = TrainConfig(ema_kimg=0.1, beta1=tiny.HARDLY_ANY)
        arrays = trajectory.trajectory(trajectory.run_config(precision='float32', parallel=parallel, train=train), 1)
        return {name: array for name, array in arrays.items() if '.mu' in name}

    one = gradients(ParallelConfig(devices=1))
    assert len(one) > 20
    several = gradients(ParallelConfig(mode=mode, devices=devices, accumulate=accumulate))
    # Over each network: single tensors of it are sums that nearly cancel.
    for network in ('g_optimizer', 'd_optimizer'):
        a, b = (
            np.concatenate([array.ravel() for name, array in arrays.items() if network in name])
            for arrays in (several, one)
        )
        assert np.linalg.norm(a - b) < 1e-5 * np.linalg.norm(b)


@pytest.mark.parametrize(
    'mode, devices, accumulate, per_dispatch',
    [
        ('jit', 8, 1, 1),
        pytest.param('jit', 4, 2, 1, marks=pytest.mark.full),
        ('pmap', 2, 1, 1),
        ('jit', 1, 8, 1),
        pytest.param('jit', 2, 1, 2, marks=pytest.mark.full),
    ],
)
def test_one_all_reduce_a_step(mode, devices, accumulate, per_dispatch):
    """Two in an iteration of a D step and a G step; none for a single device."""
    config = trajectory.run_config(
        precision='float32', parallel=ParallelConfig(mode=mode, devices=devices, accumulate=accumulate)
    )
    runner = training.Devices(config)
    state = runner.replicate(tiny.state(config, lod=1))
    batch = runner.arrange(*[trajectory.batch_at(config, runner, 0, 0)] * per_dispatch)
    text = runner.iteration().lower(state, batch, 0.001, stage=0).compile().as_text()
    count = len(re.findall(r' = [^=]* all-reduce(?:-start)?\(', text))
    assert count == (0 if devices == 1 else 2)
    assert not re.search(r' (all-gather|all-to-all|collective-permute|reduce-scatter)', text)


# Ahead of time.


@pytest.mark.parametrize('mode', ['jit', pytest.param('pmap', marks=pytest.mark.full)])
def test_only_forms_for_the_platform_of_the_devices_are_traced(mode):
    config = trajectory.run_config(precision='float32', parallel=ParallelConfig(mode=mode, devices=1))
    runner = training.Devices(config)
    state = tiny.state(config, lod=1)
    program = training.Program(0, 16)
    text = runner.mapped(program).lower(*runner.abstract(state, program)).as_text()
    assert 'stablehlo.dot_general' in text
    assert 'stablehlo.case' not in text  # which is how a choice of the platform is lowered


@pytest.mark.parametrize(
    'mode, devices, per_dispatch',
    [
        pytest.param('jit', 2, 1, marks=pytest.mark.full),
        ('jit', 1, 2),
        pytest.param('pmap', 2, 2, marks=pytest.mark.full),
    ],
)
def test_what_was_prepared_is_what_a_call_needs(mode, devices, per_dispatch):
    config = trajectory.run_config(precision='float32', parallel=ParallelConfig(mode=mode, devices=devices))
    runner = training.Devices(config)
    state, step = runner.replicate(tiny.state(config, lod=1)), runner.iteration()
    program = training.Program(1, 16, per_dispatch)
    compilation = step.prepare(state, program)
    assert not compilation.is_done and step.compiled() == [], 'it did not go on in a thread'
    step.prepare(state, program).result()
    with count_compilations() as compilations:
        for nimg in (0, 32):  # also with what came out of the first call
            batches = [trajectory.batch_at(config, runner, nimg + 16 * number, 1) for number in range(per_dispatch)]
            state, _ = step(state, runner.arrange(*batches), 0.001, stage=1)
    assert not compilations and step.programs == {program}
    ((compiled, seconds),) = step.compiled()
    assert compiled == program and seconds == compilation.seconds > 0 and step.compiled() == []


def test_what_fails_in_the_thread_fails_the_call():
    config = trajectory.run_config(precision='float32', parallel=ParallelConfig(devices=1))
    runner = training.Devices(config)
    state, step = runner.replicate(tiny.state(config, lod=1)), runner.iteration()
    step.prepare(state.replace(w_avg=np.zeros([3], np.float32)), training.Program(0, 16))
    with pytest.raises(TypeError, match='shapes'):
        step(state, runner.arrange(trajectory.batch_at(config, runner, 0, 0)), 0.001, stage=0)


def test_a_wait_can_be_left():
    class Left(Exception):
        pass

    def leave():
        raise Left

    go_on = threading.Event()
    compilation = Compilation(lambda: go_on.wait() and 7)
    with pytest.raises(Left):
        compilation.result(leave)
    assert is_compiling() and not compilation.is_done
    go_on.set()
    assert compilation.result() == 7


@pytest.mark.full
def test_iterations_go_on_over_several_devices_while_a_thread_compiles():
    """Devices that are threads meet one another also then."""
    config = trajectory.run_config(precision='float32', parallel=ParallelConfig(devices=8))
    runner = training.Devices(config)
    state, step = runner.replicate(tiny.state(config, lod=1)), runner.iteration()
    step.prepare(state, training.Program(0, 16)).result()
    compilation, during = step.prepare(state, training.Program(1, 16)), 0
    while not compilation.is_done:
        state, _ = step(state, runner.arrange(trajectory.batch_at(config, runner, 0, 0)), 0.001, stage=0)
        during += 1
    assert during > 1
    state, _ = step(state, runner.arrange(trajectory.batch_at(config, runner, 0, 1)), 0.001, stage=1)
    assert runner.local(state).cur_nimg == 16 * (during + 1)


# Devices that do not fit.


@pytest.mark.parametrize(
    'replicas, parallel, message',
    [
        (6, {'devices': 4}, r'4 devices cannot share replicas=6 .* one of 1, 2, 3, 6, or .* a multiple of 4'),
        (8, {'devices': 16}, r'parallel.devices=16: there are 8; set it to one of 1, 2, 4, 8'),
        (4, {}, r'8 devices cannot share replicas=4 .* one of 1, 2, 4'),
        (8, {'devices': 2, 'accumulate': 3}, r'accumulate=3: 2 devices run 4 of 8 replicas each; give one of 1, 2, 4$'),
        (8, {'steps_per_dispatch': 3}, r'steps_per_dispatch=3: .* every 2 steps .*; give one of 1, 2, or none$'),
    ],
)
def test_counts_that_would_do_are_named(replicas, parallel, message):
    config = trajectory.run_config(replicas=replicas, parallel=ParallelConfig(**parallel))
    with pytest.raises(UserError, match=message):
        training.Devices(config)


def test_steps_per_dispatch():
    """A CPU runs one iteration per dispatch, unless the config says otherwise."""
    assert training.Devices(trajectory.run_config(parallel=ParallelConfig(devices=1))).steps_per_dispatch(0) == 1
    config = trajectory.run_config(parallel=ParallelConfig(devices=1, steps_per_dispatch=2))
    assert training.Devices(config).steps_per_dispatch(0) == 2


def test_accelerators_have_a_program_without_the_fade_for_the_last_stage(monkeypatch):
    config = trajectory.run_config(parallel=ParallelConfig(devices=1))
    devices, last = training.Devices(config), config.image.num_stages - 1
    assert devices.program(last, 16, 1.0) == training.Program(last, 16, steps=1, fades=True)
    monkeypatch.setattr(training.Devices, 'are_cpus', False)
    steps = devices.steps_per_dispatch(last)
    assert devices.program(last, 16, 1.0) == training.Program(last, 16, steps, fades=False)
    assert devices.program(last, 16, 0.99).fades and devices.program(last - 1, 16, 1.0).fades


def test_who_does_what_is_said():
    assert training.Devices(trajectory.run_config(parallel=ParallelConfig(devices=1))).describe() == []
    (line,) = training.Devices(trajectory.run_config(parallel=ParallelConfig(devices=4, accumulate=2))).describe()
    assert line == '4 devices run 2 of 8 replicas each, 1 at once'


def test_parts_of_a_batch():
    devices = training.Devices(trajectory.run_config(parallel=ParallelConfig(devices=4)))
    assert devices.part(16) == (0, 16) and devices.process_replicas == 8


def test_what_is_replicated_stays(float64):
    devices = training.Devices(trajectory.run_config(parallel=ParallelConfig(devices=4)))
    tree = {'array': np.arange(3.0), 'key': jax.random.key(3), 'count': np.int32(4)}
    once = devices.replicate(tree)
    again = devices.replicate(once)
    assert all(a is b for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(again)))
    assert once['array'].sharding.is_fully_replicated and len(once['array'].devices()) == 4
    local = devices.local(once)
    assert local['key'] == tree['key'] and local['count'] == 4 and len(local['array'].devices()) == 1
