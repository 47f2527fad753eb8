"""The flags by which commands are told which network they draw with, and at which size."""

import collections.abc
import dataclasses
import os
import sys
import typing

import numpy as np
from absl import flags

from stylegan_jax.cli.parsing import parse_classes, parse_label
from stylegan_jax.data.meaning_of_labels import meaning_of_run
from stylegan_jax.errors import UserError
from stylegan_jax.networks.generator import Generator
from stylegan_jax.sampling import sampler
from stylegan_jax.sampling.seed_labels import SeedLabels, class_labels, labels_in_turn, same_label
from stylegan_jax.storage.loading import load_with_lod

LABELS = 'class', 'label', 'truncate_to'
_ALL = 'network', 'which', *LABELS, 'lod', 'psi', 'precision'


class NetworkFlags:
    """Defines flags about a network, and reads them: NETWORK['lod'] is the value of --lod."""

    def __init__(self, values: flags.FlagValues, names: collections.abc.Sequence[str] = _ALL):
        """Defines flags.

        Args:
          values: the FlagValues that the flags are added to.
          names: which of --network, --which, --class, --label, --truncate_to, --lod, --psi and --precision a command
            has.
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

    def load(self, nimg: int | None = None) -> tuple[Generator, float]:
        """Loads the generator that the flags name, and the level of detail to draw at.

        Args:
          nimg: see `storage.loading.load_with_lod`.

        Returns:
          (Generator, level of detail): that of --lod, or else the one that the same checkpoint of a run has reached, or
          else 0.

        Raises:
          UserError: see `check`; or the network cannot be loaded, or lacks what a flag is about.
        """
        self.check()
        generator, lod = load_with_lod(self['network'], self['which'], nimg)
        self._check_labels(generator)
        if self['psi'] is not None and generator.config.is_progan:
            raise UserError(
                'a Progressive GAN generator has no truncation',
                field='psi',
                value=f'{self["psi"]:g}',
                remedy='leave it out',
            )
        return generator, lod if self['lod'] is None else self['lod']

    @property
    def asks_for_label(self) -> bool:
        """Whether --class or --label is given."""
        return self['class'] is not None or self['label'] is not None

    def labels(self, generator: Generator) -> SeedLabels:
        """Returns the labels that the flags ask for, or else all that the network was trained with.

        Args:
          generator: the Generator, as `load` returned it.

        Raises:
          UserError: there is no such class, or a label has another length.
        """
        self._check_labels(generator)
        generator = with_meaning(generator, self['network'])
        labels = self._asked_for(generator) if self.asks_for_label else labels_in_turn(generator)
        if self['truncate_to'] in (None, 'auto') or generator.config.is_progan:
            return labels
        return dataclasses.replace(labels, own_average=self['truncate_to'] == 'class')

    def about_labels(self, labels: SeedLabels) -> str | None:
        """Returns a line for people about the labels of seeds; None where there is nothing to tell."""
        if not labels.generator.label_dim or len(labels) == 1:
            return None
        meaning = labels.generator.label_meaning
        if meaning is not None and meaning.examples and not self.asks_for_label:
            return (
                f'a label for each seed in turn, those of the first {len(labels)} images of the training (seed n: that '
                f'of image n modulo {len(labels)}); --label={_example(labels)} gives another'
            )
        line = f'a class for each seed in turn (seed n: number n modulo {len(labels)}): {labels.listed()}'
        if self.asks_for_label:
            return line
        unknown = '' if meaning else '; the network does not tell which of these it was trained on'
        return f'{line}{unknown}; --class shows one of them, by number or name'

    def _check_labels(self, generator):
        for name in LABELS:
            if self[name] not in (None, 'auto') and not generator.label_dim:
                raise UserError('this is a network without labels', field=name, value=self[name], remedy='leave it out')
        if self['class'] is not None and self['label'] is not None:
            raise UserError(
                'a class is a label by itself', field='label', value=self['label'], remedy='give one of both'
            )

    def _asked_for(self, generator):
        names = generator.label_meaning.names if generator.label_meaning else None
        if self['label'] is not None:
            labels = same_label(generator, parse_label(self['label'], generator.label_dim))
            return dataclasses.replace(labels, names=('the label',), own_average=not generator.config.is_progan)
        if self['class'] == 'none' and 'none' not in (names or ()):
            return same_label(generator, None)
        if self['class'] == 'all' and 'all' not in (names or ()):
            if generator.label_meaning and generator.label_meaning.examples:
                raise UserError(
                    'the labels of this network are no classes', field='class', value='all', remedy='give label=NUMBERS'
                )
            return labels_in_turn(generator)
        classes = parse_classes(self['class'], generator.label_dim, names)
        trained = generator.label_meaning and generator.label_meaning.classes
        for number in classes if trained else ():
            if number not in trained:
                print(f'warning: class {number} had no images in the training', file=sys.stderr)
        return class_labels(generator, classes)


def with_meaning(generator: Generator, path: str | os.PathLike) -> Generator:
    """Finds out what the labels of a run mean whose checkpoints do not tell; `path` is where it was loaded from."""
    if not generator.label_dim or generator.label_meaning or not os.path.isdir(path):
        return generator
    return dataclasses.replace(generator, label_meaning=meaning_of_run(path, generator.label_dim))


def _example(labels):
    return ','.join(f'{number:g}' for number in labels.rows[0])


def _define(values):
    _define_network(values)
    _define_drawing(values)


def _define_network(values):
    """The network, and whose pictures it draws."""
    flags.DEFINE_string(
        'network',
        None,
        'The network: a run directory, an official pickle, a saved network, a file or folder that convert wrote, or '
        'toyfaces, which comes with the package.',
        flag_values=values,
    )
    flags.DEFINE_enum(
        'which',
        'ema',
        ['ema', 'G'],
        'Which generator: ema is the average of its weights over the training, G is the generator as trained.',
        flag_values=values,
    )
    flags.DEFINE_string(
        'class',
        None,
        'For a network that was trained with classes: the numbers or names of those that are drawn, such as 2, 0-3 or '
        'cat,dog; all; or none (zeros for a label, which no network is trained with). The default is that seed n has '
        'the class n modulo the number of classes that have images; metrics take labels of the data set.',
        flag_values=values,
    )
    flags.DEFINE_string(
        'label',
        None,
        'For a network that was trained with labels: the numbers of the label itself, such as 0,1,0.5.',
        flag_values=values,
    )


def _define_drawing(values):
    """How it draws them."""
    flags.DEFINE_enum(
        'truncate_to',
        'auto',
        ['auto', 'class', 'network'],
        'What truncation pulls pictures to: class is the average w of the label of each, network that of all; auto is '
        'class where labels are classes or are asked for.',
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
