"""The images and labels of one pair of D and G steps."""

import typing


class Batch(typing.NamedTuple):
    """Images and labels: np.ndarray, jax.Array, or jax.ShapeDtypeStruct for their shapes alone.

    Attributes:
      images: [n, h, w, C], uint8 where they come from a data set.
      labels: float32 [n, K], of the images.
      g_labels: float32 [n, K], for the generator's step.
    """

    images: typing.Any
    labels: typing.Any
    g_labels: typing.Any
