"""Networks as a .safetensors file: one or all three of a training, with their configs in the metadata.

Any program that reads safetensors finds the arrays by the names that `Generator.save` gives them, after the name of the
network: 'ema/params/mapping/dense0/weight'. The metadata are one text in JSON under the key 'stylegan_jax'.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping

import jax
import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from stylegan_jax.config import serialization
from stylegan_jax.config.label_meaning import meaning_of
from stylegan_jax.config.network import DiscriminatorConfig, GeneratorConfig
from stylegan_jax.errors import UserError, in_one_line
from stylegan_jax.networks import file as network_file
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.runtime import atomic
from stylegan_jax.storage.stored_networks import NETWORKS, StoredNetworks

FORM = 'a .safetensors file'
_KEY = 'stylegan_jax'  # of the metadata
_VERSION = 1
_CLASSES = {'ema': Generator, 'G': Generator, 'D': Discriminator}
_CONFIGS = {Generator: GeneratorConfig, Discriminator: DiscriminatorConfig}
# Bytes of names, shapes and metadata; those of a network of 1024x1024 take 50,000.
_LONGEST_HEADER = 4 << 20
_TYPES = {'F64': np.float64, 'F32': np.float32, 'F16': np.float16, 'BF16': ml_dtypes.bfloat16}


def write(
    path: str | os.PathLike,
    networks: Mapping[str, Generator | Discriminator],
    *,
    dtype: str | None = None,
    lod: float = 0.0,
    nimg: int | None = None,
) -> None:
    """Writes networks atomically: the file appears complete or not at all. Equal networks make equal files.

    Args:
      path: of the file; an existing one is replaced.
      networks: {'ema': Generator, 'G': Generator, 'D': Discriminator}, or some of them.
      dtype: number type of the stored arrays, such as 'float16' for half the size; None for their own.
      lod: level of detail that the training has reached; commands draw at it.
      nimg: real images that the training has shown; None where that is not known.
    """
    arrays = {
        f'{name}/{array_name}': np.ascontiguousarray(np.asarray(array, dtype))
        for name, network in networks.items()
        for array_name, array in network.named_arrays().items()
    }
    # The library writes several entries of metadata in an order that is another each time; so there is one.
    metadata = {_KEY: json.dumps(header_of(networks, lod=lod, nimg=nimg))}
    content = safetensors.numpy.save(arrays, metadata)
    with atomic.writing(path, 'wb') as file:
        file.write(content)


def header_of(networks: Mapping[str, Generator | Discriminator], *, lod: float, nimg: int | None) -> dict[str, object]:
    """Returns what the metadata say of networks, for JSON; see `write`."""
    meanings = (getattr(network, 'label_meaning', None) for network in networks.values())
    labels = next((meaning.to_dict() for meaning in meanings if meaning is not None), None)
    return {
        'format': 'stylegan_jax',
        'version': _VERSION,
        'networks': {name: serialization.to_dict(network.config) for name, network in networks.items()},
        'labels': labels,
        'lod': float(lod),
        'images_shown': nimg,
    }


def is_one(start: bytes) -> bool:
    """Says whether the first bytes of a file are those of a file that `write` wrote."""
    return start[8:9] == b'{' and f'"{_KEY}"'.encode() in start


def open_file(path: str | os.PathLike) -> StoredNetworks:
    """Opens a file that `write` wrote. Names, types and shapes are checked here, and arrays are read when asked for.

    Args:
      path: of the file.

    Returns:
      StoredNetworks; arrays that were stored in half precision are float32.

    Raises:
      UserError: the file is missing, damaged or something else.
    """
    path = os.fspath(path)
    with _reported(path):
        _check_header_length(path)
        # The handle stays open, so that all networks come from the file that was there at this moment.
        file = safetensors.safe_open(path, 'np')
        header = _header(file)
        found = {}
        for name in file.keys():
            network, _, rest = name.partition('/')
            found.setdefault(network, {})[rest] = _shape_of(name, file.get_slice(name))
        others = sorted(found.keys() - header['networks'].keys())
        if others:
            raise UserError(f'it has arrays of {others[0][:80]!r}, of which its metadata say nothing')
        configs = {name: _checked_config(name, config, found) for name, config in header['networks'].items()}
        lod, nimg = _progress(header, configs)
        labels = header.get('labels')

    def read(which):
        with _reported(path):
            arrays = {name: _at_least_float32(file.get_tensor(f'{which}/{name}')) for name in found[which]}
            network = _CLASSES[which].from_arrays(configs[which], arrays)
            if which == 'D':
                return network
            return dataclasses.replace(network, label_meaning=meaning_of(labels, network.label_dim))

    names = tuple(name for name in NETWORKS if name in configs)
    return StoredNetworks(path, FORM, names, read, lod, nimg)


@contextlib.contextmanager
def _reported(path) -> Iterator[None]:
    """Puts the path before errors; those of damaged files have many types."""
    try:
        yield
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
    except OSError as error:
        raise UserError(f'{path}: {error.strerror or error}') from None
    except Exception as error:
        raise UserError(f'{path}: damaged {FORM.removeprefix("a ")} ({in_one_line(error)})') from error


def _check_header_length(path):
    """Looks at the length that the header claims, before the library reserves memory or reads it."""
    with open(path, 'rb') as file:
        claimed, size = int.from_bytes(file.read(8), 'little'), os.fstat(file.fileno()).st_size
    if claimed > size - 8:
        raise UserError(f'damaged .safetensors file (its header would have {claimed:,} bytes, and the file {size:,})')
    if claimed > _LONGEST_HEADER:
        raise UserError(f'its header would have {claimed / 2**20:.0f} MiB')


def _header(file):
    """Returns the checked metadata; the configs in it are still plain."""
    text = (file.metadata() or {}).get(_KEY)
    if text is None:
        raise UserError('this .safetensors file is not one that stylegan_jax wrote')
    header = json.loads(text)
    if not isinstance(header, dict) or header.get('version') != _VERSION:
        version = header.get('version') if isinstance(header, dict) else None
        raise UserError(f'unknown version {str(version)[:40]} of such a file; a newer stylegan_jax may have written it')
    networks = header.get('networks')
    if not isinstance(networks, dict) or not networks or not networks.keys() <= set(NETWORKS):
        raise UserError(f'its metadata do not name networks among {", ".join(NETWORKS)}')
    return header


def _shape_of(name, part):
    kind = part.get_dtype()
    if kind not in _TYPES:
        raise UserError(f'{name[:80]} has numbers of type {kind[:40]}, which are no weights')
    return jax.ShapeDtypeStruct(tuple(part.get_shape()), _TYPES[kind])


def _checked_config(name, plain, found):
    """Returns the config of a network whose arrays have the names and shapes that it means."""
    cls = _CLASSES[name]
    config = serialization.from_dict(_CONFIGS[cls], plain)
    network_file.check_arrays(found.get(name, {}), cls.shapes(config))
    return config


def _progress(header, configs):
    """Returns (level of detail, images shown or None)."""
    lod, nimg = header.get('lod', 0.0), header.get('images_shown')
    stages = min(config.image.num_stages for config in configs.values())
    if not isinstance(lod, (int, float)) or not 0 <= lod <= stages - 1:
        raise UserError(f'its level of detail is {str(lod)[:40]}; there are those from 0 to {stages - 1}')
    if nimg is not None and (type(nimg) is not int or nimg < 0):
        raise UserError(f'it says that {str(nimg)[:40]} images were shown')
    return float(lod), nimg


def _at_least_float32(array):
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array
