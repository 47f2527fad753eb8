"""What one pair of D and G steps sees."""

import typing


class Batch(typing.NamedTuple):
    """Images and labels: arrays in memory or on devices, or their shapes alone.

    Attributes:
      images: [n, h, w, C], uint8 where they come from a data set.
      labels: float32 [n, K], of the images.
      g_labels: float32 [n, K], for the generator's step.
    """

    images: typing.Any
    labels: typing.Any
    g_labels: typing.Any
