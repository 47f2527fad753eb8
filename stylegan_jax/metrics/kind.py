"""The form in which each metric describes itself, so that measuring it needs no other table; see `catalogue`."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import jax
import numpy as np

from stylegan_jax.metrics.moments import Moments


class Paths(NamedTuple):
    """Small steps along paths between two random latents, as samples of a metric.

    Attributes:
      space: 'z' or 'w', the latent space of the paths.
      ends: whether each step starts at one end of its path, rather than anywhere on it.
    """

    space: Literal['z', 'w']
    ends: bool


@dataclasses.dataclass(frozen=True)
class Walks:
    """Paths in W, along which pictures move, as samples of a metric."""


@dataclasses.dataclass(frozen=True)
class Shifts:
    """Pictures whose inputs are shifted, as samples of a metric."""


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Everything that a metric is computed from.

    Attributes:
      fakes: the kept outputs of the generated samples: {output: Moments, or rows [N, D]}, as `MetricKind.keeps` says.
      reals: the same of the real images; empty for a metric that needs none.
      seed: of random choices in the computation.
      ddof: 1 or 0, which is subtracted from the number of samples where covariances divide by it.
      solver: of the planes of linear separability, one of `separability.SOLVERS`.
      spaces: latent spaces of the generator, ('z', 'w') or ('z',).
      label_names: names of the columns of classifiers' logits; empty for other networks.
      devices: of this process, for metrics that compute on them; None for all.
    """

    fakes: Mapping[str, Moments | np.ndarray]
    reals: Mapping[str, Moments | np.ndarray] = dataclasses.field(default_factory=dict)
    seed: int = 0
    ddof: int = 1
    solver: str = 'official'
    spaces: tuple[str, ...] = ('z', 'w')
    label_names: tuple[str, ...] = ()
    devices: Sequence[jax.Device] | None = None


@dataclasses.dataclass(frozen=True)
class Value:
    """One number that a metric yields.

    Attributes:
      value: the number itself.
      standard_error: of that number; None or NaN where it is not known.
      about: further fields of the result, which JSON can hold. They say how the number was obtained, so results that
        are compared must have the same ones; those that were measured, like the value itself, are listed in
        `metrics.ways` and may differ. A 'note' is for people, and may differ as well.
    """

    value: float
    standard_error: float | None = None
    about: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class MetricKind:
    """The description of a metric.

    Attributes:
      name: the beginning of every name of the metric; a number of samples may follow, such as 10k in 'fid10k'.
      published: names under which its numbers are usually published, such as 'fid50k'; messages list them.
      count: number of generated samples where the name has none.
      compute: takes Samples, returns a Value for each entry of `results`, the deciding one first.
      network: the feature network that sees the images, a name in `evaluation.feature_outputs`; None for none.
      keeps: pairs (output of the network, form) that are kept of all samples. The form 'moments' keeps
        `moments.Moments`, 'rows' keeps the outputs themselves [N, D].
      source: the generated samples. 'fakes' are images; 'pairs' are two images in turn, one sample each pair; 'latents'
        are images with their latents, which add the outputs 'z' and 'w'; `Paths` are steps along paths, which the
        network 'lpips' alone can see, and whose output is 'distances'; `Walks` have the output 'moments' and `Shifts`
        the output 'squares', and no network sees them.
      with_reals: whether it compares with real images, as many as generated ones. A name that ends in _full then
        compares with all of the data set.
      suffix: a regular expression for the text that may follow the number in names.
      fewest: the least number of samples that mean anything.
      results: endings that make names of results of the name of the metric; for latents, one for each space in turn.
      larger_is_better: whether the larger of two first results is that of the better generator.
      unit: the name of the number of generated samples in results: 'fakes', 'pairs', 'steps' or 'walks'.
    """

    name: str
    published: tuple[str, ...]
    count: int
    compute: Callable[[Samples], list[Value]]
    network: str | None
    keeps: tuple[tuple[str, str], ...]
    source: Literal['fakes', 'pairs', 'latents'] | Paths | Walks | Shifts = 'fakes'
    with_reals: bool = False
    suffix: str = ''
    fewest: int = 2
    results: tuple[str, ...] = ('',)
    larger_is_better: bool = False
    unit: Literal['fakes', 'pairs', 'steps', 'walks'] = 'fakes'
