"""Latents and directions as .npz files that say what they are. No pickle."""

import dataclasses
import json

import numpy as np

from stylegan_jax.editing.directions import Directions
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.moments import Moments
from stylegan_jax.runtime import atomic

_HEADER = 'header'
_FORMAT, _VERSION = 'stylegan_jax latents', 1


@dataclasses.dataclass(frozen=True, eq=False)
class Latents:
    """Latents of some images.

    Attributes:
      ws: [N, L, W].
      names: what each is, a tuple of N str, such as 'seed 5' or the name of a picture.
      noise: what goes into the noise inputs, as `Generator.synthesize` takes it: 'const', 'none', or a tuple of arrays
        [1 or N, h, w, 1].
      lod: the level of detail that they are meant for.
    """

    ws: np.ndarray
    names: tuple
    noise: object = 'const'
    lod: float = 0.0

    def __post_init__(self):
        if np.ndim(self.ws) != 3 or len(self.ws) != len(self.names):
            raise UserError(
                f'latents: ws have shape {np.shape(self.ws)} and there are {len(self.names)} names; '
                'give [N, L, W] and N names'
            )
        if not np.isfinite(self.ws).all():
            raise UserError('latents: ws have numbers that are not finite')
        if isinstance(self.noise, str):
            if self.noise not in ('const', 'none'):
                raise UserError(f"latents: noise={self.noise!r}; give 'const', 'none' or arrays")
        elif any(np.ndim(x) != 4 or len(x) not in (1, len(self.ws)) for x in self.noise):
            raise UserError(
                'latents: noise has shapes '
                + ', '.join(str(np.shape(x)) for x in self.noise)
                + f'; give [1 or {len(self.ws)}, h, w, 1]'
            )

    def noise_of(self, row):
        """The noise of one of them."""
        return (
            self.noise if isinstance(self.noise, str) else [x[row : row + 1] if len(x) > 1 else x for x in self.noise]
        )

    def save(self, path):
        """Writes a file that `load` reads; it appears whole or not at all."""
        arrays = {} if isinstance(self.noise, str) else {f'noise/{i}': x for i, x in enumerate(self.noise)}
        noise = self.noise if isinstance(self.noise, str) else len(self.noise)
        _write(path, 'latents', {'names': self.names, 'noise': noise, 'lod': self.lod}, {'ws': self.ws} | arrays)

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote; UserError if the file is missing, damaged or something else."""

        def build(header, arrays):
            noise = header['noise']
            if not isinstance(noise, str):
                noise = tuple(arrays[f'noise/{layer}'] for layer in range(noise))
            return cls(arrays['ws'], tuple(header['names']), noise, float(header['lod']))

        return _read(path, 'latents', build)


def save_directions(path, directions, *, about=None):
    """Writes Directions; about: what else is said of them, for people, JSON."""
    _write(
        path,
        'directions',
        {'names': directions.names, 'about': about or {}},
        {'normals': directions.normals} | directions.moments.to_arrays(),
    )


def load_directions(path):
    """Reads the Directions that `save_directions` wrote; UserError if the file is missing, damaged or another."""

    def build(header, arrays):
        moments = Moments.from_arrays(arrays, where='moments')
        return Directions(tuple(header['names']), arrays['normals'], moments)

    return _read(path, 'directions', build)


def save_statistics(path, moments, *, about=None):
    """Writes the Moments of W alone; see `save_directions`."""
    _write(path, 'statistics', {'about': about or {}}, moments.to_arrays())


def load_statistics(path):
    """Reads the Moments that `save_statistics` wrote; UserError if the file is missing, damaged or something else."""
    return _read(path, 'statistics', lambda header, arrays: Moments.from_arrays(arrays, where='moments'))


def _write(path, kind, header, arrays):
    header = json.dumps({'format': _FORMAT, 'version': _VERSION, 'kind': kind} | header)
    with atomic.writing(path, 'wb') as file:
        np.savez(file, **{_HEADER: np.array(header)}, **{name: np.asarray(array) for name, array in arrays.items()})


def _read(path, kind, build):
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file[_HEADER])) if _HEADER in file.files else {}
            if header.get('format') != _FORMAT:
                raise UserError('this .npz file holds no latents of stylegan_jax')
            if header['version'] != _VERSION:
                raise UserError(f'version {header["version"]} of latents; a newer stylegan_jax wrote it')
            if header['kind'] != kind:
                raise UserError(f'this file holds {header["kind"]}, and {kind} were asked for')
            return build(header, {name: file[name] for name in file.files if name != _HEADER})
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
    except FileNotFoundError:
        raise UserError(f'{path}: No such file; give a file of {kind}') from None
    except Exception as error:  # damaged archives fail in every way there is
        message = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise UserError(f'{path}: damaged file of {kind} ({message})') from error
