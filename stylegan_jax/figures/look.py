"""How figures look: captions or none, gutters, and small images enlarged."""

import dataclasses
import typing

import numpy as np

from stylegan_jax.figures import captions, layout
from stylegan_jax.sampling import grid

_SMALLEST_SIDE = 128  # pixels; smaller images are enlarged by powers of two until the longer side has as many
_GUTTERS = 48  # gutters that would cover the height of an image


@dataclasses.dataclass(frozen=True)
class Look:
    """The settings of how a figure looks.

    Attributes:
      captions: whether anything is written.
      gutter: white pixels between images; None for a width that suits their size.
      scale: the factor by which images are enlarged; None enlarges small ones until they are easily seen.
    """

    captions: bool = True
    gutter: int | None = None
    scale: int | None = None

    def scale_of(self, shape: typing.Sequence[int], smallest: int = _SMALLEST_SIDE) -> int:
        """Returns the factor by which images of a shape (H, W, C) are enlarged, to a side of `smallest` at least."""
        scale = self.scale or 1
        while self.scale is None and scale * max(shape[:2]) < smallest:
            scale *= 2
        return scale

    def enlarge(self, images: np.ndarray) -> np.ndarray:
        """Enlarges images [..., H, W, C]."""
        return grid.enlarge(images, self.scale_of(images.shape[-3:]))

    def gutter_of(self, height: int) -> int:
        """Returns the gutter between images that have a height in the figure [pixels]."""
        return max(2, height // _GUTTERS) if self.gutter is None else self.gutter

    def table(
        self,
        rows: typing.Sequence[typing.Sequence[np.ndarray | layout.Figure | None]],
        *,
        height: int,
        title: str = '',
        columns: typing.Sequence[str] = (),
        beside: typing.Sequence[str] = (),
        **headers: int,
    ) -> layout.Figure:
        """Lays out a `layout.table` in this look.

        Args:
          rows: see `layout.table`.
          height: of the images [pixels], which gutters and captions are sized for.
          title: caption above the table.
          columns: captions above the columns.
          beside: captions left of the rows.
          **headers: see `layout.table`.
        """
        words = layout.Captions(title, columns, beside, captions.fitting_size(height)) if self.captions else None
        return layout.table(rows, gutter=self.gutter_of(height), words=words, **headers)
