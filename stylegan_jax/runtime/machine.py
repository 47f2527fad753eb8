"""Describes the machine, the versions and the date, which results are worth nothing without."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import pathlib
import platform
import resource
import subprocess
import sys
import typing

if typing.TYPE_CHECKING:
    import jax

_PATIENCE = 10.0  # seconds that git may take; a network file system may hang


def describe(device: jax.Device | None = None) -> dict[str, str | int]:
    """Returns what identifies a measurement: text and numbers by name.

    Args:
      device: the device that was measured; None if the measurement did not use JAX.
    """
    # The cores that this process may use, where the system tells (macOS does not).
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    facts = {
        'processor': _processor(),
        'cores': cores,
        'jax': importlib.metadata.version('jax'),
        'date': datetime.date.today().isoformat(),
        'commit': _commit(),
    }
    return {'device': device.device_kind, 'platform': device.platform} | facts if device else facts


def heading(facts: dict) -> str:
    """Returns facts from `describe` or `describe_run` as one line for people."""
    device = f'{facts["device"]} ({facts["platform"]}), ' if 'device' in facts else ''
    return (
        f'{device}{facts["cores"]} cores of {facts["processor"]}, JAX {facts["jax"]}, {facts["date"]}, '
        f'commit {facts["commit"]}'
    )


def describe_run(device: jax.Device, *, count: int, processes: int) -> dict[str, typing.Any]:
    """Returns what the report of a run shows about the machine and about the command that began the run.

    Args:
      device: a device of this process.
      count: devices of all processes together.
      processes: number of processes.
    """
    facts = describe(device)
    memory = (device.memory_stats() or {}).get('bytes_limit')
    facts |= {
        'count': count,
        'processes': processes,
        'host': platform.node(),
        'system': platform.platform(),
        'python': platform.python_version(),
        'version': importlib.metadata.version('stylegan_jax'),
    }
    facts |= {} if memory is None else {'memory_gib': round(memory / 2**30, 1)}
    began = getattr(sys.modules['__main__'], '__spec__', None)
    # A program of somebody's own that uses the library has a command line that says little about the run.
    if began is not None and began.name == 'stylegan_jax.main':
        facts |= {'arguments': sys.argv[1:], 'folder': os.getcwd()}
    return facts


def memory(device: jax.Device) -> dict[str, float]:
    """Returns the peak memory in use so far [GiB], by its name in the log; of the device only if its backend tells."""
    # `ru_maxrss` is in KiB on Linux and in bytes on macOS.
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == 'darwin' else 2**20)
    on_device = (device.memory_stats() or {}).get('peak_bytes_in_use')
    return {'host_memory_gib': round(host, 3)} | ({} if on_device is None else {'device_memory_gib': on_device / 2**30})


def _processor():
    try:
        with open('/proc/cpuinfo') as file:
            return next(line.partition(':')[2].strip() for line in file if line.startswith('model name'))
    except (OSError, StopIteration):  # not Linux, or not x86
        return os.uname().machine


def _commit():
    """Returns the commit of the package's files, with a plus if they were changed since; 'unknown' outside of git."""
    package = pathlib.Path(__file__).parents[1]

    def git(*args):
        return subprocess.run(
            ['git', '-C', package, *args], text=True, capture_output=True, check=True, timeout=_PATIENCE
        ).stdout.strip()

    try:
        # This fails for an installed package that lies inside some other repository.
        git('ls-files', '--error-unmatch', '__init__.py')
        return git('rev-parse', '--short', 'HEAD') + ('+' if git('status', '--porcelain', '.') else '')
    except (OSError, subprocess.SubprocessError):
        return 'unknown'
