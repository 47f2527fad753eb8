"""What a run refuses at its start: `settled` for the run itself, `look` for --dry_run, which writes nothing.

A dry run does not look at the devices, because it may be made on another machine than the run.
"""

import dataclasses
import os

from stylegan_jax.config import Config
from stylegan_jax.config.schedule import is_finished, resolve
from stylegan_jax.data.dataset import DataOpener
from stylegan_jax.data.held_out import held_out
from stylegan_jax.run.metrics import check_before_data
from stylegan_jax.runtime.platforms import resolved
from stylegan_jax.storage.transfer import described_transfer


def settled(config: Config, opener: DataOpener, *, counts: bool = True, measures: bool = True) -> Config:
    """Returns a config as a run follows it, once its labels and its metrics are known to be possible.

    Args:
      config: a Config.
      opener: of its data.
      counts: whether the images are counted, for metrics that need many.
      measures: whether this process measures; see `check_before_data`.

    Raises:
      UserError: the images' labels cannot be read, or a metric cannot be measured.
    """
    config = resolve(opener.with_found_labels(config))
    config = dataclasses.replace(config, precision=resolved(config.precision))
    check_before_data(config, opener if counts else None, measures=measures)
    return config


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
    is_named = config.data.source != 'images' or bool(config.data.path)
    config = settled(config, opener, counts=is_named)
    if is_named:
        count = opener.look(config.image)
        held = int(held_out(count, config.data.validation).sum())
        lines = [f'{count:,} images' + (f', of which {held:,} are held out' if held else '')]
    else:
        lines = ['the images were not looked at, because data.path is empty; a run needs it']
    return '\n'.join(lines + _start(config, workdir))


def nothing_to_do(config: Config, nimg: int, workdir: str | os.PathLike) -> str:
    """Says that a run in `workdir` was at its end, after `nimg` images, before it began."""
    end = f'the run ends at {config.train.total_kimg:g}'
    return f'nothing to do: {workdir} has reached {nimg / 1000:.1f} kimg before, and {end}'


def _start(config, workdir):
    """Returns lines about the networks that the run starts with."""
    if os.path.isdir(workdir):
        from stylegan_jax.run.folder import newest  # imports Orbax, which takes a second

        if (saved := newest(config, workdir)) is not None:
            if is_finished(config, saved.nimg):
                return [*saved.damaged, nothing_to_do(config, saved.nimg, workdir)]
            return [*saved.damaged, f'the run in {workdir} goes on at {saved.nimg / 1000:.1f} kimg']
    return described_transfer(config.init_from, config) if config.init_from else []
