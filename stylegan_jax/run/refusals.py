"""What a run refuses at its start: `settled` for the run itself, `look` for --dry_run, which writes nothing.

A dry run does not look at the devices, because it may be made on another machine than the run.
"""

import dataclasses
import os
import typing

from stylegan_jax.config import Config
from stylegan_jax.config.schedule import is_finished, resolve, shortfall
from stylegan_jax.data.dataset import DataOpener
from stylegan_jax.report.reading import log_entries
from stylegan_jax.run.images import describe_images
from stylegan_jax.run.metrics import check_before_data
from stylegan_jax.runtime.platforms import resolved
from stylegan_jax.storage.transfer import described_transfer


class Outlook(typing.NamedTuple):
    """What `look` found.

    Attributes:
      lines: for people.
      nimg: images shown where the run begins, or goes on.
      is_over: whether the run was at its end before it began.
    """

    lines: list[str]
    nimg: int = 0
    is_over: bool = False


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


def look(config: Config, workdir: str | os.PathLike, opener: DataOpener) -> Outlook:
    """Looks at the images, the checkpoint or the weights that a run would start from, and the weights of its metrics.

    Args:
      config: a Config, as `with_found_labels` returns it.
      workdir: the run's folder, which may be missing.
      opener: of its data.

    Raises:
      UserError: the run would refuse it.
    """
    is_named = _names_images(config)
    config = settled(config, opener, counts=is_named)
    images = 'the images were not looked at, because data.path is empty; a run needs it'
    if is_named:
        images = _images(config, opener)
    start = _start(config, workdir)
    short = None if start.is_over else shortfall(config)
    return start._replace(lines=[images, *start.lines, *([short] if short else [])])


def with_found_labels(config: Config, workdir: str | os.PathLike, opener: DataOpener) -> Config:
    """Returns a Config with labels as long as those of the images, where `data.find_labels` asks for it.

    If no images are named, they are as long as those of the run that would go on in `workdir`.
    """
    config = opener.with_found_labels(config)
    if _names_images(config) or not config.data.find_labels or config.image.label_dim or not os.path.isdir(workdir):
        return config
    from stylegan_jax.run.folder import newest_config  # imports Orbax, which takes a second

    image = (newest_config(workdir) or config).image
    return dataclasses.replace(config, image=dataclasses.replace(config.image, label_dim=image.label_dim))


def nothing_to_do(config: Config, nimg: int, workdir: str | os.PathLike) -> str:
    """Says that a run in `workdir` was at its end, after `nimg` images, before it began."""
    end = f'the run ends at {config.train.total_kimg:g}'
    return f'nothing to do: {workdir} has reached {nimg / 1000:g} kimg before, and {end}'


def lost_checkpoints(workdir: str | os.PathLike) -> list[str]:
    """Returns a line about the log of a run that begins anew, if there is one: its checkpoints are gone."""
    return [
        f'the log in {workdir} goes to {entry["nimg"] / 1000:g} kimg, but there is no checkpoint: the run begins anew'
        for entry in log_entries(workdir)[-1:]
    ]


def without_effect(config: Config) -> list[str]:
    """Returns lines about settings that do nothing in a run that begins anew."""
    freezes = config.train.freeze_d and not config.init_from
    return [f'train.freeze_d={config.train.freeze_d} has no effect without init_from'] if freezes else []


def _names_images(config):
    return config.data.source != 'images' or bool(config.data.path)


def _images(config, opener):
    """Returns a line about the images, with what was looked at where that were not all of them."""
    labels, names, examined = opener.look(config.image)
    line = describe_images(config, labels, names)
    if examined is None:
        return line
    total = len(examined.usable)
    if examined.decoded == total:
        return f'{line}; all pictures were decoded'
    seen = f'the sizes of {examined.sizes:,} and the pixels of {examined.decoded}'
    return f'at most {line}; of {total:,} pictures {seen} were looked at'


def _start(config, workdir):
    """Returns the Outlook of the networks that the run starts with."""
    if os.path.isdir(workdir):
        from stylegan_jax.run.folder import newest  # imports Orbax, which takes a second

        if (saved := newest(config, workdir)) is not None:
            is_over = is_finished(config, saved.nimg)
            goes_on = f'the run in {workdir} goes on at {saved.nimg / 1000:g} kimg'
            line = nothing_to_do(config, saved.nimg, workdir) if is_over else goes_on
            return Outlook([*saved.damaged, line], saved.nimg, is_over)
    transfer = described_transfer(config.init_from, config) if config.init_from else []
    return Outlook([*lost_checkpoints(workdir), *without_effect(config), *transfer])
