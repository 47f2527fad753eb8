"""The one protocol of images for training: full-size pixels, all stages of them, and labels."""

import abc
import sys
from collections.abc import Sequence

import numpy as np

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data.pixels import box_reduce, to_uint8
from stylegan_jax.runtime.threads import NUM_THREADS, in_threads


class StagedImages(abc.ABC):
    """Images of one shape, in a fixed order, and their labels; picklable, and read by many processes and threads.

    Attributes:
      image: the ImageConfig that the pixels follow.
      labels: float32 [len, K]; K may be 0.
      label_names: the meaning of the K entries of a label, or None.
      signature: tells these images, in this order, from others; the same for a copy elsewhere.
      pixels: full-size images, uint8 [len, H, W, C], if they are in memory, else None.
      in_memory: whether reading decodes nothing, because all pictures are in the memory of every process that reads.
      fourth_channel: the meaning of the last of four channels; see `pixels.box_reduce`.
      at_once: how many images may be read at once, by all threads and processes together.
    """

    image: ImageConfig
    labels: np.ndarray
    label_names: tuple[str, ...] | None = None
    signature: str
    pixels: np.ndarray | None = None
    in_memory: bool = False
    fourth_channel: str = 'alpha'
    at_once: int = sys.maxsize

    def __len__(self) -> int:
        return len(self.labels)

    def ready(self, indices: np.ndarray) -> np.ndarray | None:
        """Returns full-size images, uint8 [n, H, W, C], where they are kept in memory; None where they are not.

        Args:
          indices: which images, int [n].
        """
        return None if self.pixels is None else self.pixels[indices]

    def prepare(self) -> None:
        """Makes what would otherwise be made when images are first asked for, where that takes long."""
        return

    @abc.abstractmethod
    def full_size(self, index: int) -> np.ndarray:
        """Returns one image, uint8 [H, W, C].

        Raises:
          UserError: it cannot be read.
        """

    def stage_images(self, indices: Sequence[int], stage: int) -> np.ndarray:
        """Returns images at a stage: the means over boxes of the full-size pixels, each rounded once.

        Those that have smaller stages at hand override this.

        Args:
          indices: which images, int [n].
          stage: which resolution; (h, w) = image.stage_shape(stage).

        Returns:
          uint8 [n, h, w, C].

        Raises:
          UserError: an image cannot be read.
        """
        height, width = self.image.stage_shape(stage)
        images = np.empty([len(indices), height, width, self.image.channels], np.uint8)

        def reduce(row):
            images[row] = to_uint8(
                box_reduce(self.full_size(indices[row]), height, width, fourth_channel=self.fourth_channel)
            )

        in_threads(reduce, len(indices), threads=min(NUM_THREADS, self.at_once))
        return images
