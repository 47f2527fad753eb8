"""Toy faces of any number and size."""

import re
from collections.abc import Sequence

import numpy as np
import PIL

from stylegan_jax.data.sources.base import PREPARATION, PictureSource, SettingNames, check_labels_choice
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.data.toy_faces.kept import Faces
from stylegan_jax.errors import UserError

_COUNT, _RESOLUTION = 10000, 256  # where the name does not say


class DrawnFaces(PictureSource):
    """The toy faces 0 to len - 1, each drawn when it is asked for."""

    kind = 'toy_faces'

    def __init__(self, path: str, *, labels: str = 'auto', count: int = 0, settings: SettingNames = PREPARATION):
        """Counts the faces.

        Args:
          path: 'toy_faces', 'toy_faces:COUNT', 'toy_faces:@RESOLUTION' or 'toy_faces:COUNT@RESOLUTION'.
          labels: 'auto' or 'none', both none; or 'attributes'.
          count: use only the first `count` faces; 0 = all.
          settings: the names of the caller's settings, for messages.

        Raises:
          UserError: the path is not that, or there are no such faces.
        """
        check_labels_choice(labels, ('auto', 'none', 'attributes'), path, settings)
        match = re.fullmatch(r'toy_faces(?::(\d+)?(?:@(\d+))?)?', path)
        if not match:
            raise UserError(f'{path}: give toy_faces:COUNT@RESOLUTION, such as toy_faces:1000@64')
        available, self._resolution = int(match[1] or _COUNT), int(match[2] or _RESOLUTION)
        if not toy_faces.MIN_RESOLUTION <= self._resolution <= toy_faces.MAX_RESOLUTION:
            raise UserError(
                f'{path}: toy faces are drawn at {toy_faces.MIN_RESOLUTION} to {toy_faces.MAX_RESOLUTION} '
                f'pixels, not {self._resolution}'
            )
        count = count or available
        if not 1 <= count <= available:
            raise UserError(
                f'{path}: {count} of {available} faces', remedy=f'give a COUNT above 0, and {settings.count} no larger'
            )
        self.path = path
        self.labels = np.zeros([count, 0], np.float32)
        if labels == 'attributes':
            self.labels = np.stack([toy_faces.attributes(index) for index in range(count)])
            self.label_names = toy_faces.ATTRIBUTES

    def name(self, index: int) -> str:
        return f'toy face {index}'

    def picture(self, index: int) -> np.ndarray:
        return toy_faces.draw(int(index), self._resolution)

    def common_size(self) -> tuple[int, int]:
        return self._resolution, self._resolution

    def all_pixels(self, shape: tuple[int, int, int]) -> np.ndarray | None:
        if shape != (*self.common_size(), 3):
            return None
        # Drawing holds Python's lock, so that processes are needed in place of threads.
        faces = Faces(len(self), self._resolution)
        faces.bring(np.arange(len(self)))
        return faces.pixels

    def fingerprints(self) -> dict[str, str]:
        return {self.path: f'{len(self)} faces at {self._resolution} by Pillow {PIL.__version__}'}

    def signature(self, indices: Sequence[int]) -> str:
        return f'toy faces {len(indices)} of {self._resolution} pixels'
