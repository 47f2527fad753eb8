"""The flags by which commands are told which network they draw with, and at which size."""

import os

import numpy as np
from absl import flags

from stylegan_jax.errors import UserError
from stylegan_jax.sampling import sampler
from stylegan_jax.storage.loading import load

_ALL = 'network', 'which', 'class', 'lod', 'psi', 'precision'


class NetworkFlags:
    """Defines flags about a network, and reads them: NETWORK['lod'] is the value of --lod."""

    def __init__(self, values, names=_ALL):
        """Defines flags.

        Args:
          values: a FlagValues, where they go.
          names: which of --network, --which, --class, --lod, --psi and --precision a command has.
        """
        own = flags.FlagValues()
        _define(own)
        for name in names:
            flags.DEFINE_flag(own[name], values)
        self._values, self._names = values, names

    def __getitem__(self, name):
        """The value of a flag; None if the command does not have it."""
        return self._values[name].value if name in self._names else None

    def check(self):
        """Raises UserError where --network is missing or a number is none."""
        if not self['network']:
            raise UserError('--network is missing; see --help')
        for name in ('psi', 'lod'):
            if self[name] is not None and not np.isfinite(self[name]):
                raise UserError(f'--{name}={self[name]}: give a number')

    def load(self):
        """Returns the generator; UserError as `check`, and where the network has no such thing."""
        self.check()
        generator = load(self['network'], self['which'])
        if self['class'] is not None and not generator.label_dim:
            raise UserError(f'--class={self["class"]}: this is a network without labels; leave it out')
        if self['psi'] is not None and generator.config.is_progan:
            raise UserError(f'--psi={self["psi"]:g}: a Progressive GAN generator has no truncation; leave it out')
        return generator

    def lod(self):
        """Returns the level of detail that is drawn at."""
        if self['lod'] is not None or not os.path.isdir(self['network']):
            return self['lod'] or 0.0
        from stylegan_jax.storage import checkpoint  # Orbax takes a second to import, and files do without it

        return checkpoint.reached_lod(self['network'])


def _define(values):
    flags.DEFINE_string(
        'network', None, 'A run directory, an official pickle, a saved network, or toyfaces.', flag_values=values
    )
    flags.DEFINE_enum(
        'which', 'ema', ['ema', 'G'], 'The averaged generator, or the one as trained.', flag_values=values
    )
    flags.DEFINE_integer(
        'class', None, 'Class of a conditional network; the default is no class (zeros).', flag_values=values
    )
    flags.DEFINE_float(
        'lod',
        None,
        'Level of detail: 0 is full size, each unit halves it; the default is what a '
        'run has reached, and 0 for other networks.',
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
        'float32 is exact; tf32 (as graphics chips do float32 '
        'fast) and bfloat16 are faster, with differences that are hard to see; auto is bfloat16 on '
        'chips that have it, and float32 elsewhere.',
        flag_values=values,
    )
