"""The speeds that were measured: by a run, in its log, or by the command benchmark, in its JSON."""

import json
import os
import typing
from collections.abc import Mapping

from stylegan_jax.errors import UserError
from stylegan_jax.report import reading

_REMEDY = 'give a file of benchmark --what=train --json=FILE'


class Speeds(typing.NamedTuple):
    """Measured speeds.

    Attributes:
      seconds_per_image: by resolution, such as {'8x8': 0.01}.
      device: the kind of device that they were measured on; '' if that is not known.
      source: where they are from, in words.
    """

    seconds_per_image: Mapping[str, float]
    device: str
    source: str


def seconds_per_image(entry: Mapping[str, typing.Any]) -> float | None:
    """Returns the time for an image by an entry of a run's log; None if it does not tell.

    Pictures and checkpoints are included, and waits for the compiler are not.
    """
    speed, training, other = (
        reading.number(entry.get(name)) for name in ('images_per_second', 'tick_seconds', 'maintenance_seconds')
    )
    waited = reading.number(entry.get('waited_seconds', 0.0))
    images, seconds = speed * training, training + other - waited
    return seconds / images if images > 0 and seconds > 0 else None  # NaN, of a missing number, fails this


def measured_speeds(workdir: str | os.PathLike, nimg: int | None = None) -> dict[str, float]:
    """Returns {resolution: seconds per image} by the log of a run, see `seconds_per_image`.

    Args:
      workdir: the run's folder; a missing one has no speeds.
      nimg: only ticks up to so many images count; None for all.
    """
    found = {}
    for entry in reading.log_entries(workdir):
        seconds = seconds_per_image(entry)
        if seconds is not None and (nimg is None or entry['nimg'] <= nimg):
            found[str(entry.get('resolution'))] = seconds  # the newest tick of a resolution counts
    return found


def of_run(workdir: str | os.PathLike) -> Speeds | None:
    """Returns the speeds by the log of a run; None if there are none."""
    speeds = measured_speeds(workdir)
    if not speeds:
        return None
    device = str(reading.read(workdir).newest('machine').get('device', ''))
    return Speeds(speeds, device, f'the log of {workdir}')


def of_benchmark(path: str | os.PathLike) -> tuple[Speeds, str]:
    """Reads what `benchmark --what=train --json=FILE` wrote.

    Args:
      path: of the file.

    Returns:
      (Speeds of one device and the network that is measured there, the precision).

    Raises:
      UserError: the file cannot be read, or is another one.
    """
    try:
        with open(path) as file:
            content = json.load(file)
        what, device = content['what'], content['machine']
    except OSError as error:
        raise UserError(f'cannot be read ({error.strerror})', field='speeds', value=path, remedy=_REMEDY) from None
    except (ValueError, KeyError, TypeError):
        raise _without_speeds(path) from None
    if what != 'train':
        raise UserError(f'it measured {what}', field='speeds', value=path, remedy=_REMEDY)
    try:
        found = {f'{one["resolution"]}x{one["resolution"]}': 1 / one['images_per_second'] for one in content['results']}
        return Speeds(found, str(device.get('device', '')), os.fspath(path)), str(content['precision'])
    except (KeyError, TypeError, AttributeError, ZeroDivisionError):
        raise _without_speeds(path) from None


def _without_speeds(path):
    return UserError('it has no speeds of training', field='speeds', value=path, remedy=_REMEDY)
