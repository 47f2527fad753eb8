"""From a network and a data set to numbers: gathers the samples that each metric describes, and computes its values."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from stylegan_jax.config import ImageConfig
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation.feature_outputs import FeatureNetworks
from stylegan_jax.evaluation.gathering import Store
from stylegan_jax.evaluation.metric_names import Metric
from stylegan_jax.evaluation.options import Options
from stylegan_jax.evaluation.sources import GROUP, Sources
from stylegan_jax.feature_networks.catalogue import MissingWeights
from stylegan_jax.metrics.kind import Samples, Value
from stylegan_jax.networks.generator import Generator
from stylegan_jax.sampling.seed_labels import SeedLabels

_FORMAT = 1  # of kept outputs; raised whenever the same settings come to mean other numbers
_FLAGS_OF_WEIGHTS = {
    'inception-2015': '--inception=FILE',
    'vgg16': '--vgg=FILE (or --vgg=random, with which path lengths and diversity compare with no published ones)',
}
_TITLES = {'reals': 'real images', 'fakes': 'generated images'}  # of progress bars


class Evaluator:
    """Measures one generator; several metrics share feature networks and passes over samples.

    Attributes:
      passes: (identity, count) of each pass over generated samples so far, as `Store.forget` takes them.
    """

    def __init__(
        self,
        generator: Generator,
        options: Options,
        store: Store,
        *,
        dataset: Dataset | None = None,
        available: int | None = None,
        lod: float = 0.0,
        devices: Sequence[jax.Device] | None = None,
        networks: FeatureNetworks | None = None,
        poll: Callable[[], object] = lambda: None,
        quiet: bool = False,
        labels: SeedLabels | None = None,
    ):
        """Loads nothing yet.

        Args:
          generator: the generator.
          options: how to measure.
          store: keeps the outputs of feature networks.
          dataset: real images of the generator's size; None where no metric needs any.
          available: number of real images, for `check` before a data set is opened; None for that of the data set.
          lod: level of detail that the generator has reached.
          devices: of this process; None for all.
          networks: those of another Evaluator with the same options; None for new ones.
          poll: called between batches. If it raises, the measuring ends, and all outputs so far are kept.
          quiet: whether to show no progress bars.
          labels: of all generated samples by their numbers; None for labels that are drawn from the data set.
        """
        self._options, self._store, self._dataset, self._generator = options, store, dataset, generator
        self._available = len(dataset) if dataset is not None else available
        self._poll, self._quiet = poll, quiet
        self._devices = tuple(devices or jax.local_devices())
        self._networks = networks or FeatureNetworks(options, self._devices)
        self.sources = Sources(
            generator, options, self._networks, dataset=dataset, lod=lod, devices=self._devices, labels=labels
        )
        self._wanted, self.passes = {}, []

    def check(self, metrics: Sequence[Metric]) -> None:
        """Looks for what would otherwise be found missing after hours.

        Args:
          metrics: as `metric_names.parse` returns them.

        Raises:
          UserError: images, labels or weights are missing, or the images are of a size that cannot be measured.
        """
        missing = check_networks(metrics, self._generator.config.image, self._networks, self._devices)
        passes = [each for metric in metrics for each in self._passes(metric)]
        if missing:
            raise missing
        for source, network, _ in passes:
            if self._dataset is not None or self._available is None:
                self.sources.open(source, network)  # which computes nothing

    def measure(self, metrics: Sequence[Metric]) -> Iterator[tuple[Metric, list[dict]]]:
        """Measures one metric after another.

        Args:
          metrics: as `metric_names.parse` returns them.

        Yields:
          (Metric, list of dicts with `metric`, `value`, `standard_error` or None, and how they were obtained).

        Raises:
          UserError: images, labels or weights that a metric needs are missing.
        """
        for metric in metrics:  # a pass serves all metrics that need its samples
            for key in self._passes(metric):
                self._wanted.setdefault(key, set()).update(metric.kind.keeps)
        for metric in metrics:
            yield metric, self._results(metric)

    def _passes(self, metric):
        """[(source, network, count)] of the passes that a metric needs, that of real images first."""
        fakes = metric.kind.source, metric.kind.network, metric.count
        reals = check_reals(metric, self._available)
        return [('reals', metric.kind.network, reals), fakes] if metric.kind.with_reals else [fakes]

    def _results(self, metric):
        """Computes a metric; returns its results."""
        kind, options = metric.kind, self._options
        gathered, how, counts = {}, {}, {}
        for source, network, count in self._passes(metric):
            unit = 'reals' if source == 'reals' else kind.unit
            kept, identity = self._gather(source, network, count)
            gathered[unit] = {output: kept[output, form] for output, form in kind.keeps}
            how |= identity
            counts[unit] = count
        values = kind.compute(
            Samples(
                gathered[kind.unit],
                gathered.get('reals', {}),
                seed=options.seed,
                ddof=options.ddof,
                solver=options.solver,
                spaces=self.sources.spaces,
                label_names=self._networks.get(kind.network).label_names if kind.network else (),
                devices=self._devices,
            )
        )
        how = {key: item for key, item in how.items() if key not in ('source', 'format')}
        # A metric of latents has a result for each space that the generator has.
        names = kind.results[: len(self.sources.spaces)] if kind.source == 'latents' else kind.results
        return [_result(metric.name + part, value, how | counts) for part, value in zip(names, values, strict=True)]

    def _gather(self, source, network, count):
        """Makes an announced pass; returns ({(output, form): Moments or rows}, dict that identifies the pass)."""
        identity, produce = self.sources.open(source, network)
        identity = identity | {'format': _FORMAT}
        if source != 'reals':
            self.passes.append((identity, count))
        kept = self._store.gather(
            identity,
            count,
            self._wanted[source, network, count],
            produce,
            title=_TITLES.get(source, 'generated samples'),
            poll=self._poll,
            quiet=self._quiet,
        )
        return kept, identity


def check_networks(
    metrics: Sequence[Metric], image: ImageConfig, networks: FeatureNetworks, devices: Sequence[jax.Device]
) -> MissingWeights | None:
    """Looks for the feature networks that metrics see images with; no generator is needed.

    Args:
      metrics: as `metric_names.parse` returns them.
      image: the images that are generated.
      networks: the feature networks.
      devices: of this process.

    Returns:
      An error about all weights that are missing, to be raised when no metric is known to be impossible; None if none
      are.

    Raises:
      UserError: a network does not take images of this size.
    """
    shape = jax.ShapeDtypeStruct((GROUP * len(devices), *image.shape), np.uint8)
    missing = {}  # {metric: names of weights}
    for metric in metrics:
        try:
            network = metric.kind.network and networks.get(metric.kind.network)
        except MissingWeights as error:
            missing[metric.name] = error.names
            continue
        if network:
            _check_size(metric, image, network, shape)
    return _missing_weights(missing) if missing else None


def _check_size(metric, image, network, shape):
    try:
        network.run.check(shape)
    except UserError as error:
        remedy = 'leave it out; fid, kid and pr take images of any size, in colour or grey'
        if metric.kind.network == 'classifiers':
            remedy += ', and evaluate --classifiers=FILE takes classifiers of other images'
        raise UserError(
            f'{metric.name} cannot be measured on images of {"x".join(map(str, image.shape))}: {error.problem}',
            remedy=remedy,
        ) from None


def _missing_weights(missing):
    error = MissingWeights(list(dict.fromkeys(itertools.chain(*missing.values()))), list(missing))
    error.remedy += '; evaluate also takes ' + ' and '.join(_FLAGS_OF_WEIGHTS[name] for name in error.names)
    return error


def check_reals(metric: Metric, available: int | None) -> int:
    """Returns the number of real images that a metric takes.

    Args:
      metric: the metric.
      available: number of images that there are; None if no images were named.

    Raises:
      UserError: it needs more.
    """
    if not metric.kind.with_reals:
        return 0
    if available is None:
        raise UserError(
            f'{metric.name} compares with real images',
            field='data',
            remedy='give them (toy_faces, for drawn faces)',
        )
    if metric.reals is not None and metric.reals > available:
        raise UserError(
            f'{metric.name} needs {metric.reals:,} real images, and the data set has {available:,}',
            remedy=f'ask for all of them ({metric.name}_full)',
        )
    return available if metric.reals is None else metric.reals


def _result(name, value: Value, how):
    error = None if value.standard_error is None or math.isnan(value.standard_error) else float(value.standard_error)
    return {'metric': name, 'value': float(value.value), 'standard_error': error, **how, **value.about}
