"""Where something ran, and when: results are worth nothing without it."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import resource
import subprocess
import sys

_PATIENCE = 10.0  # seconds for git, whose file system may hang


def describe(device=None):
    """Returns what identifies a measurement, a dict of text and numbers.

    Args:
      device: the jax.Device that was measured; None where JAX had no part in it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()  # not on macOS
    facts = {
        'processor': _processor(),
        'cores': cores,
        'jax': importlib.metadata.version('jax'),
        'date': datetime.date.today().isoformat(),
        'commit': _commit(),
    }
    return {'device': device.device_kind, 'platform': device.platform} | facts if device else facts


def heading(facts):
    """Returns the same as one line for people."""
    device = f'{facts["device"]} ({facts["platform"]}), ' if 'device' in facts else ''
    return (
        f'{device}{facts["cores"]} cores of {facts["processor"]}, JAX {facts["jax"]}, {facts["date"]}, '
        f'commit {facts["commit"]}'
    )


def describe_run(device, *, count, processes):
    """Returns what the report of a run says about where it runs, and the command that began it.

    Args:
      device: a `jax.Device` of this process.
      count: of devices, all processes together.
      processes: how many there are.
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
    if began is not None and began.name == 'stylegan_jax.main':  # and not a program that uses the library
        facts |= {'arguments': sys.argv[1:], 'folder': os.getcwd()}
    return facts


def memory(device):
    """Returns the most memory in use so far [GiB], by its name in the log; of the device where its backend tells."""
    # Linux counts in KiB, macOS in bytes.
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
    """The commit that the package's files are of, with a plus where they were changed; 'unknown' outside of git."""
    package = pathlib.Path(__file__).parents[1]

    def git(*args):
        return subprocess.run(
            ['git', '-C', package, *args], text=True, capture_output=True, check=True, timeout=_PATIENCE
        ).stdout.strip()

    try:
        # An installed package may lie inside some other repository.
        git('ls-files', '--error-unmatch', '__init__.py')
        return git('rev-parse', '--short', 'HEAD') + ('+' if git('status', '--porcelain', '.') else '')
    except (OSError, subprocess.SubprocessError):
        return 'unknown'
