"""Scripts that compile for an H100: each in a process of its own, because XLA reads its flags once."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from stylegan_jax.benchmarks.h100 import compiler_library
from stylegan_jax.errors import UserError

_ROOT = pathlib.Path(__file__).parents[1]


def run(script, *arguments):
    """Runs a script, and returns the JSON that it prints; skips the test that asks for it without the compiler."""
    try:
        compiler_library()
    except UserError as error:
        pytest.skip(str(error))
    environment = {name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'} | {
        'JAX_PLATFORMS': 'cpu',
        'PYTHONPATH': str(_ROOT),
    }
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stderr)
    return json.loads(done.stdout)
