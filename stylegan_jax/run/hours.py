"""How long a run will take on this machine, for --dry_run: by its own log, or by a benchmark; else how to find out."""

import os

import jax

from stylegan_jax.benchmarks.cases import full_config
from stylegan_jax.config import Config
from stylegan_jax.config.schedule import resolve, stage_table
from stylegan_jax.run import speeds
from stylegan_jax.run.dry_run import aligned
from stylegan_jax.run.time_left import TimeLeft, work

_BENCHMARK = 'python -m stylegan_jax.benchmark --what=train'


def describe_hours(
    config: Config, workdir: str | os.PathLike, benchmark: str | os.PathLike | None = None, nimg: int = 0
) -> str:
    """Returns a table of the time at each resolution and in all, or a text that says how to get one.

    Args:
      config: a Config.
      workdir: the run's folder, whose log may have speeds.
      benchmark: a file of `benchmark --what=train --json=FILE`, which comes before the log; or None.
      nimg: images shown where the run goes on; the time is that from there on.

    Raises:
      UserError: the file cannot be used.
    """
    config = resolve(config)
    devices = config.parallel.devices or jax.device_count()
    if benchmark is not None:
        found = _of_benchmark(config, benchmark, devices)
    else:
        found = speeds.of_run(workdir)
        here = jax.devices()[0].device_kind
        if found and found.device not in ('', here):
            return f'{found.source} is of {found.device}, and this is {here}: {_how_to_measure(config, devices, nimg)}'
    if found is None or TimeLeft(config, found.seconds_per_image).until_end(nimg) is None:
        return f'how long it takes is not known: {_how_to_measure(config, devices, nimg)}'
    return _table(config, found, nimg)


def _of_benchmark(config, path, devices):
    """Returns the speeds of a benchmark, for the networks of a config and several devices."""
    measured, precision = speeds.of_benchmark(path)
    image, found = config.image, {}
    for stage in range(image.num_stages):
        side = image.stage_resolution(stage)
        if (each := measured.seconds_per_image.get(f'{side}x{side}')) is not None:
            full = full_config(side, precision)
            ratio = work(config, stage) / work(full, full.image.num_stages - 1)
            found['x'.join(map(str, image.stage_shape(stage)))] = each * ratio / devices
    source = f'{path}, without reading data' + (f', if {devices} devices are {devices} times as fast' * (devices > 1))
    return measured._replace(seconds_per_image=found, source=source)


def _table(config, found, nimg):
    left = TimeLeft(config, found.seconds_per_image)
    images = {}
    for span in stage_table(config, nimg):
        resolution = 'x'.join(map(str, span.resolution))
        images[resolution] = images.get(resolution, 0) + round((span.to_kimg - span.from_kimg) * 1000)
    rows = [('Resolution', 'Images', 'Images/s', 'Hours'), ('---',) * 4]
    for resolution, count in images.items():
        least, most = left.seconds_per_image(resolution)
        rows.append((resolution, f'{count:,}', _range(1 / most, 1 / least), _range(*_hours(count, least, most))))
    total = left.until_end(nimg)
    rows += [('---',) * 4, ('Total', f'{sum(images.values()):,}', '', _range(*_hours(1, *total)))]
    missing = [resolution for resolution in images if resolution not in found.seconds_per_image]
    note = f'; not measured: {", ".join(missing)}' if missing else ''
    on = f', on {found.device}' if found.device else ''
    which = f'From {nimg / 1000:g} kimg on' if nimg else 'In all'
    return f'{aligned(rows)}\n{which} {total}, by {found.source}{on}{note}'


def _hours(count, least, most):
    return count * least / 3600, count * most / 3600


def _range(least, most):
    low, high = f'{least:.3g}', f'{most:.3g}'
    return low if low == high else f'{low} to {high}'


def _how_to_measure(config, devices, nimg):
    """A command that measures the resolutions of a run on one device of this machine."""
    spans = stage_table(config, nimg)
    cases = dict.fromkeys((max(span.resolution), max(1, span.batch // devices)) for span in spans)
    sides, batches = (','.join(map(str, column)) for column in zip(*cases)) if cases else ('', '')
    precision = '' if config.precision in ('auto', 'float64') else f' --precision={config.precision}'
    return (
        f'measure it with\n  {_BENCHMARK} --resolution={sides} --batch={batches}{precision} --json=speeds.json\n'
        'and give --speeds=speeds.json; a run that has begun knows it from its own log'
    )
