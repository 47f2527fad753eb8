"""From a path to a Generator or a Discriminator, whatever kind of file it is."""

import dataclasses
import os

from stylegan_jax.errors import UserError, require
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.storage import foreign_networks, readers
from stylegan_jax.storage.places import FOLDER
from stylegan_jax.storage.stored_networks import HUB_FILE, NETWORKS, SHIPPED, StoredNetworks, is_shipped

_GIVE = (
    'give an official pickle of StyleGAN or Progressive GAN, a run directory, a file or a hub folder that convert '
    'wrote (.npz, .safetensors, .pt), or a file of the PyTorch ports rosinality and GenForce'
)


def load(path: str | os.PathLike, which: str = 'ema') -> Generator | Discriminator:
    """Loads a network.

    Args:
      path: an official pickle (StyleGAN or Progressive GAN), a run directory, a file that `.save` or the command
        `convert` wrote, or 'toyfaces', a network of 32x32 that comes with the package. See docs/conversion.md.
      which: 'ema' (the averaged generator), 'G' (the generator as trained) or 'D'; where a file holds one generator,
        that serves as either 'ema' or 'G'.

    Returns:
      A Generator, or a Discriminator for 'D'.

    Raises:
      UserError: the path does not exist, is damaged, or holds no such network.
    """
    return load_with_lod(path, which)[0]


def load_with_lod(
    path: str | os.PathLike, which: str = 'ema', nimg: int | None = None
) -> tuple[Generator | Discriminator, float]:
    """Loads a network, and the level of detail that its training has reached.

    Both come from one opening: while a run trains, a second opening may find a newer checkpoint of another stage.

    Args:
      path, which: see `load`.
      nimg: images shown at the checkpoint of a run that is wanted; None for the newest that can be read.

    Returns:
      (Generator or Discriminator, level of detail); the latter is 0, full size, unless the path is a run directory or
      a file that keeps it.

    Raises:
      UserError: see `load`.
    """
    require(which in NETWORKS, 'which', which, "choose 'ema', 'G' or 'D'")
    stored = open_networks(path, nimg)
    return stored.load(which), stored.lod


def open_networks(path: str | os.PathLike, nimg: int | None = None) -> StoredNetworks:
    """Opens a path once, and says which networks it holds, at which level of detail, and how long they were trained.

    Args:
      path: see `load`.
      nimg: see `load_with_lod`.

    Raises:
      UserError: the path does not exist, is damaged, or holds no networks.
    """
    path = os.fspath(path)
    if is_run(path):
        return readers.open_run(path, nimg)
    require(nimg is None, 'nimg', nimg, 'only a run directory has checkpoints')
    if is_shipped(path):
        return readers.open_shipped(SHIPPED[path])
    if os.path.isdir(path):
        stored = open_networks(os.path.join(path, HUB_FILE))
        return dataclasses.replace(stored, path=path, form='a folder for a hub', place=path)
    try:
        with open(path, 'rb') as file:
            start = file.read(readers.LOOKED_AT)
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}', remedy=_GIVE) from None
    # Files of other projects are named for what they are: their own errors would speak of pickles and archives.
    if foreign := foreign_networks.kind_of(path):
        raise UserError(f'{path}: this is {foreign}', remedy=_GIVE)
    for reader in readers.READERS:
        if reader.recognises(path, start):
            return reader.open(path)
    raise UserError(f'{path}: not a network', remedy=_GIVE)


def is_run(path: str | os.PathLike) -> bool:
    """Says whether a path is a folder that is taken for a run's, and not one that `convert` wrote for a model hub."""
    if not os.path.isdir(path):
        return False
    has_networks = os.path.isfile(os.path.join(path, HUB_FILE))
    return not has_networks or os.path.isdir(os.path.join(path, FOLDER))
