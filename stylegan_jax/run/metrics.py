"""The metrics of a run: measured on the averaged generator at its checkpoints, of which the best is copied."""

import math
import os
import shutil
from collections.abc import Callable

import jax

from stylegan_jax.config import Config
from stylegan_jax.data.dataset import DataOpener, Dataset
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation import metric_names, results
from stylegan_jax.evaluation.evaluator import Evaluator, check_networks, check_reals
from stylegan_jax.evaluation.feature_outputs import FeatureNetworks
from stylegan_jax.evaluation.gathering import Store
from stylegan_jax.evaluation.options import Options
from stylegan_jax.run.log import drop_entries_beyond
from stylegan_jax.storage.places import FOLDER
from stylegan_jax.training import TrainState, network

FILE = 'metrics.jsonl'
BEST = 'best'
_STORE = 'metrics'


def check_before_data(config: Config, opener: DataOpener | None, measures: bool = True) -> None:
    """Looks, before any image is read, for what metrics need.

    Args:
      config: a Config.
      opener: of its data; None where the number of images is not to be looked at.
      measures: whether this process measures, so that it needs the weights of networks.

    Raises:
      UserError: there are fewer images than a metric needs, weights are missing, a metric does not take images of this
        size, or there is no such metric.
    """
    metrics = metric_names.parse(config.metrics)
    if config.log.keep_best and not metrics:
        raise UserError(
            'there is no metric that says which checkpoint is the best',
            field='log.keep_best',
            value=True,
            remedy='set metrics, such as metrics=kid10k_full',
        )
    missing = None
    if measures:
        devices = jax.local_devices()
        missing = check_networks(metrics, config.image, FeatureNetworks(_options(config), devices), devices)
    if opener and any(metric.kind.with_reals for metric in metrics):
        available = opener.available(config.image.label_dim)
        for metric in metrics:
            check_reals(metric, available)
    if missing:
        raise missing


class RunMetrics:
    """Measures the metrics of `config.metrics`."""

    def __init__(self, config: Config, workdir: str, dataset: Dataset):
        """Measures nothing yet.

        Args:
          config: a resolved Config.
          workdir: the run's folder.
          dataset: the images that the run is trained on.

        Raises:
          UserError: there is no such metric, or one needs more images than there are.
        """
        self._config, self._workdir, self._dataset = config, workdir, dataset
        self._metrics = metric_names.parse(config.metrics)
        self._file, self._store = os.path.join(workdir, FILE), Store(os.path.join(workdir, _STORE))
        for metric in self._metrics:  # once more, because images that cannot be used were left out since
            check_reals(metric, len(dataset))

    def is_due(self, checkpoint: int, nimg: int, is_last: bool) -> bool:
        """Says whether a checkpoint is to be measured, and was not measured before.

        Args:
          checkpoint: the number of the checkpoint in the run; `log.metrics_every` counts by it.
          nimg: images shown.
          is_last: whether the run ends with it, which is measured in any case.
        """
        if not self._metrics or (not is_last and checkpoint % self._config.log.metrics_every):
            return False
        measured = {result['metric'] for result in self._results() if result['nimg'] == nimg}
        return not all(metric.results[0] in measured for metric in self._metrics)

    def measure(self, state: TrainState, nimg: int, poll: Callable[[], object]) -> list[dict]:
        """Measures all metrics, and writes the results to the run's file.

        Args:
          state: on the first device of this process.
          nimg: images shown.
          poll: called between batches. If it raises, the measuring ends; it may be begun again.

        Returns:
          The results, a list of dicts.
        """
        state = jax.device_get(state.replace(key=None))
        evaluator = self._evaluator(network(self._config, state, 'ema'), poll, lod=float(state.lod))
        found = []
        for _, some in evaluator.measure(self._metrics):
            found += [
                results.complete(
                    result,
                    network_path=self._workdir,
                    which='ema',
                    nimg=nimg,
                    in_training=True,
                    devices=jax.local_device_count(),
                )
                for result in some
            ]
        results.append(self._file, found)
        # Once the results are written, only the kept outputs of real images can serve again.
        for identity, count in evaluator.passes:
            self._store.forget(identity, count)
        return found

    def keep_if_best(self, nimg: int) -> bool:
        """Copies the checkpoint at `nimg` if the first metric was never better; returns whether it was copied.

        The folder is a run directory with this one checkpoint, for `--network` and for going on. What others put
        beside its checkpoints stays.
        """
        first = self._metrics[0]
        sign = -1 if first.kind.larger_is_better else 1
        values = {
            result['nimg']: sign * result['value'] for result in self._results() if result['metric'] == first.results[0]
        }
        place, part = (os.path.join(self._workdir, BEST, FOLDER + end) for end in ('', '.part'))
        held = [name for name in _listed(place) if name.isdecimal()]
        if not self._config.log.keep_best or any(values.get(int(name), math.inf) <= values[nimg] for name in held):
            return False
        os.makedirs(place, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(os.path.join(self._workdir, FOLDER, str(nimg)), part)
        # The copy takes its place before the one until now leaves, so that one of them is always there, and whole.
        os.rename(part, os.path.join(place, str(nimg)))
        for name in held:
            os.rename(os.path.join(place, name), part)
            shutil.rmtree(part)
        return True

    def drop_beyond(self, nimg: int) -> None:
        """Removes the results of checkpoints beyond `nimg`, which were lost."""
        drop_entries_beyond(self._file, nimg)

    def _results(self):
        """Returns the results that this run measured itself; the command may have added others to its file."""
        found = results.read(self._file) if os.path.exists(self._file) else []
        return [result for result in found if result.get('in_training')]

    def _evaluator(self, generator, poll, lod=0.0):
        return Evaluator(
            generator, _options(self._config), self._store, dataset=self._dataset, lod=lod, poll=poll, quiet=True
        )


def _options(config):
    return Options(seed=config.seed, mirror=config.data.mirror)


def _listed(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []
