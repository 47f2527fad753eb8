"""Names of metrics, such as fid10k or ppl_wend2k: which metric of `metrics.catalogue` they mean, of how many samples.

A name is that of the metric, then a number of samples, for which `k` means thousands; without a number it is the
metric's own. Names of metrics that compare with real images may end in `_full`: with all of the data set.
"""

import dataclasses
import re

from stylegan_jax.errors import UserError
from stylegan_jax.metrics.catalogue import METRICS
from stylegan_jax.metrics.kind import MetricKind


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric that was asked for.

    Attributes:
      name: as it was written.
      kind: the description of the metric.
      count: number of generated samples: images, pairs, steps or walks.
      reals: number of real images; 0 for none, None for all of the data set.
    """

    name: str
    kind: MetricKind
    count: int
    reals: int | None = 0

    @property
    def results(self) -> tuple[str, ...]:
        """Names of the results, the deciding one first."""
        return tuple(self.name + part for part in self.kind.results)


def parse(names: str) -> list[Metric]:
    """Returns the Metrics that a text such as 'fid50k,ppl_wend' names.

    Raises:
      UserError: there is no such metric, or too few images are asked for.
    """
    return [_parse(name.strip()) for name in names.split(',') if name.strip()]


def _parse(name):
    for kind in METRICS:
        full = '(?P<full>_full)?' if kind.with_reals else '(?P<full>)'
        match = re.fullmatch(rf'{kind.name}(?:(?P<count>\d+)(?P<thousands>k)?)?{kind.suffix}{full}', name)
        if match:
            break
    else:
        names = ', '.join(published_names())
        raise UserError(
            f'metric {name!r}: there is none of that name',
            remedy=f'choose from {names}; any number may take the place of theirs, such as fid5k',
        )
    count = int(match['count']) * (1000 if match['thousands'] else 1) if match['count'] else kind.count
    if count < kind.fewest:
        unit = 'images' if kind.unit == 'fakes' else kind.unit
        raise UserError(f'metric {name!r}: ask for at least {kind.fewest} {unit}')
    reals = 0 if not kind.with_reals else None if match['full'] else count
    return Metric(name, kind, count, reals)


def published_names() -> list[str]:
    """Returns the names under which numbers are usually published, which documents and messages list."""
    return [name for kind in METRICS for name in kind.published]
