"""What is to be written, as the writers of all forms take it, and the inputs by which a written file is checked."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from stylegan_jax.networks.discriminator import Discriminator
from stylegan_jax.networks.generator import Generator


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be written.

    Attributes:
      source: path that the networks were read from.
      networks: {'ema': Generator, 'G': Generator, 'D': Discriminator}, or some of them.
      lod: level of detail that they have reached, or that was asked for.
      nimg: real images that their training has shown; None where that is not known.
      dtype: number type of the stored weights, 'float32' or 'float16'; None for their own.
      inputs: for forms that are programs: 'z', or 'ws' for a program that takes w of each layer.
      psi: for forms that are programs: truncation, a number, or 'input' for an input of the program; None for the
        network's own.
      noise: for forms that are programs: 'const' (the stored inputs), 'inputs' of the program, or 'none'.
      weights: for forms that are programs: 'inside', or 'arguments' for a file of their own.
    """

    source: str
    networks: Mapping[str, Generator | Discriminator]
    lod: float = 0.0
    nimg: int | None = None
    dtype: str | None = None
    inputs: str = 'z'
    psi: float | str | None = None
    noise: str = 'const'
    weights: str = 'inside'

    @property
    def generator(self) -> Generator | None:
        """The generator that pictures are drawn with: the average where there is one; None without any."""
        return self.networks.get('ema', self.networks.get('G'))


@dataclasses.dataclass(frozen=True)
class CheckInputs:
    """Inputs for which both sides draw images.

    Attributes:
      latents: z [N, Z], or ws [N, L, W] where the file takes those.
      label: [N, K]; K may be 0.
      lod: level of detail.
      psi: truncation, a number; None for the network's own.
      noise: 'const', 'none', or arrays [N, h, w, 1], one for each layer of the stage.
    """

    latents: np.ndarray
    label: np.ndarray
    lod: float
    psi: float | None = None
    noise: str | tuple[np.ndarray, ...] = 'const'
