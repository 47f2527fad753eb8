"""From a network and a data set to numbers: which samples each metric needs, and what is computed from them."""

import dataclasses
import functools
import math

import jax
import numpy as np

from stylegan_jax.config.serialization import to_json
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation.judging import Networks
from stylegan_jax.evaluation.metric_samples import Fakes, Reals, Steps
from stylegan_jax.feature_networks.arrays import digest
from stylegan_jax.metrics.diversity import diversity
from stylegan_jax.metrics.frechet import frechet_distance
from stylegan_jax.metrics.inception_score import inception_score
from stylegan_jax.metrics.kernel_distance import kernel_distance
from stylegan_jax.metrics.path_length import path_length
from stylegan_jax.metrics.precision_recall import precision_recall
from stylegan_jax.sampling.sampler import fitting_batch

_FORMAT = 1  # of what is kept; raised where the same settings come to mean other numbers
_GROUP = 4  # images of a device at least, and a divisor: pairs, and groups that official classifiers judge


@dataclasses.dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
      seed: of all that is random.
      psi: truncation of the generated images; 1 is none, as for published numbers.
      mirror: whether real images are mirrored at random, as they are in training.
      resize: how images get the size of Inception: 'legacy', 'clean' or 'half_pixel'.
      precision: of samples and features: 'float32' (exact products) or 'bfloat16'. Path lengths are always float32.
      crop: whether path lengths are of the face in aligned pictures.
      ddof: 1 or 0: whether covariances divide by N - 1, as official, or by N.
      solver: of separability, see `metrics.separability`.
      batch: images at a time, rounded up to a multiple of four a device; None for what suits the devices.
      inception, vgg: paths of weights; None for where `feature_networks.catalogue` finds them; of vgg also
        'random', with which path lengths are no published ones, and named so.
      classifiers: paths of classifiers for 'ls', or 'toy_faces'.
      download: whether weights that are missing are fetched.
    """

    seed: int = 0
    psi: float = 1.0
    mirror: bool = False
    resize: str = 'legacy'
    precision: str = 'float32'
    crop: bool = False
    ddof: int = 1
    solver: str = 'official'
    batch: int | None = None
    inception: str | None = None
    vgg: str | None = None
    classifiers: tuple[str, ...] = ('toy_faces',)
    download: bool = False


class Evaluator:
    """Measures one generator; feature networks, and what is kept of real images, serve several metrics."""

    def __init__(
        self,
        generator,
        options,
        store,
        *,
        dataset=None,
        lod=0.0,
        devices=None,
        networks=None,
        poll=lambda: None,
        quiet=False,
    ):
        """Loads nothing yet.

        Args:
          generator: a Generator; None for `check` alone, which then takes the size of the data set's images.
          options: Options.
          store: a `gathering.Store`.
          dataset: a `data.dataset.Dataset` of the generator's size; None where no metric needs one.
          lod: level of detail that the generator has reached.
          devices: of this process; None for all.
          networks: a `judging.Networks` of the same options that another Evaluator had; None for a new one.
          poll: called between batches; what it raises ends the measuring, and what was done is kept.
          quiet: whether to show no progress bars.
        """
        self._generator, self._options, self._store, self._dataset = generator, options, store, dataset
        self._lod, self._poll, self._quiet = lod, poll, quiet
        self._devices = tuple(devices or jax.local_devices())
        self._networks = networks or Networks(options, self._devices)
        self._wanted, self.passes = {}, []

    @functools.cached_property
    def digest(self):
        """What tells the generator from others, its settings included."""
        config = to_json(self._generator.config).encode()
        return digest(self._generator.named_arrays() | {'config': np.frombuffer(config, np.uint8)})

    def check(self, metrics):
        """Raises UserError for what would be missing after hours: images, weights, a size that a network can take."""
        image = self._image
        shape = jax.ShapeDtypeStruct((_GROUP * len(self._devices), *image.shape), np.uint8)
        for metric in metrics:
            for _source, network, _, _ in self._needs(metric):
                self._networks.run(network)[1].check(shape)

    @property
    def _image(self):
        return self._dataset.image if self._generator is None else self._generator.config.image

    def measure(self, metrics):
        """Measures.

        Args:
          metrics: a list of `metric_names.Metric`.

        Yields:
          (Metric, list of dicts with `metric`, `value`, `standard_error` or None, and how they were obtained).

        Raises:
          UserError: images, labels or weights that a metric needs are not there.
        """
        for metric in metrics:  # a pass serves all metrics that need its samples
            for source, network, count, keeps in self._needs(metric):
                self._wanted.setdefault((source, network, count), set()).update(keeps)
        for metric in metrics:
            yield metric, _VALUES[metric.kind](self, metric)

    def _needs(self, metric):
        """[(source, network, count, {(output, form)})] of a metric."""
        form = {'fid': 'moments', 'fd_toy': 'moments', 'kid': 'rows', 'pr': 'rows'}.get(metric.kind)
        if form:
            network = {'pr': 'vgg', 'fd_toy': 'toy_faces'}.get(metric.kind, 'inception')
            return [
                ('reals', network, self._num_reals(metric), {('features', form)}),
                ('fakes', network, metric.fakes, {('features', form)}),
            ]
        if metric.kind == 'is':
            return [('fakes', 'inception', metric.fakes, {('logits', 'rows')})]
        if metric.kind == 'ls':
            return [('latents', 'classifiers', metric.fakes, {(name, 'rows') for name in ('z', 'w', 'logits')})]
        source = 'pairs' if metric.kind == 'diversity' else (metric.space, metric.ends)
        return [(source, 'lpips', metric.fakes, {('distances', 'rows')})]

    def _num_reals(self, metric):
        if self._dataset is None:
            raise UserError(
                f'{metric.name} compares with real images: give them with --data (toy_faces, for drawn faces)'
            )
        there = len(self._dataset)
        if metric.reals is not None and metric.reals > there:
            raise UserError(
                f'{metric.name} needs {metric.reals:,} real images, and the data set has {there:,}; ask for '
                f'fewer ({metric.kind}{there}), or for all of them ({metric.kind}{metric.fakes}_full)'
            )
        return there if metric.reals is None else metric.reals

    def _get(self, source, network, count):
        """{(output, form): what is kept} of a pass that was announced; and what it was, a dict."""
        identity, produce = self._pass(source, network)
        identity = identity | {'format': _FORMAT}
        title = {'reals': 'real images', 'fakes': 'generated images'}.get(source, 'generated samples')
        if source != 'reals':
            self.passes.append((identity, count))
        kept = self._store.gather(
            identity,
            count,
            self._wanted[source, network, count],
            produce,
            title=title,
            poll=self._poll,
            quiet=self._quiet,
        )
        return kept, identity

    def _pass(self, source, network):
        """(identity, function for `Store.gather`) of the samples of a source, seen by a network."""
        options = self._options
        if isinstance(source, tuple):
            space, ends = source
            steps = Steps(
                self._generator,
                self.digest,
                self._networks.lpips,
                space=space,
                ends=ends,
                crop=options.crop,
                lod=self._lod,
                seed=options.seed,
                batch=self._batch // 2,
                devices=self._devices,
            )
            return steps.identity, steps.distances
        images = self._reals if source == 'reals' else self._fakes
        seen_by, run = self._networks.run(network)
        identity = images.identity | seen_by
        if source == 'pairs':
            return identity | {'source': 'pairs'}, lambda start: map(run, images.batches(2 * start))
        if source != 'latents':
            return identity, lambda start: map(run, images.batches(start))

        def judged(start):
            for (_, z, label), made in zip(images.latents(start), images.batches(start)):
                yield {'z': z, 'w': z if self._generator.config.is_progan else images.map(z, label), **run(made)}

        return identity | {'source': 'latents'}, judged

    @functools.cached_property
    def _fakes(self):
        options = self._options
        return Fakes(
            self._generator,
            self.digest,
            dataset=self._dataset,
            lod=self._lod,
            psi=options.psi,
            seed=options.seed,
            batch=self._batch,
            devices=self._devices,
            precision=options.precision,
        )

    @functools.cached_property
    def _reals(self):
        return Reals(self._dataset, mirror=self._options.mirror, seed=self._options.seed, batch=self._batch)

    @property
    def _batch(self):
        unit = _GROUP * len(self._devices)
        wanted = self._options.batch or fitting_batch(self._generator.config.image.shape, self._devices)
        return -(-wanted // unit) * unit

    # What each kind of metric computes: a list of dicts.

    def _frechet(self, metric):
        reals, fakes, how = self._both(metric, 'moments')
        ddof = self._options.ddof
        value = frechet_distance(reals.mean, reals.covariance(ddof), fakes.mean, fakes.covariance(ddof))
        note = {}
        if min(reals.count, fakes.count) <= len(reals.mean):
            note = {
                'note': f'too few images: fewer than the {len(reals.mean)} features, so that the value is far too large'
            }
        return [_result(metric.name, value, None, how | {'ddof': ddof} | note)]

    def _kernel(self, metric):
        reals, fakes, how = self._both(metric, 'rows')
        distance = kernel_distance(reals, fakes, seed=self._options.seed)
        return [_result(metric.name, distance.mean, distance.standard_error, how | {'subsets': len(distance.values)})]

    def _inception_score(self, metric):
        kept, how = self._get('fakes', 'inception', metric.fakes)
        score = inception_score(kept['logits', 'rows'])
        return [_result(metric.name, score.mean, None, how | {'fakes': metric.fakes, 'std_over_splits': score.std})]

    def _precision_recall(self, metric):
        reals, fakes, how = self._both(metric, 'rows')
        values = precision_recall(reals, fakes, k=3, devices=self._devices)
        return [_result(name, value, None, how | {'neighbours': 3}) for name, value in zip(metric.results, values)]

    def _path_length(self, metric):
        kept, how = self._get((metric.space, metric.ends), 'lpips', metric.fakes)
        length = path_length(kept['distances', 'rows'][:, 0])
        return [
            _result(
                metric.name,
                length.mean,
                length.standard_error,
                how | {'steps': metric.fakes, 'kept': length.kept, 'precision': 'float32', 'psi': 1.0},
            )
        ]

    def _diversity(self, metric):
        kept, how = self._get('pairs', 'lpips', metric.fakes)
        value = diversity(kept['distances', 'rows'][:, 0])
        return [_result(metric.name, value.mean, value.standard_error, how | {'pairs': metric.fakes})]

    def _separability(self, metric):
        from stylegan_jax.metrics.separability import separability  # scikit-learn takes a second to import

        kept, how = self._get('latents', 'classifiers', metric.fakes)
        names = [name for one in self._networks.classifiers for name in one.label_names]
        results = []
        for name, space in zip(metric.results, 'z' if self._generator.config.is_progan else 'zw'):
            found = separability(
                kept[space, 'rows'], kept['logits', 'rows'], solver=self._options.solver, seed=self._options.seed
            )
            bits = {name: one.conditional_entropy for name, one in zip(names, found.separations, strict=True)}
            stuck = [one for one, of in zip(names, found.separations) if not of.converged]
            note = (
                {'note': f'{len(stuck)} of {len(names)} planes did not converge; --solver=primal does'} if stuck else {}
            )
            results.append(
                _result(
                    name,
                    found.score,
                    None,
                    how
                    | note
                    | {'fakes': metric.fakes, 'solver': self._options.solver, 'bits': bits, 'not_converged': stuck},
                )
            )
        return results

    def _both(self, metric, form):
        """(what is kept of real images, of generated ones, how both were obtained)."""
        (_, network, count, _), _ = self._needs(metric)
        (reals, how), (fakes, how_fakes) = (
            self._get(*of) for of in (('reals', network, count), ('fakes', network, metric.fakes))
        )
        return (
            reals['features', form],
            fakes['features', form],
            how | how_fakes | {'reals': count, 'fakes': metric.fakes},
        )


def _result(name, value, standard_error, how):
    how = {key: item for key, item in how.items() if key not in ('source', 'format')}
    error = None if standard_error is None or math.isnan(standard_error) else float(standard_error)
    return {'metric': name, 'value': float(value), 'standard_error': error, **how}


_VALUES = {
    'fid': Evaluator._frechet,
    'fd_toy': Evaluator._frechet,
    'kid': Evaluator._kernel,
    'is': Evaluator._inception_score,
    'pr': Evaluator._precision_recall,
    'ppl': Evaluator._path_length,
    'ls': Evaluator._separability,
    'diversity': Evaluator._diversity,
}
