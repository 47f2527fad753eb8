"""The sources of samples that metrics name: identity and outputs of passes over them through a feature network."""

import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from stylegan_jax.config.serialization import to_json
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.evaluation.feature_outputs import FeatureNetworks
from stylegan_jax.evaluation.metric_samples import Fakes, Reals, Steps
from stylegan_jax.evaluation.motion_samples import Motions
from stylegan_jax.evaluation.options import Options
from stylegan_jax.feature_networks.arrays import digest
from stylegan_jax.metrics.kind import Paths, Shifts, Walks
from stylegan_jax.networks.generator import Generator
from stylegan_jax.sampling.sampler import fitting_batch
from stylegan_jax.sampling.seed_labels import SeedLabels

GROUP = 4  # divides the images of each device: pairs stay whole, and so do the groups that official classifiers take

# A function of the number of the first sample that is needed; returns successive outputs {name: [n, D]} from there on.
Produce = Callable[[int], Iterator[dict[str, jax.Array | np.ndarray]]]


class Sources:
    """The samples of one generator and one data set.

    The sources are 'reals', 'fakes', 'pairs', 'latents' and those of `metrics.kind`; see `metrics.kind.MetricKind`.
    """

    def __init__(
        self,
        generator: Generator | None,
        options: Options,
        networks: FeatureNetworks,
        *,
        dataset: Dataset | None,
        lod: float,
        devices: Sequence[jax.Device],
        labels: SeedLabels | None = None,
    ):
        """Computes nothing yet; arguments are those of `evaluator.Evaluator`."""
        self._generator, self._options, self._networks = generator, options, networks
        self._dataset, self._lod, self._devices, self._labels = dataset, lod, tuple(devices), labels

    @property
    def spaces(self) -> tuple[str, ...]:
        """Latent spaces of the generator."""
        return ('z',) if self._generator.config.is_progan else ('z', 'w')

    @functools.cached_property
    def digest(self) -> str:
        """A digest of the generator with its settings."""
        config = to_json(self._generator.config).encode()
        return digest(self._generator.named_arrays() | {'config': np.frombuffer(config, np.uint8)})

    def open(self, source: str | Paths | Walks | Shifts, network: str | None) -> tuple[dict, Produce]:
        """Returns the identity of a pass and the function that makes it, for `gathering.Store.gather`.

        Args:
          source: of the samples.
          network: the name of the feature network that sees them, or None for none.

        Returns:
          (dict for JSON of all that the outputs depend on, function that produces them).

        Raises:
          UserError: weights, labels or a latent space are missing.
        """
        if isinstance(source, Paths):
            steps = self._steps(source)
            return steps.identity, steps.distances
        if isinstance(source, Walks | Shifts):
            motions = self._motions('walks' if isinstance(source, Walks) else 'shifts')
            return motions.identity, motions.outputs
        images = self._reals if source == 'reals' else self.fakes
        seen_by = self._networks.get(network)
        identity, run = images.identity | seen_by.identity, seen_by.run
        if source == 'pairs':  # sample i is of the images 2i and 2i + 1
            return identity | {'source': 'pairs'}, lambda start: map(run, images.batches(2 * start))
        if source == 'latents':
            return identity | {'source': 'latents'}, functools.partial(self._with_latents, run)
        return identity, lambda start: map(run, images.batches(start))

    def _with_latents(self, run, start):
        fakes, has_w = self.fakes, 'w' in self.spaces
        for (_, z, label), images in zip(fakes.latents(start), fakes.batches(start)):
            yield {'z': z, 'w': fakes.map(z, label) if has_w else z, **run(images)}

    def _steps(self, paths):
        return Steps(
            self._generator,
            self.digest,
            self._networks.lpips,
            space=paths.space,
            ends=paths.ends,
            crop=self._options.crop,
            lod=self._lod,
            seed=self._options.seed,
            batch=self._batch // 2,  # a step has two images
            devices=self._devices,
            dataset=self._dataset,
            labels=self._labels,
        )

    def _motions(self, kind):
        return Motions(
            self._generator,
            self.digest,
            kind=kind,
            lod=self._lod,
            seed=self._options.seed,
            batch=self._batch // 4,  # each sample has five pictures, which are made one after another
            devices=self._devices,
            dataset=self._dataset,
            labels=self._labels,
        )

    @functools.cached_property
    def fakes(self) -> Fakes:
        """The generated images."""
        return Fakes(
            self._generator,
            self.digest,
            dataset=self._dataset,
            lod=self._lod,
            psi=self._options.psi,
            seed=self._options.seed,
            batch=self._batch,
            devices=self._devices,
            precision=self._options.precision,
            labels=self._labels,
        )

    @functools.cached_property
    def _reals(self):
        return Reals(self._dataset, mirror=self._options.mirror, seed=self._options.seed, batch=self._batch)

    @property
    def _batch(self):
        unit = GROUP * len(self._devices)
        wanted = self._options.batch or fitting_batch(self._generator.config.image.shape, self._devices)
        return -(-wanted // unit) * unit
