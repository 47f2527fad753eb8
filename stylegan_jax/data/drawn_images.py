"""Toy faces for training: in memory, as far as they have been asked for."""

import threading
from collections.abc import Sequence

import numpy as np

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data.sources.drawn import DrawnFaces
from stylegan_jax.data.staged_images import StagedImages
from stylegan_jax.data.toy_faces.kept import Faces


class DrawnImages(StagedImages):
    """The faces of a source, each drawn, or read from where it was kept, when it is first needed."""

    in_memory = True

    def __init__(self, source: DrawnFaces, image: ImageConfig, signature: str):
        """Draws nothing yet.

        Args:
          source: which faces; they are of the size of `image`, and fit into memory.
          image: the ImageConfig that the images follow.
          signature: of the images.
        """
        self.image, self.signature = image, signature
        self.labels, self.label_names = source.labels, source.label_names
        self._faces, self._lock = Faces(len(source), image.resolution), threading.Lock()

    def ready(self, indices: np.ndarray) -> np.ndarray:
        with self._lock:  # the readers of a run and its sample pictures may ask at the same time
            self._faces.bring(indices)
        return self._faces.pixels[indices]

    def prepare(self) -> None:
        with self._lock:
            self._faces.bring(np.arange(len(self)))

    def full_size(self, index: int) -> np.ndarray:
        return self.ready(np.array([index]))[0]

    def stage_images(self, indices: Sequence[int], stage: int) -> np.ndarray:
        self.ready(np.asarray(indices))  # all of them together, which takes less time than one by one
        return super().stage_images(indices, stage)

    def __getstate__(self):
        self.prepare()  # so that no process that gets a copy has to draw
        return {name: value for name, value in self.__dict__.items() if name != '_lock'}

    def __setstate__(self, state):
        self.__dict__.update(state, _lock=threading.Lock())
