"""The batch file of Slurm: which ends put a job back into the queue (launch/test/slurm_requeue.sh runs it in Slurm)."""

import os
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / 'launch' / 'slurm.sbatch'


@pytest.mark.parametrize(
    'code, seconds, requeued',
    [
        (0, 700, False),  # done
        (2, 700, False),  # a mistake that only a person can mend
        (143, 5, True),  # stopped by SIGTERM
        (1, 5, False),  # died at its start, and would again
        (1, 700, True),
        (137, 700, True),  # another process of the run was killed
    ],
)
def test_which_ends_are_requeued(tmp_path, code, seconds, requeued):
    for name, program in {'srun': f'exit {code}', 'scontrol': f'echo "$@" > {tmp_path}/asked'}.items():
        (tmp_path / name).write_text(f'#!/bin/sh\n{program}\n')
        (tmp_path / name).chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    environment = os.environ | {'PATH': path, 'SLURM_JOB_ID': '7', 'SECONDS': str(seconds)}  # bash counts on from there
    assert subprocess.run(['bash', SCRIPT], env=environment).returncode == code
    asked = tmp_path / 'asked'
    assert (asked.read_text() if asked.exists() else None) == ('requeue 7\n' if requeued else None)
