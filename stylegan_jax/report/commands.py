"""Command lines that go on with a run, use its network and measure it; and what it changed in its experiment."""

import os
import shlex

from stylegan_jax.cli.config_flags import value_text
from stylegan_jax.cli.experiments import experiments_package, load_experiment
from stylegan_jax.config import serialization
from stylegan_jax.config.schedule import resolve
from stylegan_jax.errors import UserError


def commands(run):
    """Lists what can be done with a run.

    Args:
      run: a `reading.Run`.

    Returns:
      A list of (what it does, lines of shell).
    """
    folder = os.path.abspath(run.workdir)
    listed = []
    if lines := _going_on(run, folder):
        listed.append(('Go on with the training, or longer with --config.train.total_kimg=…', lines))
    return [
        *listed,
        ('Make pictures', [_line('generate', f'--network={folder}', f'--outdir={folder}/generated', '--seeds=0-15')]),
        ('Measure', [_line('evaluate', f'--network={folder}', f'--metrics={_metrics(run)}')]),
        ('Make this page anew', [_line('report', f'--run={folder}')]),
    ]


def changed_settings(config):
    """Compares a config with the experiment that ships under its name.

    Args:
      config: a resolved Config, or None.

    Returns:
      A list of (dotted name, value there, value here), or None where no such experiment ships.
    """
    if config is None or not _ships(config.name):
        return None
    try:
        experiment = resolve(load_experiment(config.name))
    except UserError:  # a file of one's own with that name, and other content: which one was it?
        return None
    # 'auto' and None say that the run finds out; what it found is no change.
    return [
        (name, there, here)
        for name, there, here in serialization.differences(experiment, config)
        if there not in ('auto', None)
    ]


def _ships(name):
    """Whether a name, which may be any text, is that of a file in the package."""
    return any(f'{name}.py' in os.listdir(folder) for folder in experiments_package().__path__)


def _going_on(run, folder):
    """The command that began the run; of runs that did not note it, one that means the same, or none."""
    began = run.newest('machine')
    arguments, place = began.get('arguments'), began.get('folder')
    if isinstance(arguments, list) and all(isinstance(word, str) for word in arguments) and isinstance(place, str):
        return [f'cd {shlex.quote(place)}', _line('main', *arguments)]
    changes = changed_settings(run.config)
    if changes is None:
        return []
    return [
        _line(
            'main',
            f'--experiment={run.config.name}',
            f'--workdir={folder}',
            *(f'--config.{name}={value_text(value)}' for name, _, value in changes),
        )
    ]


def _metrics(run):
    if run.config and run.config.metrics:
        return run.config.metrics
    return 'fd_toy' if run.config and run.config.data.source == 'toy_faces' else 'fid50k'


def _line(module, *arguments):
    """A command line; every argument is quoted, so that nothing from a log is a command of its own."""
    return shlex.join(['python', '-m', f'stylegan_jax.{module}', *arguments])
