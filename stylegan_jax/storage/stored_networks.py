"""Networks that a path holds, whatever kind of file it is, all seen in one opening."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

from stylegan_jax.errors import UserError
from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator

NETWORKS = 'ema', 'G', 'D'
_GENERATORS = 'ema', 'G'
# The file of networks in a folder that `conversion.hub` writes.
HUB_FILE = 'model.safetensors'
# Networks that come with the package, by name.
SHIPPED = {'toyfaces': pathlib.Path(__file__).parents[1] / 'pretrained' / 'toyfaces'}


@dataclasses.dataclass(frozen=True)
class StoredNetworks:
    """The networks that one opening of a path has found.

    A run may write a newer checkpoint at any time, so what belongs together is found together.

    Attributes:
      path: of the file or folder, for errors.
      form: what it is, for people, such as 'an official pickle'.
      names: those of 'ema' (the averaged generator), 'G' (the generator as trained) and 'D' that it holds. A generator
        of which nothing else is known counts as 'ema'.
      read: takes one of `names`, and returns the Generator or Discriminator.
      lod: level of detail that the training has reached; 0 is full size.
      nimg: real images that the training has shown; None where that is not known.
      explains: whether `read` says for any other of 'ema', 'G' and 'D' why it cannot be read.
      contents: what it holds, for errors; None for its `names`.
      place: the file or folder that the networks are in; None for `path`.
    """

    path: str
    form: str
    names: tuple[str, ...]
    read: Callable[[str], Generator | Discriminator]
    lod: float = 0.0
    nimg: int | None = None
    explains: bool = False
    contents: str | None = None
    place: str | None = None

    @property
    def loadable(self) -> tuple[str, ...]:
        """Those of 'ema', 'G' and 'D' that `load` returns; a single generator serves as either of the first two."""
        return tuple(which for which in NETWORKS if self._source_of(which))

    def load(self, which: str = 'ema') -> Generator | Discriminator:
        """Returns a network.

        Args:
          which: 'ema', 'G' or 'D'.

        Raises:
          UserError: there is no such network, or it is damaged.
        """
        name = self._source_of(which)
        if name is None and not self.explains:
            contents = self.contents or ' and '.join(self.names)
            raise UserError(f'{self.path}: this file holds {contents}, and {which!r} was asked for')
        return self.read(name or which)

    def _source_of(self, which):
        """Returns the name of the network that serves as another one; None without any."""
        if which in self.names:
            return which
        return next((name for name in _GENERATORS if name in self.names), None) if which in _GENERATORS else None


def is_shipped(path: str) -> bool:
    """Says whether a path is the name of networks that come with the package; a file of that name goes before it."""
    return path in SHIPPED and not os.path.exists(path)
