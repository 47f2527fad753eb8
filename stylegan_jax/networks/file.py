"""The project's own file for one network: an .npz of named arrays and its config as JSON. No pickle.

Not for training state: that is `checkpoint`'s.
"""

import os
import typing
from collections.abc import Callable, Mapping

import numpy as np

from stylegan_jax.config import serialization
from stylegan_jax.config.network import ClassifierConfig, DiscriminatorConfig, GeneratorConfig
from stylegan_jax.errors import UserError, in_one_line
from stylegan_jax.runtime import npz_file

_T = typing.TypeVar('_T')
_KINDS = {'generator': GeneratorConfig, 'discriminator': DiscriminatorConfig, 'classifier': ClassifierConfig}


def write(
    path: str | os.PathLike,
    *,
    kind: str,
    config: GeneratorConfig | DiscriminatorConfig | ClassifierConfig,
    arrays: Mapping[str, object],
    dtype: str | None = None,
    labels: Mapping[str, object] | None = None,
) -> None:
    """Writes a network file atomically: it appears complete or not at all.

    Args:
      path: of the file; an existing one is replaced.
      kind: 'generator', 'discriminator' or 'classifier'.
      config: of the network.
      arrays: {name: array}.
      dtype: number type of the stored arrays, such as 'float16' for half the size; None for their own.
      labels: the meaning of the network's labels, a dict for JSON; None for nothing about them.
    """
    header = {'format': 'stylegan_jax', 'version': 1, 'kind': kind, 'config': serialization.to_dict(config)}
    header |= {} if labels is None else {'labels': labels}
    npz_file.write(path, header, {name: np.asarray(array, dtype) for name, array in arrays.items()})


def read(
    path: str | os.PathLike,
) -> tuple[str, GeneratorConfig | DiscriminatorConfig | ClassifierConfig, dict[str, np.ndarray]]:
    """Reads a file that `write` wrote.

    Returns:
      (kind, config, {name: array}); arrays that were stored in float16 are float32.

    Raises:
      UserError: the file is damaged or is not a network file.
    """
    return read_with_labels(path)[:3]


def read_with_labels(
    path: str | os.PathLike,
) -> tuple[str, GeneratorConfig | DiscriminatorConfig | ClassifierConfig, dict[str, np.ndarray], object]:
    """Reads a file as `read` does; returns as a fourth the labels that `write` got, None if the file has none."""

    def build(header, arrays):
        if not header:
            raise UserError('this archive is not a network saved by stylegan_jax')
        if header.get('version') != 1 or header.get('kind') not in _KINDS:
            raise UserError(
                f'unknown kind of network file (version {header.get("version")}, '
                f'kind {header.get("kind")!r}); a newer stylegan_jax may have written it'
            )
        config = serialization.from_dict(_KINDS[header['kind']], header['config'])
        arrays = {name: _at_least_float32(array) for name, array in arrays.items()}
        return header['kind'], config, arrays, header.get('labels')

    return npz_file.read(path, build, 'network file')


def _at_least_float32(array):
    return array.astype(np.float32) if array.dtype == np.float16 else array


def template_of(make: Callable[[], _T]) -> _T:
    """Returns what `make` makes of a config that came with arrays, such as a template for `check_arrays`.

    Raises:
      UserError: it fails, because the config describes no network.
    """
    try:
        return make()
    except UserError:
        raise
    except Exception as error:  # JAX and Flax raise errors of many types for sizes that cannot be
        raise UserError(f'its settings describe no network ({in_one_line(error)})') from error


def check_arrays(arrays: Mapping[str, object], template: Mapping[str, object]) -> None:
    """Compares the names and shapes of arrays with those of a template.

    Args:
      arrays: {name: array}.
      template: {name: array or jax.ShapeDtypeStruct}, as the config of the network means them.

    Raises:
      UserError: an array is missing, too many, of another shape, or not of numbers; the message names it.
    """
    missing = sorted(template.keys() - arrays.keys())
    if missing:
        raise UserError(f'the network lacks {len(missing)} of its arrays, first {missing[0]}')
    extra = sorted(arrays.keys() - template.keys())
    if extra:
        raise UserError(f'the network has {len(extra)} arrays that its settings do not explain, first {extra[0]}')
    for name, expected in template.items():
        if np.shape(arrays[name]) != expected.shape:
            raise UserError(f'{name} has shape {np.shape(arrays[name])}; its settings mean {expected.shape}')
        kind = np.dtype(arrays[name].dtype)
        if kind.kind not in 'fiub' and kind.name != 'bfloat16':
            raise UserError(f'{name} has values of type {kind}, which are no weights')
