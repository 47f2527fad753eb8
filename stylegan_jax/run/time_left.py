"""How long the rest of a run takes, from the speeds that were measured at each resolution.

A resolution that was not measured yet takes, per image, at least as long as a lower one, and at most longer in
proportion to its multiplications: the larger an image, the better it keeps a device busy. So the time is a range, whose
ends meet once the last resolution was measured.
"""

import typing
from collections.abc import Mapping

from stylegan_jax.config import Config
from stylegan_jax.config.network import num_fmaps
from stylegan_jax.config.schedule import stage_table
from stylegan_jax.runtime.progress import time_range


class Estimate(typing.NamedTuple):
    """The shortest and the longest time that something will take [s]."""

    least: float
    most: float

    def __str__(self):
        return time_range(self.least, self.most)


class TimeLeft:
    """The schedule of a run, and the seconds per image that were measured at its resolutions."""

    def __init__(self, config: Config, measured: Mapping[str, float] | None = None):
        """Reads the schedule.

        Args:
          config: a resolved Config.
          measured: seconds per image by resolution, such as {'8x8': 0.01}.
        """
        self._spans = [(_text(span.resolution), span) for span in stage_table(config)]
        image = config.image
        shapes = {_text(image.stage_shape(stage)): stage for stage in range(image.num_stages)}
        self._work = {resolution: work(config, stage) for resolution, stage in shapes.items()}
        self.measured = dict(measured or {})

    def measure(self, resolution: str, seconds_per_image: float) -> None:
        """Notes a speed, in place of one that was noted for the same resolution before."""
        self.measured[resolution] = seconds_per_image

    def seconds_per_image(self, resolution: str) -> Estimate | None:
        """Returns the time for an image at a resolution; None if nothing was measured."""
        if resolution in self.measured:
            return Estimate(self.measured[resolution], self.measured[resolution])
        here = self._work[resolution]
        # The nearest resolution is the highest below, or else the lowest above.
        known = sorted(self.measured.keys() & self._work.keys(), key=self._work.get)
        if not known:
            return None
        near = next((other for other in reversed(known) if self._work[other] < here), known[0])
        ends = self.measured[near], self.measured[near] * here / self._work[near]
        return Estimate(min(ends), max(ends))

    def until_end(self, nimg: int) -> Estimate | None:
        """Returns the time from `nimg` images on to the end of the run; None if nothing was measured."""
        least = most = 0.0
        for resolution, span in self._spans:
            images = span.to_kimg * 1000 - max(span.from_kimg * 1000, nimg)
            if images > 0:
                each = self.seconds_per_image(resolution)
                if each is None:
                    return None
                least, most = least + images * each.least, most + images * each.most
        return Estimate(least, most)


def work(config: Config, stage: int) -> float:
    """Returns the multiplications of the convolutions of both networks for an image at a stage, to a common factor."""
    total = 0
    for network in config.generator, config.discriminator:
        for s in range(stage + 1):
            height, width = config.image.stage_shape(s)
            features, below = num_fmaps(network, s + 1), num_fmaps(network, s)
            total += height * width * features * (features + (below if s else 0))
    return float(total)


def _text(shape):
    return 'x'.join(map(str, shape))
