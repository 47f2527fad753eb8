"""The kinds of files that networks are read from: how each is known, and what opens it."""

import dataclasses
import json
import os
import pathlib
import typing
from collections.abc import Callable

from stylegan_jax.config.label_meaning import meaning_of
from stylegan_jax.errors import UserError
from stylegan_jax.networks import file as network_file
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.storage import foreign_networks, genforce, official, port_arrays, rosinality, safetensors_file
from stylegan_jax.storage.stored_networks import NETWORKS, StoredNetworks

LOOKED_AT = 1 << 20  # bytes of a file, by which readers know it
SAVED_FORM = 'a saved network (.npz)'
_ZIP_MAGIC = b'PK\x03\x04'
_KINDS = {'generator': 'ema', 'discriminator': 'D'}


class Reader(typing.NamedTuple):
    """One kind of file.

    Attributes:
      recognises: takes the path and the first bytes of a file; says whether it is of this kind.
      open: takes the path; returns StoredNetworks.
    """

    recognises: Callable[[str, bytes], bool]
    open: Callable[[str], StoredNetworks]


def open_saved(path: str) -> StoredNetworks:
    """Reads a file that `Generator.save` or `Discriminator.save` wrote."""
    kind, config, arrays, labels = network_file.read_with_labels(path)

    def read(which):
        try:
            if which == 'D':
                return Discriminator.from_arrays(config, arrays)
            generator = Generator.from_arrays(config, arrays)
            return dataclasses.replace(generator, label_meaning=meaning_of(labels, generator.label_dim))
        except UserError as error:
            raise UserError(f'{path}: {error}') from None

    names = (_KINDS[kind],) if kind in _KINDS else ()
    return StoredNetworks(path, SAVED_FORM, names, read, contents=f'a {kind}')


def open_run(path: str, nimg: int | None = None) -> StoredNetworks:
    """Opens a run directory at a checkpoint, by the images shown, or at its newest one that can be read."""
    from stylegan_jax.storage import networks_of_runs  # imports Orbax, which takes a second

    saved = networks_of_runs.restore(path, nimg)
    return StoredNetworks(
        path,
        'a run directory',
        NETWORKS,
        lambda which: networks_of_runs.network_of(saved, which),
        float(saved.state.lod),
        saved.nimg,
        place=os.path.join(path, networks_of_runs.FOLDER, str(saved.nimg)),
    )


def open_shipped(folder: pathlib.Path) -> StoredNetworks:
    """Opens a network that comes with the package, a folder with two saved networks."""
    paths = {'ema': folder / 'generator.npz', 'D': folder / 'discriminator.npz'}
    provenance = json.loads((folder / 'provenance.json').read_text())
    return StoredNetworks(
        folder.name,
        'a network that comes with the package',
        tuple(paths),
        lambda which: open_saved(os.fspath(paths[which])).read(which),
        nimg=provenance['images_shown'],
        place=os.fspath(folder),
    )


def is_torch(path: str, start: bytes) -> bool:
    """Says whether a file is one that `torch.save` wrote, of either container."""
    return foreign_networks.TORCH_STREAM in start[:32] or (start.startswith(_ZIP_MAGIC) and b'/data.pkl' in start)


def open_port(path: str) -> StoredNetworks:
    """Opens a file of one of the PyTorch ports that are read."""
    with port_arrays.opened(path) as file:
        is_rosinality = rosinality.is_one(file.content)
    port = rosinality if is_rosinality else genforce
    names, lod, loaded = port.networks_in(path), 0.0, {}
    if names and port is genforce:  # whose level of detail comes with a network
        loaded[names[0]], lod = genforce.load_with_lod(path, names[0])

    def read(which):
        return loaded[which] if which in loaded else port.load(path, which)

    return StoredNetworks(path, port.FORM, names, read, lod, explains=True)


# In the order in which they are asked; each knows its own files by the first bytes, whatever they are called.
READERS = (
    Reader(lambda path, start: safetensors_file.is_one(start), safetensors_file.open_file),
    Reader(is_torch, open_port),
    Reader(lambda path, start: start.startswith(_ZIP_MAGIC), open_saved),
    Reader(lambda path, start: start.startswith(b'\x80'), official.open_file),
)
