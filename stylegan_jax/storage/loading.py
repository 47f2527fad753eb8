"""From a path to a Generator or a Discriminator, whatever kind of file it is."""

import dataclasses
import os
import pathlib

from stylegan_jax.config.label_meaning import meaning_of
from stylegan_jax.errors import UserError, require
from stylegan_jax.networks import file as network_file
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.storage import foreign_networks, official

# Networks that come with the package, by name.
_SHIPPED = {'toyfaces': pathlib.Path(__file__).parents[1] / 'pretrained' / 'toyfaces'}
_ZIP_MAGIC = b'PK\x03\x04'
_PICKLE_MAGIC = b'\x80'
_GIVE = 'give an official pickle of StyleGAN or Progressive GAN, a run directory or a saved network'


def load(path: str | os.PathLike, which: str = 'ema') -> Generator | Discriminator:
    """Loads a network.

    Args:
      path: an official pickle (StyleGAN or Progressive GAN), a run directory, a file that `.save` wrote, or 'toyfaces',
        a network of 32x32 that comes with the package.
      which: 'ema' (the averaged generator), 'G' (the generator as trained) or 'D'; a saved file holds one network,
        a generator serves as either 'ema' or 'G'.

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
      (Generator or Discriminator, level of detail); the latter is 0, full size, for anything but a run directory.

    Raises:
      UserError: see `load`.
    """
    path = os.fspath(path)
    require(which in ('ema', 'G', 'D'), 'which', which, "choose 'ema', 'G' or 'D'")
    if path in _SHIPPED and not os.path.exists(path):
        path = os.fspath(_SHIPPED[path] / ('discriminator.npz' if which == 'D' else 'generator.npz'))
    if os.path.isdir(path):
        from stylegan_jax.storage import networks_of_runs  # imports Orbax, which takes a second

        network, saved = networks_of_runs.load_with_run(path, which, nimg)
        return network, float(saved.state.lod)
    require(nimg is None, 'nimg', nimg, 'only a run directory has checkpoints')
    return _load_file(path, which), 0.0


def _load_file(path, which):
    """Loads a network from a file; its first bytes tell which kind of file it is."""
    try:
        with open(path, 'rb') as file:
            magic = file.read(4)
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}', remedy=_GIVE) from None
    # Files of other projects are named for what they are: their own errors would speak of pickles and archives.
    if foreign := foreign_networks.kind_of(path):
        raise UserError(f'{path}: this is {foreign}', remedy=_GIVE)
    if magic != _ZIP_MAGIC and magic[:1] != _PICKLE_MAGIC:
        raise UserError(f'{path}: not a network', remedy=_GIVE)
    if magic != _ZIP_MAGIC:
        return official.load(path, which)
    kind, config, arrays, labels = network_file.read_with_labels(path)
    if kind != ('discriminator' if which == 'D' else 'generator'):
        raise UserError(f'{path}: this file holds a {kind}, and {which!r} was asked for')
    try:
        if kind == 'discriminator':
            return Discriminator.from_arrays(config, arrays)
        generator = Generator.from_arrays(config, arrays)
        meaning = meaning_of(labels, generator.label_dim)
        return dataclasses.replace(generator, label_meaning=meaning)
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
