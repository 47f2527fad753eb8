"""Pictures in the arrays of an .npz, as MNIST and CIFAR come in."""

import os
import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np

from stylegan_jax.data import labels as labels_module
from stylegan_jax.data.sources.base import (
    PREPARATION,
    PerProcess,
    PictureSource,
    SettingNames,
    check_count,
    check_labels_choice,
    digest_of,
    stamp_of,
)
from stylegan_jax.data.sources.own_files import kind_of_npz
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.stand_ins import stand_in_at

_KEYS = (('x_train', 'y_train'), ('images', 'labels'), ('x', 'y'), ('arr_0', 'arr_1'))


class PictureArrays(PictureSource):
    """The pictures of an .npz, in stored order. Each process holds all of them in memory."""

    kind = 'arrays'
    in_memory = True

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        labels: str = 'auto',
        count: int = 0,
        settings: SettingNames = PREPARATION,
    ):
        """Reads the arrays.

        Args:
          path: an .npz with pictures, uint8 [N, H, W], [N, H, W, C] or [N, C, H, W], C 1, 3 or 4, as x_train,
            images, x or arr_0, and perhaps labels, [N], [N, 1] or [N, K], as y_train, labels, y or arr_1.
          labels: 'auto' (the labels, if there are any) or 'none'.
          count: use only the first `count` pictures; 0 = all.
          settings: the names of the caller's settings, for messages.

        Raises:
          UserError: the file is not that.
        """
        check_labels_choice(labels, ('auto', 'none'), path, settings)
        path = pathlib.Path(path).expanduser()
        self.path, self._path = str(path), path
        names = _load(path, lambda file: set(file.files))
        keys = next((keys for keys in _KEYS if keys[0] in names), None)
        if keys is None:
            if kind := kind_of_npz(path.read_bytes):
                raise UserError(f'{path}: this is {kind}, and no pictures', remedy=f'give another {settings.path}')
            raise UserError(
                f'{path}: it has {", ".join(sorted(names)) or "nothing"}, but no pictures under any of '
                f'{", ".join(pair[0] for pair in _KEYS)}',
                remedy='rename them',
            )
        self._pictures = PerProcess(_load_pictures, path, keys[0])
        available = len(self._pictures.get())
        count = check_count(count, available, path, settings)
        self.labels = np.zeros([available, 0], np.float32)
        if labels == 'auto' and keys[1] in names:
            self.labels = labels_module.labels_of_array(
                _load(path, lambda file: file[keys[1]]), available, f'{path}, {keys[1]}', settings.without_labels
            )
        self.labels = self.labels[:count]

    def name(self, index: int) -> str:
        return f'{self._path.name}, picture {index}'

    def picture(self, index: int) -> np.ndarray:
        return self._pictures.get()[index]

    def common_size(self) -> tuple[int, int]:
        return self._pictures.get().shape[1:3]

    def all_pixels(self, shape: tuple[int, int, int]) -> np.ndarray | None:
        pictures = self._pictures.get()[: len(self)]
        if pictures.ndim == 3:
            pictures = pictures[..., None]
        return pictures if pictures.shape[1:] == shape else None

    def fingerprints(self) -> dict[str, str]:
        return {self.path: stamp_of(self._path)}

    def signature(self, indices: Sequence[int]) -> str:
        # Arrays of one shape make files of one size, so only the pixels tell them apart.
        pictures = self._pictures.get()
        return digest_of(str(pictures.shape[1:]), *(pictures[index] for index in indices))


def _load(path, read):
    """Returns read(the open .npz)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return read(file)
    except (ValueError, OSError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f'{path}: cannot be read as an .npz of arrays ({stand_in_at(path) or error}); '
            'make it with numpy.savez, of numbers only'
        ) from error


def _load_pictures(path, key):
    """Returns uint8 [N, H, W] or [N, H, W, C]."""
    pictures = _load(path, lambda file: file[key])
    if pictures.dtype != np.uint8:
        raise UserError(f'{path}: {key} is {pictures.dtype}; give uint8, values from 0 to 255')
    if pictures.ndim == 4 and pictures.shape[3] not in (1, 3, 4) and pictures.shape[1] in (1, 3, 4):
        pictures = pictures.transpose(0, 2, 3, 1)
    if (pictures.ndim != 3 and (pictures.ndim != 4 or pictures.shape[3] not in (1, 3, 4))) or 0 in pictures.shape[1:]:
        raise UserError(
            f'{path}: {key} has the shape {list(pictures.shape)}; give [N, H, W], [N, H, W, C] or '
            '[N, C, H, W] with 1, 3 or 4 channels'
        )
    return pictures
