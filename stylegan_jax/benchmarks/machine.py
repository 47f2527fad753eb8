"""On what was measured, and when: results are worth nothing without it."""
import datetime
import importlib.metadata
import os
import pathlib
import subprocess


def describe(device=None):
    """Returns what identifies a measurement, a dict of text and numbers.

    Args:
      device: the jax.Device that was measured; None where JAX had no part in it.
    """
    facts = {'processor': _processor(), 'cores': len(os.sched_getaffinity(0)),
             'jax': importlib.metadata.version('jax'),
             'date': datetime.date.today().isoformat(), 'commit': _commit()}
    return {'device': device.device_kind, 'platform': device.platform} | facts if device else facts


def heading(facts):
    """Returns the same as one line for people."""
    device = f'{facts["device"]} ({facts["platform"]}), ' if 'device' in facts else ''
    return (f'{device}{facts["cores"]} cores of {facts["processor"]}, JAX {facts["jax"]}, {facts["date"]}, '
            f'commit {facts["commit"]}')


def _processor():
    try:
        with open('/proc/cpuinfo') as file:
            return next(line.partition(':')[2].strip() for line in file if line.startswith('model name'))
    except (OSError, StopIteration):             # not Linux, or not x86
        return os.uname().machine


def _commit():
    """The commit that the package's files are of, with a plus where they were changed; 'unknown' outside of git."""
    package = pathlib.Path(__file__).parents[1]

    def git(*args):
        return subprocess.run(['git', '-C', package, *args], text=True, capture_output=True, check=True).stdout.strip()
    try:
        # An installed package may lie inside some other repository.
        git('ls-files', '--error-unmatch', '__init__.py')
        return git('rev-parse', '--short', 'HEAD') + ('+' if git('status', '--porcelain', '.') else '')
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
