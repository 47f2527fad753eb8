"""The flags by which commands are told which network they draw with, and at which size."""

import collections.abc
import typing

import numpy as np
from absl import flags

from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import Generator
from stylegan_jax.sampling import sampler
from stylegan_jax.storage.loading import load_with_lod

_ALL = 'network', 'which', 'class', 'lod', 'psi', 'precision'


class NetworkFlags:
    """Defines flags about a network, and reads them: NETWORK['lod'] is the value of --lod."""

    def __init__(self, values: flags.FlagValues, names: collections.abc.Sequence[str] = _ALL):
        """Defines flags.

        Args:
          values: the FlagValues that the flags are added to.
          names: which of --network, --which, --class, --lod, --psi and --precision a command has.
        """
        own = flags.FlagValues()
        _define(own)
        for name in names:
            flags.DEFINE_flag(own[name], values)
        self._values, self._names = values, names

    def __getitem__(self, name: str) -> typing.Any:
        """The value of a flag; None if the command does not have it."""
        return self._values[name].value if name in self._names else None

    def check(self) -> None:
        """Raises UserError where --network is missing, or --psi or --lod is not a finite number."""
        if not self['network']:
            raise UserError('--network is missing; see --help')
        for name in ('psi', 'lod'):
            if self[name] is not None and not np.isfinite(self[name]):
                raise UserError('give a number', field=name, value=self[name])

    def load(self) -> tuple[Generator, float]:
        """Loads the generator that the flags name, and the level of detail to draw at.

        Returns:
          (Generator, level of detail): that of --lod, or else the one that the same checkpoint of a run has reached, or
          else 0.

        Raises:
          UserError: see `check`; or the network cannot be loaded, or lacks what a flag is about.
        """
        self.check()
        generator, lod = load_with_lod(self['network'], self['which'])
        if self['class'] is not None and not generator.label_dim:
            raise UserError(
                'this is a network without labels', field='class', value=self['class'], remedy='leave it out'
            )
        if self['psi'] is not None and generator.config.is_progan:
            raise UserError(
                'a Progressive GAN generator has no truncation',
                field='psi',
                value=f'{self["psi"]:g}',
                remedy='leave it out',
            )
        return generator, lod if self['lod'] is None else self['lod']


def _define(values):
    flags.DEFINE_string(
        'network',
        None,
        'The network: a run directory, an official pickle, a saved network, or toyfaces, which comes with the package.',
        flag_values=values,
    )
    flags.DEFINE_enum(
        'which',
        'ema',
        ['ema', 'G'],
        'Which generator: ema is the average of its weights over the training, G is the generator as trained.',
        flag_values=values,
    )
    flags.DEFINE_integer(
        'class',
        None,
        'Class of the pictures, for a network that was trained with labels; the default is no class (zeros).',
        flag_values=values,
    )
    flags.DEFINE_float(
        'lod',
        None,
        'Level of detail: 0 is full size, and each unit halves it. The default is what a run has reached, and 0 for '
        'other networks.',
        flag_values=values,
    )
    flags.DEFINE_float(
        'psi',
        None,
        'Truncation: 1 for the full variety, less for more typical pictures; the default '
        "is the network's own (0.7 for style-based ones).",
        flag_values=values,
    )
    flags.DEFINE_enum(
        'precision',
        'auto',
        sampler.PRECISIONS,
        'Precision of the computation: float32 is exact; tf32 (float32 rounded, which graphics chips compute fast) and '
        'bfloat16 are faster, with differences that are hard to see; auto is bfloat16 on chips that have it, and '
        'float32 elsewhere.',
        flag_values=values,
    )
