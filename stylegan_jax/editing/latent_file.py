"""Latents and directions as .npz files whose headers tell what they are. No pickle."""

import dataclasses
import os
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from stylegan_jax.editing.directions import Directions
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.moments import Moments
from stylegan_jax.runtime import npz_file

_FORMAT, _VERSION = 'stylegan_jax latents', 1


@dataclasses.dataclass(frozen=True, eq=False)
class Latents:
    """Latents of some images.

    Attributes:
      ws: [N, L, W].
      names: the name of each, a tuple of N str, such as 'seed 5' or the name of a picture.
      noise: the noise inputs, as `Generator.synthesize` takes them: 'const', 'none', or a tuple of arrays
        [1 or N, h, w, 1].
      lod: the level of detail that they are meant for.
    """

    ws: np.ndarray
    names: tuple[str, ...]
    noise: str | Sequence[np.ndarray] = 'const'
    lod: float = 0.0

    def __post_init__(self):
        if np.ndim(self.ws) != 3 or len(self.ws) != len(self.names):
            raise UserError(
                f'latents: ws have shape {np.shape(self.ws)} and there are {len(self.names)} names',
                remedy='give [N, L, W] and N names',
            )
        if not np.isfinite(self.ws).all():
            raise UserError('latents: ws have numbers that are not finite')
        if isinstance(self.noise, str):
            if self.noise not in ('const', 'none'):
                raise UserError(f'latents: noise={self.noise!r}', remedy="give 'const', 'none' or arrays")
        elif any(np.ndim(x) != 4 or len(x) not in (1, len(self.ws)) for x in self.noise):
            raise UserError(
                'latents: noise has shapes ' + ', '.join(str(np.shape(x)) for x in self.noise),
                remedy=f'give [1 or {len(self.ws)}, h, w, 1]',
            )

    def noise_of(self, row: int) -> str | list[np.ndarray]:
        """Returns the noise inputs of the image of one row, as `Generator.synthesize` takes them."""
        if isinstance(self.noise, str):
            return self.noise
        return [x[row : row + 1] if len(x) > 1 else x for x in self.noise]

    def save(self, path: str | os.PathLike | typing.BinaryIO) -> None:
        """Writes a file that `load` reads, which appears whole or not at all; or writes to a file that is open."""
        arrays = {} if isinstance(self.noise, str) else {f'noise/{i}': x for i, x in enumerate(self.noise)}
        noise = self.noise if isinstance(self.noise, str) else len(self.noise)
        _write(path, 'latents', {'names': self.names, 'noise': noise, 'lod': self.lod}, {'ws': self.ws} | arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> typing.Self:
        """Reads a file of `save`; raises UserError if it is missing, damaged or something else."""

        def build(header, arrays):
            noise = header['noise']
            if not isinstance(noise, str):
                noise = tuple(arrays[f'noise/{layer}'] for layer in range(noise))
            return cls(arrays['ws'], tuple(header['names']), noise, float(header['lod']))

        return _read(path, 'latents', build)


def save_directions(
    path: str | os.PathLike, directions: Directions, *, about: Mapping[str, typing.Any] | None = None
) -> None:
    """Writes Directions.

    Args:
      path: where the file will be.
      directions: the Directions.
      about: dict for JSON that tells people where they came from; nothing reads it.
    """
    header = {'names': directions.names, 'about': about or {}}
    _write(path, 'directions', header, {'normals': directions.normals} | directions.moments.to_arrays())


def load_directions(path: str | os.PathLike) -> Directions:
    """Reads a file of `save_directions`; raises UserError if it is missing, damaged or something else."""

    def build(header, arrays):
        moments = Moments.from_arrays(arrays, where='moments')
        return Directions(tuple(header['names']), arrays['normals'], moments)

    return _read(path, 'directions', build)


def save_statistics(
    path: str | os.PathLike, moments: Moments, *, about: Mapping[str, typing.Any] | None = None
) -> None:
    """Writes the Moments of W alone; see `save_directions`."""
    _write(path, 'statistics', {'about': about or {}}, moments.to_arrays())


def load_statistics(path: str | os.PathLike) -> Moments:
    """Reads a file of `save_statistics`; raises UserError if it is missing, damaged or something else."""
    return _read(path, 'statistics', lambda header, arrays: Moments.from_arrays(arrays, where='moments'))


def _write(path, kind, header, arrays):
    header = {'format': _FORMAT, 'version': _VERSION, 'kind': kind} | header
    npz_file.write(path, header, {name: np.asarray(array) for name, array in arrays.items()})


def _read(path, kind, build):
    """Reads a file of one kind; `build` takes (header, {name: array})."""

    def checked(header, arrays):
        if header.get('format') != _FORMAT:
            raise UserError('this .npz file holds no latents of stylegan_jax')
        if header['version'] != _VERSION:
            raise UserError(f'version {header["version"]} of latents; a newer stylegan_jax wrote it')
        if header['kind'] != kind:
            raise UserError(f'this file holds {header["kind"]}, and {kind} were asked for')
        return build(header, arrays)

    return npz_file.read(path, checked, f'file of {kind}')
