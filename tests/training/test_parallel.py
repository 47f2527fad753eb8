"""The same training on any number of devices, in every way to compile it."""
import functools
import os
import pathlib
import re
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import trajectory
from stylegan_jax import training
from stylegan_jax.config import ParallelConfig
from stylegan_jax.errors import UserError

HERE = pathlib.Path(__file__).parent


def largest_error(arrays, expected):
    """Over all arrays, norm of the difference over norm of the expected."""
    assert arrays.keys() == expected.keys()
    return max(np.linalg.norm(np.float64(arrays[name]) - expected[name])
               / max(np.linalg.norm(np.float64(expected[name])), 1e-30) for name in expected)


@functools.cache
def expected(steps=20):
    """The trajectory of one device that runs all replicas as one batch."""
    return trajectory.trajectory(trajectory.run_config(parallel=ParallelConfig(devices=1)), steps)


@pytest.mark.parametrize('mode, devices, accumulate', [
    ('pmap', 1, 1), ('jit', 1, 8), ('jit', 2, 1), ('pmap', 2, 2), ('pmap', 4, 1), ('jit', 4, 2), ('jit', 8, 1),
    ('pmap', 8, 1)])
def test_trajectories_agree(float64, mode, devices, accumulate):
    """In double precision: in single precision a GAN's trajectory makes rounding grow."""
    config = trajectory.run_config(parallel=ParallelConfig(mode=mode, devices=devices, accumulate=accumulate))
    assert largest_error(trajectory.trajectory(config, 20), expected()) < 1e-9


def test_processes_agree(float64, tmp_path):
    """Two processes of four devices each, in both ways to compile."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        coordinator = f'127.0.0.1:{probe.getsockname()[1]}'
    environment = os.environ | {
        'PYTHONPATH': f'{HERE}:{HERE.parent}:' + os.environ.get('PYTHONPATH', ''),
        'XLA_FLAGS': os.environ['XLA_FLAGS'] + ' --xla_force_host_platform_device_count=4'}
    processes = [subprocess.Popen([sys.executable, HERE / 'trajectory.py', coordinator, '2', str(process),
                                   tmp_path / 'state'], env=environment, stderr=subprocess.PIPE, text=True)
                 for process in range(2)]
    errors = [process.communicate(timeout=500)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    for mode in ('jit', 'pmap'):
        for process in range(2):
            with np.load(tmp_path / f'state-{mode}-{process}.npz') as arrays:
                assert largest_error(dict(arrays), expected()) < 1e-9


@pytest.mark.parametrize('mode, devices, accumulate', [('jit', 8, 1), ('pmap', 2, 1), ('jit', 2, 4)])
def test_gradients_agree_in_single_precision(mode, devices, accumulate):
    """After one step; with beta1 = 0 Adam's first moment is the gradient."""
    def gradients(parallel):
        arrays = trajectory.trajectory(trajectory.run_config(precision='float32', parallel=parallel), 1)
        return {name: array for name, array in arrays.items() if '.mu' in name}
    one = gradients(ParallelConfig(devices=1))
    assert len(one) > 20
    several = gradients(ParallelConfig(mode=mode, devices=devices, accumulate=accumulate))
    # Over each network: single tensors of it are sums that nearly cancel.
    for network in ('g_optimizer', 'd_optimizer'):
        a, b = (np.concatenate([array.ravel() for name, array in arrays.items() if network in name])
                for arrays in (several, one))
        assert np.linalg.norm(a - b) < 1e-5 * np.linalg.norm(b)


@pytest.mark.parametrize('mode, devices, accumulate', [('jit', 8, 1), ('jit', 4, 2), ('pmap', 2, 1), ('jit', 1, 8)])
def test_one_all_reduce_a_step(mode, devices, accumulate):
    """Two in an iteration of a D step and a G step; none for a single device."""
    config = trajectory.run_config(precision='float32', parallel=ParallelConfig(mode=mode, devices=devices,
                                                                                accumulate=accumulate))
    runner = training.Devices(config)
    state = runner.replicate(training.create_state(config, lod=1))
    batch = runner.arrange(trajectory.batch_at(config, runner, 0, 0))
    text = runner.compile().lower(state, batch, 0.001, stage=0).compile().as_text()
    count = len(re.findall(r' = [^=]* all-reduce(?:-start)?\(', text))
    assert count == (0 if devices == 1 else 2)
    assert not re.search(r' (all-gather|all-to-all|collective-permute|reduce-scatter)', text)


# Devices that do not fit.

@pytest.mark.parametrize('replicas, parallel, message', [
    (6, dict(devices=4), r'4 devices cannot share replicas=6 .* one of 1, 2, 3, 6, or .* a multiple of 4'),
    (8, dict(devices=16), r'parallel.devices=16: there are 8; .* one of 1, 2, 4, 8'),
    (4, dict(), r'8 devices cannot share replicas=4 .* one of 1, 2, 4'),
    (8, dict(devices=2, accumulate=3), r'accumulate=3: 2 devices run 4 of 8 replicas each; give 1 or 2 or 4$'),
])
def test_counts_that_would_do_are_named(replicas, parallel, message):
    config = trajectory.run_config(replicas=replicas, parallel=ParallelConfig(**parallel))
    with pytest.raises(UserError, match=message):
        training.Devices(config)


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
