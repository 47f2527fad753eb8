"""Reads a network out of a run directory, and what it was trained with. Nothing in the directory changes.

Importing this module imports Orbax, which takes a second: `storage.loading` does so for run directories only.
"""

import collections.abc
import contextlib
import dataclasses
import os
import sys

import jax
import jax.numpy as jnp

from stylegan_jax.config.label_meaning import meaning_of
from stylegan_jax.data.sources import own_files
from stylegan_jax.errors import UserError
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator
from stylegan_jax.storage.checkpoint import Checkpoints, Saved
from stylegan_jax.storage.places import FOLDER
from stylegan_jax.storage.stored_networks import HUB_FILE
from stylegan_jax.training import network


def load_with_run(
    workdir: str | os.PathLike, which: str, nimg: int | None = None
) -> tuple[Generator | Discriminator, Saved]:
    """Loads a network from a run directory, and what it was trained with, both from the same checkpoint.

    Args:
      workdir: the run's folder.
      which: 'ema', 'G' or 'D'; see `storage.loading.load`.
      nimg: images shown at the checkpoint that is wanted; None for the newest that can be read.

    Returns:
      (Generator or Discriminator, Saved).

    Raises:
      UserError: there is no such checkpoint, or it cannot be read.
    """
    saved = restore(workdir, nimg)
    return network_of(saved, which), saved


def restore(workdir: str | os.PathLike, nimg: int | None = None) -> Saved:
    """Reads a checkpoint of a run directory, of which `network_of` makes networks; see `load_with_run`."""
    with _opened(workdir) as checkpoints:
        saved = checkpoints.restore(nimg=nimg)
    for line in saved.damaged:
        print(f'warning: {line}', file=sys.stderr)
    return saved


def network_of(saved: Saved, which: str) -> Generator | Discriminator:
    """Returns one of the three networks of a checkpoint that was read.

    Its weights are float32 in a process in which JAX has no float64, whatever they were trained in.
    """
    found = jax.tree.map(jnp.asarray, network(saved.config, saved.state, which))
    if which != 'D':
        meaning = meaning_of(saved.progress.get('labels'), found.label_dim)
        found = dataclasses.replace(found, label_meaning=meaning)
    return found


def all_nimg(workdir: str | os.PathLike) -> list[int]:
    """Returns the images shown at each checkpoint of a run directory, in rising order."""
    with _opened(workdir) as checkpoints:
        return checkpoints.all()


@contextlib.contextmanager
def _opened(workdir) -> collections.abc.Iterator[Checkpoints]:
    """Opens the checkpoints of a run directory that has at least one, for reading alone."""
    if not os.path.isdir(os.path.join(workdir, FOLDER)):
        folder, what = own_files.enclosing(workdir) or (None, None)
        if what == 'the folder of a run':
            raise UserError(f'{workdir}: this is a part of a run', remedy=f'give {folder}')
        own = f': it is {what}, and no network' if what and os.path.samefile(folder, workdir) else ''
        missing = f'it has no {FOLDER} folder; as a folder for a hub it would have {HUB_FILE}'
        raise UserError(f'{workdir}: not a run directory ({missing}){own}')
    checkpoints = Checkpoints(workdir)
    try:
        if checkpoints.latest() is None:
            raise UserError(
                f'{checkpoints.path}: there is no checkpoint yet',
                remedy="the run's first one comes with its first tick; if it does not run, start it again, or give "
                'another network',
            )
        yield checkpoints
    finally:
        checkpoints.close()
