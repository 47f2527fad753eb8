"""Signals to stop: noted the first time, obeyed the second, and somebody else's afterwards."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

import stylegan_jax
from stylegan_jax.runtime import interruption as interruption_module
from stylegan_jax.runtime.interruption import Interrupted, Interruption

# An empty package stands in for stylegan_jax, whose __init__ imports JAX.
PROGRAM = """
import ctypes, os, signal, sys, time, types
sys.modules['stylegan_jax'] = types.ModuleType('stylegan_jax')
sys.modules['stylegan_jax'].__path__ = [sys.argv[1]]
from stylegan_jax.runtime.interruption import Interruption
"""
# A mutex that is locked twice: signals do not end the wait for it, so no Python handler ever runs.
STUCK = """
libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(256)
with Interruption():
    print('ready', flush=True)
    libc.pthread_mutex_init(mutex, None), libc.pthread_mutex_lock(mutex), libc.pthread_mutex_lock(mutex)
"""
FORKING = """
with Interruption() as interruption:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b'.')
        time.sleep(30)
        os._exit(0)
    os.read(reader, 1)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert interruption.signal is None
    signal.raise_signal(signal.SIGINT)
sys.exit(interruption.exit_code)
"""


def start(program, **options):
    package = pathlib.Path(stylegan_jax.__file__).parent
    return subprocess.Popen(
        [sys.executable, '-c', PROGRAM + program, package], text=True, stdout=subprocess.PIPE, **options
    )


@pytest.fixture
def codes(monkeypatch):
    """Codes with which this process would have ended."""
    codes = []
    monkeypatch.setattr(os, '_exit', codes.append)
    return codes


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_is_noted(number, code, capfd):
    with Interruption() as interruption:
        assert interruption.signal is None
        signal.raise_signal(number)
        assert interruption.signal == number and interruption.exit_code == code
    assert capfd.readouterr().err == '\nstopping after this step and saving; once more stops at once\n'


def test_second_signal_ends_the_process(codes):
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert interruption.signal == signal.SIGTERM
    assert codes == [130]


def test_an_echo_of_sigterm_does_not(codes, monkeypatch):
    """Slurm sends it twice within milliseconds when the time of a job is up."""
    with Interruption():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert codes == []
    monkeypatch.setattr(interruption_module, '_ECHO', 0.0)
    with Interruption():
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.1)
        signal.raise_signal(signal.SIGTERM)
    assert codes == [143]


def test_one_signal_does_not(codes):
    with Interruption():
        signal.raise_signal(signal.SIGTERM)
    assert codes == []


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_two_signals_end_a_process_whose_main_thread_is_stuck(number, code):
    with start(STUCK, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == 'ready\n'
            time.sleep(0.5)
            process.send_signal(number)
            assert process.stderr.readline() == '\n' and 'once more' in process.stderr.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            process.send_signal(number)
            assert process.wait(10) == code
        finally:
            process.kill()


def test_second_signal_gets_through_where_nobody_reads_stderr():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    with start(STUCK, stderr=writer) as process:
        try:
            assert process.stdout.readline() == 'ready\n'
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 143
        finally:
            process.kill()
            os.close(reader)
            os.close(writer)


def test_forked_child_has_its_own_signals():
    with start(FORKING) as process:
        assert process.wait() == 130


def test_other_signals_do_not_count(codes):
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR1)
            assert interruption.signal is None
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert codes == [] and interruption.signal == signal.SIGINT


def test_poll_raises_once_a_signal_was_noted():
    with Interruption() as interruption:
        interruption.poll()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match='SIGTERM'):
            interruption.poll()


def test_everything_comes_back():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    try:
        before = state()
        with pytest.raises(ZeroDivisionError), Interruption():
            assert state()[0] != before[0] and state()[1] != before[1]
            raise ZeroDivisionError
        assert state() == before
    finally:
        signal.set_wakeup_fd(-1)
        os.close(reader)
        os.close(writer)


def test_other_threads_cannot_enter_and_leave_nothing_behind():
    def enter():
        try:
            with Interruption():
                pass
        except ValueError as error:
            errors.append(error)

    errors, before = [], state()
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert len(errors) == 1 and state() == before


def state():
    """What an interruption changes: handlers, wakeup descriptor, threads, open descriptors."""
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return handlers, wakeup, threading.active_count(), len(os.listdir('/proc/self/fd'))
