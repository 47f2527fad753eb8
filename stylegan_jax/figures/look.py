"""How figures look: captions or none, gutters, and small images enlarged."""

import dataclasses

from stylegan_jax.figures import captions, layout
from stylegan_jax.sampling import grid

_SMALLEST_SIDE = 128  # pixels; smaller images are enlarged by powers of two until the longer side has as many
_GUTTERS = 48  # an image is as wide as so many gutters


@dataclasses.dataclass(frozen=True)
class Look:
    """What is chosen about the looks of a figure.

    Attributes:
      captions: whether anything is written.
      gutter: white pixels between images; None for what suits them.
      scale: by how much images are enlarged; None for what makes small ones visible.
    """

    captions: bool = True
    gutter: int | None = None
    scale: int | None = None

    def scale_of(self, shape, smallest=_SMALLEST_SIDE):
        """Returns by how much images of a shape (H, W, C) are enlarged."""
        scale = self.scale or 1
        while self.scale is None and scale * max(shape[:2]) < smallest:
            scale *= 2
        return scale

    def enlarge(self, images):
        """Enlarges images [..., H, W, C]."""
        return grid.enlarge(images, self.scale_of(images.shape[-3:]))

    def gutter_of(self, height):
        """Returns the gutter between images of a height on the paper."""
        return max(2, height // _GUTTERS) if self.gutter is None else self.gutter

    def table(self, rows, *, height, title='', columns=(), beside=(), **headers):
        """Lays out a `layout.table`, with captions that suit images of a height."""
        words = layout.Captions(title, columns, beside, captions.fitting_size(height)) if self.captions else None
        return layout.table(rows, gutter=self.gutter_of(height), words=words, **headers)
