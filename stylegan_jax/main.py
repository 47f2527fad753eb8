"""Train a StyleGAN.

    python -m stylegan_jax.main --experiment=quickstart
    python -m stylegan_jax.main --experiment=custom --config.data.path=my-images.zip --workdir=runs/mine
    python -m stylegan_jax.main --experiment=ffhq --config.train.total_kimg=100 --dry_run

The workdir gets config.json, log.txt, log.jsonl, TensorBoard scalars, reals.png, a grid of samples a tick and
checkpoints. The same command again goes on from the newest checkpoint.
"""
import os

import jax
from absl import flags

from stylegan_jax import command, config_flags, dry_run
from stylegan_jax.data.dataset import with_found_labels

_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run; the default is runs/NAME of the experiment.')
_DRY_RUN = flags.DEFINE_bool('dry_run', False, 'Print the config, the networks and the schedule, and exit.')


def main(argv):
    """Trains the run that the flags describe, or only prints it; returns the exit code."""
    del argv
    config = with_found_labels(config_flags.chosen_config())
    if config.precision == 'float64':
        jax.config.update('jax_enable_x64', True)
    if _DRY_RUN.value:
        print(dry_run.describe(config))
        return 0
    from stylegan_jax import loop      # needs the logging and checkpoint packages; --dry_run does not
    return loop.train(config, _WORKDIR.value or os.path.join('runs', config.name))


if __name__ == '__main__':
    command.run(main, config_flags.parse)
