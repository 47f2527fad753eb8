"""Several processes that train together: real ones, started by the command."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

import tiny
import tiny_run
from stylegan_jax.config import Config
from stylegan_jax.config.serialization import from_json
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import cluster

TESTS = pathlib.Path(__file__).parents[1]
FLAGS = ['--config.replicas=2', '--config.parallel.devices=none', '--config.schedule.batch=8']


@pytest.fixture(scope='module')
def start(tmp_path_factory):
    """Returns a function that starts two processes on a folder, with flags of each one's own.

    The second one cannot read images from position `fail_at` on.
    """
    compiled = tmp_path_factory.mktemp('compiled')

    def start(workdir, flags=((), ()), fail_at=''):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        environment = os.environ | {
            'KILLED_RUN_NIMG': '320',
            'PYTHONPATH': str(TESTS),
            'JAX_COMPILATION_CACHE_DIR': str(compiled),
            'XLA_FLAGS': os.environ['XLA_FLAGS'].replace('device_count=8', 'device_count=1'),
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
        }
        return [
            subprocess.Popen(
                [
                    sys.executable,
                    '-m',
                    'stylegan_jax.main',
                    f'--experiment={TESTS / "killed_run.py"}',
                    *FLAGS,
                    f'--workdir={workdir}',
                    f'--coordinator=127.0.0.1:{port}',
                    '--num_processes=2',
                    f'--process_id={number}',
                    *flags[number],
                ],
                env=environment | {'KILLED_RUN_FAIL_AT': fail_at if number else ''},
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for number in range(2)
        ]

    return start


def ends_of(processes):
    """[(exit code, stdout, stderr)]."""
    outputs = [process.communicate(timeout=300) for process in processes]
    return [(process.returncode, *output) for process, output in zip(processes, outputs)]


def codes_of(processes):
    ends = ends_of(processes)
    return [code for code, *_ in ends], ends


@pytest.mark.full
def test_a_signal_to_one_process_stops_both_at_the_same_step(start, tmp_path):
    """And the run that goes on ends as one that nobody stopped."""
    codes, ends = codes_of(start(tmp_path / 'undisturbed'))
    assert codes == [0, 0], ends
    assert '2 devices run 1 of 2 replicas each, 1 at once, in 2 processes' in ends[0][1] and 'tick' not in ends[1][1]
    assert re.search(r'process 0 on \S+: 1 x cpu\nprocess 1 on \S+: 1 x cpu\n', ends[0][1])

    processes = start(tmp_path / 'stopped')
    first = ''.join(
        line
        for line in iter(processes[0].stdout.readline, '')
        if not line.startswith('tick 2 ') or processes[1].send_signal(signal.SIGTERM)
    )
    codes, ends = codes_of(processes)
    assert codes == [143, 143], ends
    assert 'stopped at' in first
    codes, ends = codes_of(start(tmp_path / 'stopped'))
    assert codes == [0, 0], ends
    assert 'going on at' in ends[0][1]

    config = from_json(Config, (tmp_path / 'undisturbed' / 'config.json').read_text())
    (state, progress), (expected, expected_progress) = (
        tiny_run.saved_state(tmp_path / name, config) for name in ('stopped', 'undisturbed')
    )
    assert tiny.trees_equal(state, expected) and progress['tick'] == expected_progress['tick'] == 10


def test_what_one_process_finds_wrong_ends_both(start, tmp_path):
    codes, ends = codes_of(start(tmp_path, flags=((), ['--config.data.source=images', '--config.data.path=nowhere'])))
    assert codes == [2, 2], ends
    assert 'error: process 1: --config.data.path=nowhere: there is no such file or folder' in ends[0][2]
    assert 'error: --config.data.path=nowhere: there is no such file or folder' in ends[1][2]


@pytest.mark.full
@pytest.mark.parametrize('stop', ['240', '308'])
def test_a_process_that_fails_in_the_middle_or_at_the_end_ends_both_at_once(start, tmp_path, stop):
    """Nothing is trained on what it could not read, and nothing of that is saved."""
    began = time.monotonic()
    codes, ends = codes_of(start(tmp_path / 'run', fail_at=stop))
    assert time.monotonic() < began + 90, 'one of them waited for the other'
    assert codes == [2, 2], ends
    assert 'process 1: images at' in ends[0][2] and 'images at' in ends[1][2]
    kept = [int(path.name) for path in (tmp_path / 'run' / 'checkpoints').iterdir() if path.name.isdecimal()]
    assert kept and max(kept) <= int(stop)


def test_processes_with_other_settings_are_refused(start, tmp_path):
    codes, ends = codes_of(start(tmp_path, flags=((), ['--config.schedule.lr=0.5'])))
    assert codes == [2, 2] and 'process 1 has another config than process 0' in ends[0][2], ends


@pytest.mark.parametrize('given', [('a:1', None, None), (None, 2, None), (None, None, 0), ('a:1', 2, None)])
def test_only_some_of_the_flags_are_refused(given):
    with pytest.raises(UserError, match='go together; give all three or none'):
        cluster.join(*given)


def test_number_of_a_process_that_does_not_exist():
    with pytest.raises(UserError, match='process_id=2: with num_processes=2 give 0 to 1'):
        cluster.join('localhost:1', 2, 2)


@pytest.mark.parametrize('coordinator', ['localhost', 'localhost:', 'localhost:abc', ':8476'])
def test_an_address_without_a_port_is_refused(coordinator):
    with pytest.raises(UserError, match=f'^coordinator={coordinator}: give HOST:PORT$'):
        cluster.join(coordinator, 2, 0)


def test_waiting_for_the_others_is_said_and_ends_at_a_signal():
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
    code = f'from stylegan_jax.runtime import cluster; cluster.join("127.0.0.1:{port}", 2, 0)'
    with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == f'waiting for the other processes at 127.0.0.1:{port}\n'
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == -signal.SIGINT


def test_lines_about_processes_name_idle_gpus():
    facts = [('a', 2, 'H100', 8), ('a', 2, 'H100', 8), ('a', 2, 'H100', 8), ('b', 8, 'H100', 8), ('c', 1, 'cpu', 0)]
    lines = cluster.process_lines(facts)
    assert (
        lines[:2] == ['process 0 on a: 2 x H100', 'process 1 on a: 2 x H100'] and lines[4] == 'process 4 on c: 1 x cpu'
    )
    assert lines[5:] == [
        'warning: 2 of the 8 GPUs that Slurm gave on a are idle; start a number of tasks a node that divides them'
    ]


def test_one_process_needs_nobody(monkeypatch):
    assert cluster.describe_processes() == []
    monkeypatch.setenv('SLURM_STEP_NUM_TASKS', '')
    cluster.join()
    monkeypatch.delenv('SLURM_STEP_NUM_TASKS')
    cluster.join()
    cluster.join('localhost:1', 1, 0)
    assert cluster.is_primary() and cluster.agree(lambda: 7) == 7 and cluster.stop_requests()(15) == 15
    with pytest.raises(UserError, match='wrong'):
        cluster.agree(lambda: (_ for _ in ()).throw(UserError('wrong')))
