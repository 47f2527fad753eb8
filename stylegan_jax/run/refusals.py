"""What a run would refuse at its start, found without making, training or writing anything; for --dry_run.

The devices are not looked at, because a dry run may be made on another machine than the run.
"""

import contextlib
import dataclasses
import os

from stylegan_jax.config import Config
from stylegan_jax.config.schedule import resolve
from stylegan_jax.data.dataset import DataOpener
from stylegan_jax.data.held_out import held_out
from stylegan_jax.run.metrics import check_before_data
from stylegan_jax.runtime.platforms import resolved
from stylegan_jax.storage.checkpoint import FOLDER, Checkpoints
from stylegan_jax.storage.transfer import described_transfer


def look(config: Config, workdir: str | os.PathLike, opener: DataOpener) -> str:
    """Looks at the images, the checkpoint or the weights that a run would start from, and the weights of its metrics.

    Args:
      config: a Config.
      workdir: the run's folder, which may be missing.
      opener: of its data.

    Returns:
      A text about what was found; it says if the images were not looked at, because the config names none.

    Raises:
      UserError: the run would refuse it.
    """
    config = resolve(config)
    config = dataclasses.replace(config, precision=resolved(config.precision))
    is_named = config.data.source != 'images' or bool(config.data.path)
    check_before_data(config, opener if is_named else None)
    if is_named:
        count = opener.look(config.image)
        held = int(held_out(count, config.data.validation).sum())
        lines = [f'{count:,} images' + (f', of which {held:,} are held out' if held else '')]
    else:
        lines = ['the images were not looked at, because data.path is empty; a run needs it']
    return '\n'.join(lines + _start(config, workdir))


def _start(config, workdir):
    """Returns lines about the networks that the run starts with."""
    if os.path.isdir(os.path.join(workdir, FOLDER)):
        with contextlib.closing(Checkpoints(workdir)) as checkpoints:  # which reads alone
            if checkpoints.latest() is not None:
                nimg = checkpoints.restore(config).nimg
                return [f'the run in {workdir} goes on at {nimg / 1000:.1f} kimg']
    return described_transfer(config.init_from, config) if config.init_from else []
