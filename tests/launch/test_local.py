"""The script that starts a training again after a crash: a signal ends it, also in the pause between two starts."""

import os
import pathlib
import signal
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / 'launch' / 'local.sh'


def started(tmp_path, program):
    """The script, running a shell program in the place of the training."""
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/sh\necho started >> {tmp_path}/starts\n{program}\n')
    python.chmod(0o755)
    # A shell in the background ignores Ctrl-C, and so would what it starts.
    command = ['env', '--default-signal=INT', 'bash', SCRIPT]
    return subprocess.Popen(
        command, env=os.environ | {'PATH': f'{tmp_path}:{os.environ["PATH"]}'}, stderr=subprocess.PIPE, text=True
    )


def starts(tmp_path):
    return (tmp_path / 'starts').read_text().count('started')


@pytest.mark.parametrize('number, code', [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_the_pause_after_a_crash_ends_it(tmp_path, number, code):
    script = started(tmp_path, 'exit 1')
    assert script.stderr.readline() == 'the process died with code 1; going on from the newest checkpoint\n'
    script.send_signal(number)
    assert script.wait(timeout=5) == code and starts(tmp_path) == 1
    script.stderr.close()


@pytest.mark.parametrize('end, code', [('exit 143', 143), ('exit 1', 1)])
def test_a_signal_reaches_the_training_and_starts_no_other(tmp_path, end, code):
    script = started(tmp_path, f"trap '{end}' TERM; echo ready >&2; for i in $(seq 500); do sleep 0.01; done")
    assert script.stderr.readline() == 'ready\n'
    script.send_signal(signal.SIGTERM)
    assert script.wait(timeout=5) == code and starts(tmp_path) == 1
    script.stderr.close()


@pytest.mark.parametrize('code', [0, 2, 130, 143])
def test_these_ends_are_final(tmp_path, code):
    script = started(tmp_path, f'exit {code}')
    assert script.communicate(timeout=5) == (None, '') and script.returncode == code and starts(tmp_path) == 1
