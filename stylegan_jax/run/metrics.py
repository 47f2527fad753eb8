"""The metrics of a run: measured on the averaged generator at its checkpoints, and a copy of the best of these."""

import math
import os
import shutil

import jax

from stylegan_jax.errors import UserError
from stylegan_jax.evaluation import metric_names, results
from stylegan_jax.evaluation.evaluator import Evaluator, Options
from stylegan_jax.evaluation.gathering import Store
from stylegan_jax.run.log import drop_entries_beyond
from stylegan_jax.storage.checkpoint import FOLDER
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
        self._file, self._store = os.path.join(workdir, FILE), Store(os.path.join(workdir, _STORE))
        if self._metrics:
            self._evaluator(None, lambda: None).check(self._metrics)  # hours earlier than it would be missed

    def is_due(self, checkpoint, nimg, is_last):
        """Whether to measure at a checkpoint that is the `checkpoint`-th one of a run: it is time to, and not done."""
        if not self._metrics or (not is_last and checkpoint % self._config.log.metrics_every):
            return False
        there = {result['metric'] for result in self._results() if result['nimg'] == nimg}
        return not all(metric.results[0] in there for metric in self._metrics)

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
        for identity, count in evaluator.passes:
            self._store.forget(identity, count)
        return found

    def keep_if_best(self, nimg):
        """Copies the checkpoint at `nimg` if the first metric was never better; returns whether it was.

        The folder is a run directory with this one checkpoint, for `--network` and for going on.
        """
        first = self._metrics[0]
        sign = -1 if first.kind in _LARGER_IS_BETTER else 1
        values = {
            result['nimg']: sign * result['value'] for result in self._results() if result['metric'] == first.results[0]
        }
        target, parts, before = (os.path.join(self._workdir, BEST + end) for end in ('', '.part', '.before'))
        if not os.path.exists(target) and os.path.exists(before):  # killed between the two renames below
            os.rename(before, target)
        held = [int(name) for name in _listed(os.path.join(target, FOLDER)) if name.isdecimal()]
        if not self._config.log.keep_best or any(values.get(other, math.inf) <= values[nimg] for other in held):
            return False
        for leftover in parts, before:
            shutil.rmtree(leftover, ignore_errors=True)
        shutil.copytree(os.path.join(self._workdir, FOLDER, str(nimg)), os.path.join(parts, FOLDER, str(nimg)))
        if held:
            os.rename(target, before)
        os.rename(parts, target)
        shutil.rmtree(before, ignore_errors=True)
        return True

    def drop_beyond(self, nimg):
        """Forgets what was measured on work that was lost."""
        drop_entries_beyond(self._file, nimg)

    def _results(self):
        """Those that this run measured itself; the command may have added others."""
        there = results.read(self._file) if os.path.exists(self._file) else []
        return [result for result in there if result.get('in_training')]

    def _evaluator(self, generator, poll, lod=0.0):
        options = Options(seed=self._config.seed, mirror=self._config.data.mirror)
        return Evaluator(generator, options, self._store, dataset=self._dataset, lod=lod, poll=poll, quiet=True)


def _listed(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []
