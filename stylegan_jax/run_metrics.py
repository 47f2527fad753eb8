"""The metrics of a run: measured on the averaged generator at its checkpoints, and a copy of the best of these."""
import os
import shutil

import jax

from stylegan_jax.checkpoint import FOLDER
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation import metric_names, results
from stylegan_jax.evaluation.evaluator import Evaluator, Options
from stylegan_jax.evaluation.gathering import Store
from stylegan_jax.run_log import drop_entries_beyond
from stylegan_jax.training import network

FILE = 'metrics.jsonl'
BEST = 'best'
_STORE = 'metrics'
_LARGER_IS_BETTER = 'is', 'pr', 'diversity'


class RunMetrics:
    """What `config.metrics` asks for."""

    def __init__(self, config, workdir, dataset):
        """Measures nothing yet.

        Args:
          config: a resolved Config.
          workdir: the run's folder.
          dataset: a `data.dataset.Dataset`.

        Raises:
          UserError: there is no such metric, or what one needs is not there: images enough, weights of networks.
        """
        self._config, self._workdir, self._dataset = config, workdir, dataset
        self._metrics = metric_names.parse(config.metrics)
        if config.log.keep_best and not self._metrics:
            raise UserError("log.keep_best=True: the best by what? Give --config.metrics, such as 'fid10k'")
        self._file = os.path.join(workdir, FILE)
        if self._metrics:
            self._evaluator(None, lambda: None).check(self._metrics)        # hours earlier than it would be missed

    def is_due(self, checkpoint, nimg, is_last):
        """Whether to measure at a checkpoint that is the `checkpoint`-th one of a run: it is time to, and not done."""
        if not self._metrics or not is_last and checkpoint % self._config.log.metrics_every:
            return False
        there = {result['metric'] for result in self._results() if result.get('nimg') == nimg}
        return not all(any(_is_of(name, metric) for name in there) for metric in self._metrics)

    def measure(self, state, nimg, poll):
        """Measures, and writes the results down.

        Args:
          state: a TrainState on this process's first device.
          nimg: images shown.
          poll: called often meanwhile; what it raises ends the measuring, which may be begun again.

        Returns:
          The results, a list of dicts.
        """
        state = jax.device_get(state.replace(key=None))
        evaluator = self._evaluator(network(self._config, state, 'ema'), poll, lod=float(state.lod))
        found = []
        for _, some in evaluator.measure(self._metrics):
            found += [results.complete(result, network_path=self._workdir, nimg=nimg,
                                       devices=jax.local_device_count()) for result in some]
        results.append(self._file, found)
        evaluator.forget()
        return found

    def keep_if_best(self, nimg):
        """Copies the checkpoint at `nimg` if the first metric was never better; returns whether it was.

        The folder is a run directory with this one checkpoint, for `--network` and for going on.
        """
        first = self._metrics[0]
        sign = -1 if first.kind in _LARGER_IS_BETTER else 1
        values = {result['nimg']: sign * result['value'] for result in self._results()
                  if 'nimg' in result and _is_of(result['metric'], first)}
        if not self._config.log.keep_best or values[nimg] > min(values.values()):
            return False
        target, parts = os.path.join(self._workdir, BEST), os.path.join(self._workdir, f'{BEST}.part')
        shutil.rmtree(parts, ignore_errors=True)
        shutil.copytree(os.path.join(self._workdir, FOLDER, str(nimg)), os.path.join(parts, FOLDER, str(nimg)))
        shutil.rmtree(target, ignore_errors=True)
        os.rename(parts, target)
        return True

    def drop_beyond(self, nimg):
        """Forgets what was measured on work that was lost."""
        drop_entries_beyond(self._file, nimg)

    def _results(self):
        return results.read(self._file) if os.path.exists(self._file) else []

    def _evaluator(self, generator, poll, lod=0.0):
        options = Options(seed=self._config.seed, mirror=self._config.data.mirror)
        return Evaluator(generator, options, Store(os.path.join(self._workdir, _STORE)), dataset=self._dataset, lod=lod,
                         poll=poll, quiet=True)


def _is_of(name, metric):
    """Whether a result's name is that of a metric, some of which have several results."""
    return name == metric.name or name.startswith(f'{metric.name}_')
