"""The test suite itself: it ends when it is told to."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

TESTS = pathlib.Path(__file__).parent
DEAF = """
import os, signal, time

def test_deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open('pid.part', 'w') as file:
        file.write(str(os.getpid()))
    os.rename('pid.part', 'pid')
    time.sleep(300)
"""


def is_running(pid):
    """Whether a process lives; one that nobody has waited for yet does not."""
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def until(condition, seconds):
    """Waits until a condition holds; whether it came to."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux ends processes with the one that started them')
def test_a_signal_ends_it_at_once_whatever_a_test_does_with_signals(tmp_path):
    (tmp_path / 'test_deaf.py').write_text(DEAF)
    process = subprocess.Popen(
        [sys.executable, '-m', 'pytest', '-p', 'conftest', '-c', TESTS.parent / 'setup.cfg', '-n', '1', tmp_path],
        cwd=tmp_path,
        env=os.environ | {'PYTHONPATH': f'{TESTS}:{TESTS.parent}'},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert until((tmp_path / 'pid').exists, 120), 'the test did not start'
    pid = int((tmp_path / 'pid').read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == -signal.SIGTERM
    assert until(lambda: not is_running(pid), 10), 'a process of the suite goes on'
