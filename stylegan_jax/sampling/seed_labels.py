"""The label of each image by its seed: classes in turn, one class, or given vectors; and the average w of each.

A network with labels was never trained without one: zeros in the place of a label make smears.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.networks.generator import Generator, map_latents
from stylegan_jax.networks.labels import as_label
from stylegan_jax.runtime.platforms import matmul_precision
from stylegan_jax.sampling.latents import draw_latents

_SAMPLES = 4096  # of which the average w of a label is taken; its error is 1/64 of the spread of W
_MOST_LISTED = 12  # classes in a line for people
_map = jax.jit(map_latents, static_argnums=0)


@dataclasses.dataclass(frozen=True, eq=False)
class SeedLabels:
    """Labels that seeds take in turn: seed n has the label at place n modulo their number.

    Attributes:
      generator: the Generator that they are for.
      rows: the labels, float [M, K].
      names: what each is called, such as 'class 2' or 'cat'; '' where there is nothing to call it.
      own_average: whether truncation goes to the average w of each label, rather than to that of all.
    """

    generator: Generator
    rows: np.ndarray
    names: tuple[str, ...]
    own_average: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Returns the labels [N, K] of seeds [N]."""
        return self.rows[self.places(numbers)]

    def places(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Returns the place among the labels that each of the seeds [N] has, int [N]."""
        return np.asarray(numbers, np.int64) % len(self.rows)

    def centers(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray | None:
        """Returns the w [N, W] that truncation pulls the image of each seed to; None for the average of the network."""
        if not self.own_average:
            return None
        return np.stack([self._average(place) for place in self.places(numbers)])

    def caption(self, seed: int) -> str:
        """Returns words for a seed's image, such as 'seed 5' or 'seed 5 (cat)'."""
        name = self.names[self.places([seed])[0]] if len(self.rows) > 1 else ''
        return f'seed {seed}' + (f' ({name})' if name else '')

    def alone(self, place: int) -> 'SeedLabels':
        """Returns the label at one place alone, which then is that of all seeds."""
        part = slice(place, place + 1)
        return dataclasses.replace(self, rows=self.rows[part], names=self.names[part])

    def listed(self) -> str:
        """Returns the names of the labels in their order, shortened where they are many."""
        more = f', ... ({len(self.names)} in all)' if len(self.names) > _MOST_LISTED else ''
        return ', '.join(self.names[:_MOST_LISTED]) + more

    def _average(self, place):
        if place not in self._averages:
            self._averages[place] = average_w(self.generator, self.rows[place])
        return self._averages[place]

    @functools.cached_property
    def _averages(self):
        return {}


def average_w(generator: Generator, label: np.ndarray) -> np.ndarray:
    """Returns the average w [W] of a label [K]: the mean over the same random latents for every label."""
    z = draw_latents(0, 0, _SAMPLES, generator.z_dim).astype(generator.w_avg.dtype)
    labels = jnp.broadcast_to(jnp.asarray(label, generator.w_avg.dtype), (_SAMPLES, generator.label_dim))
    with matmul_precision('float32'):
        w = np.asarray(_map(generator.config, generator.params, z, labels), np.float64)
    return w.mean(axis=0).astype(generator.w_avg.dtype)


def same_label(generator: Generator, label: int | Sequence[float] | None) -> SeedLabels:
    """Returns one label for all seeds: a class, a vector [K], or None for zeros.

    Raises:
      UserError: the network has no such label.
    """
    row = as_label(None if label is None else [label], 1, generator.label_dim, generator.w_avg.dtype)
    return SeedLabels(generator, np.asarray(row), ('',))


def class_labels(generator: Generator, classes: Sequence[int], own_average: bool = True) -> SeedLabels:
    """Returns classes that seeds take in turn.

    Raises:
      UserError: one of them does not exist.
    """
    rows = as_label(np.array(classes), len(classes), generator.label_dim, generator.w_avg.dtype)
    names = generator.label_meaning.names if generator.label_meaning else None
    words = tuple(names[number] if names else f'class {number}' for number in classes)
    return SeedLabels(generator, np.asarray(rows), words, own_average and not generator.config.is_progan)


def labels_in_turn(generator: Generator) -> SeedLabels:
    """Returns the labels that the images of a network have where nobody asks for others.

    These are all classes that it was trained with, in the order of their numbers, as sample grids show them. Where
    labels are no classes, they are those of the first images of the training. A network that does not tell what its
    labels mean is taken to have a class for each entry; one without labels has the empty label alone.
    """
    meaning = generator.label_meaning
    if not generator.label_dim:
        return same_label(generator, None)
    if meaning and meaning.examples:
        rows = np.array(meaning.examples, generator.w_avg.dtype)
        return SeedLabels(generator, rows, tuple(f'label {number}' for number in range(len(rows))))
    return class_labels(generator, meaning.classes if meaning else range(generator.label_dim))
