"""Command lines that continue a run, use its network and measure it; and its differences from its experiment."""

import os
import shlex
from typing import Any

from stylegan_jax.cli.config_flags import value_text
from stylegan_jax.cli.experiments import experiments_package, load_experiment
from stylegan_jax.config import Config, serialization
from stylegan_jax.config.schedule import resolve
from stylegan_jax.errors import UserError
from stylegan_jax.report.proposed_metrics import proposed
from stylegan_jax.report.reading import Run


def commands(run: Run) -> list[tuple[str, list[str]]]:
    """Lists the commands that a reader of the report may want next.

    Args:
      run: the records of the run.

    Returns:
      A list of (title, lines of shell).
    """
    folder = os.path.abspath(run.workdir)
    listed = []
    if lines := _going_on(run, folder):
        listed.append(('Go on with the training, or longer with --config.train.total_kimg=…', lines))
    return [
        *listed,
        (_pictures(run), [_line('generate', f'--network={folder}', f'--outdir={folder}/generated', '--seeds=0-15')]),
        *([('Measure', [_line('evaluate', f'--network={folder}', *flags)])] if (flags := proposed(run)) else []),
        ('Make this page anew', [_line('report', f'--run={folder}')]),
    ]


def changed_settings(config: Config | None) -> list[tuple[str, Any, Any]] | None:
    """Compares a config with the experiment of its name that comes with the package.

    Args:
      config: a resolved Config, or None.

    Returns:
      A list of (dotted name, value in the experiment, value in the config); None if there is no such experiment.
    """
    if config is None or not _ships(config.name):
        return None
    try:
        experiment = resolve(load_experiment(config.name))
    except UserError:  # the user's folder has another experiment of that name, and which one was used is not known
        return None
    # 'auto' and None leave the value to the run, so that the value which it chose is no change.
    return [
        (name, there, here)
        for name, there, here in serialization.differences(experiment, config)
        if there not in ('auto', None)
    ]


def _pictures(run):
    """The title of the command that draws: without a class, it draws all of them."""
    has_labels = run.config and run.config.image.label_dim
    return 'Make pictures' + (' of all labels in turn, or of one class with --class=…' if has_labels else '')


def _ships(name):
    """Whether a name, which may be any text, is that of an experiment file in the package."""
    return any(f'{name}.py' in os.listdir(folder) for folder in experiments_package().__path__)


def _going_on(run, folder):
    """The command that started the run, as the run noted it; else an equivalent command if one is known, or none."""
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


def _line(module, *arguments):
    """A command line. Every argument is quoted, so that no text from a log can act as a command of its own."""
    return shlex.join(['python', '-m', f'stylegan_jax.{module}', *arguments])
