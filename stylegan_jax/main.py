"""Train a StyleGAN.

    python -m stylegan_jax.main --experiment=quickstart
    python -m stylegan_jax.main --experiment=custom --config.data.path=my-images.zip --workdir=runs/mine
    python -m stylegan_jax.main --experiment=ffhq --config.train.total_kimg=100 --dry_run

The run's folder gets config.json, log.txt, log.jsonl, TensorBoard scalars, reals.png, a grid of samples per tick and
checkpoints. The same command again goes on from the newest checkpoint.
"""

import dataclasses
import os
import signal
import sys

from absl import flags

from stylegan_jax.cli import command, config_flags
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import compile_cache

# --experiment and --config.* come from `cli.config_flags`.
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run; the default is runs/NAME of the experiment.')
_DRY_RUN = flags.DEFINE_bool(
    'dry_run',
    False,
    'Print config, networks, schedule, memory and hours, and exit. Images (of many, some), --init_from and the weights '
    'for metrics are looked at, and refused as the run would refuse them; leave out those that are on another machine.',
)
_SPEEDS = flags.DEFINE_string(
    'speeds', None, 'With --dry_run: a file of benchmark --what=train --json=FILE, for the hours that the run takes.'
)
_INIT_FROM = flags.DEFINE_string(
    'init_from',
    None,
    'Weights to start a new run from: an official pickle, a run directory, a saved network, or a file or folder that '
    'convert wrote. Short for --config.init_from.',
)
_COORDINATOR = flags.DEFINE_string(
    'coordinator', None, 'HOST:PORT of process 0, where several processes train together; Slurm tells by itself.'
)
_NUM_PROCESSES = flags.DEFINE_integer('num_processes', None, 'With --coordinator: how many processes there are.')
_PROCESS_ID = flags.DEFINE_integer('process_id', None, 'With --coordinator: which of them this is, from 0.')
flags.declare_key_flag('compilation_cache')


def main(argv: list[str]) -> int:
    """Trains the run that the flags describe, or only prints it; returns the exit code."""
    del argv
    config = config_flags.chosen_config()
    if _INIT_FROM.value is not None:
        config = dataclasses.replace(config, init_from=_INIT_FROM.value)
    workdir = _WORKDIR.value or os.path.join('runs', config.name)
    import jax  # takes most of a second, which --help and flags that are wrong do without

    if config.precision == 'float64':
        jax.config.update('jax_enable_x64', True)
    if _DRY_RUN.value:
        from stylegan_jax.data.dataset import DataOpener
        from stylegan_jax.run import dry_run, hours, refusals

        opener = DataOpener(config.data)
        config = refusals.with_found_labels(config, workdir, opener)
        found = refusals.look(config, workdir, opener)
        if not found.is_over:
            time = hours.describe_hours(config, workdir, _SPEEDS.value, found.nimg)
            print(f'{dry_run.describe(config, found.nimg)}\n\n{time}\n')
        print(*found.lines, sep='\n')
        return 0
    if _SPEEDS.value:
        raise UserError('it goes with --dry_run', field='speeds', value=_SPEEDS.value, remedy='leave it out')
    # The first process of a container ignores every signal that it does not handle. (Background jobs of a shell ignore
    # Ctrl-C in the same way.) Until the loop handles signals itself, these two end the process.
    signal.signal(signal.SIGTERM, command.interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    compile_cache.use_cache(compile_cache.CACHE.value)
    from stylegan_jax.run import loop
    from stylegan_jax.runtime import cluster

    cluster.join(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    return loop.train(config, workdir)


def _main_of_process(argv):
    """Runs `main` to the end of the process, which does not wait for programs that are still being compiled."""
    from stylegan_jax.runtime import compiling  # imports JAX

    with compiling.abandoned_at_exit():
        sys.exit(command.reported_to_user(main)(argv))


if __name__ == '__main__':
    command.run(_main_of_process, flags_parser=config_flags.parse)
