"""Measure a network: FID, KID, Inception Score, precision and recall, path length, separability, diversity.

    python -m stylegan_jax.evaluate --network=runs/quickstart --metrics=fd_toy
    python -m stylegan_jax.evaluate --network=stylegan-ffhq-1024x1024.pkl --data=data/ffhq --mirror \\
        --metrics=fid50k,ppl_wend --download
    python -m stylegan_jax.evaluate --compare=runs/a/metrics.jsonl,runs/b/metrics.jsonl

Metrics: fid50k, fid50k_full, kid50k, is50k, pr50k3, ppl_zfull, ppl_wfull, ppl_zend, ppl_wend, ls, diversity, and
fd_toy, which is no FID; any number may take the place of these. Each result is a line of JSON with how it was obtained.
The same command goes on where it was stopped.
"""
import dataclasses
import os

import jax
import numpy as np
from absl import flags

from stylegan_jax import command, compilation
from stylegan_jax.config import DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation import metric_names, results
from stylegan_jax.feature_networks import catalogue
from stylegan_jax.interruption import Interruption
from stylegan_jax.loading import load

FLAGS = flags.FlagValues()
flags.declare_key_flag('compilation_cache')
_NETWORK = flags.DEFINE_string('network', None, 'A run directory, an official pickle, or a saved network.',
                               flag_values=FLAGS)
_METRICS = flags.DEFINE_list('metrics', None, 'What to measure; see above.', flag_values=FLAGS)
_DATA = flags.DEFINE_string('data', None, 'Real images: a prepared set, a folder or zip, or toy_faces; the default is '
                            'what a run was trained on.', flag_values=FLAGS)
_COUNT = flags.DEFINE_integer('data_count', 0, 'Use the first so many images of --data; 0 = all.', flag_values=FLAGS)
_MIRROR = flags.DEFINE_bool('mirror', None, 'Mirror real images at random, as published numbers of FFHQ do; the default '
                            'is what a run was trained with, and otherwise no.', flag_values=FLAGS)
_SEED = flags.DEFINE_integer('seed', 0, 'Of everything random.', lower_bound=0, flag_values=FLAGS)
_PSI = flags.DEFINE_float('psi', 1.0, 'Truncation; published numbers have none (1).', flag_values=FLAGS)
_RESIZE = flags.DEFINE_enum('resize', 'legacy', ['legacy', 'clean', 'half_pixel'], 'How images get the size of '
                            'Inception: as in the published numbers, antialiased (clean-fid), or as pytorch-fid does.',
                            flag_values=FLAGS)
_PRECISION = flags.DEFINE_enum('precision', 'float32', ['float32', 'bfloat16'], 'Of samples and features; path lengths '
                               'are always float32.', flag_values=FLAGS)
_CROP = flags.DEFINE_bool('crop_faces', False, 'Path lengths of the face in aligned pictures, as published for faces.',
                          flag_values=FLAGS)
_DDOF = flags.DEFINE_enum('covariance', 'n-1', ['n-1', 'n'], 'What covariances divide by: n-1 as most, n as '
                          'StyleGAN2-ADA.', flag_values=FLAGS)
_SOLVER = flags.DEFINE_enum('solver', 'official', ['official', 'primal'], 'Of the planes of ls: as in 2019, which may '
                            'stop early, or one that converges.', flag_values=FLAGS)
_CLASSIFIERS = flags.DEFINE_list('classifiers', ['toy_faces'], 'For ls: toy_faces, files of train_classifier, or '
                                 'official pickles.', flag_values=FLAGS)
_INCEPTION = flags.DEFINE_string('inception', None, 'File of the weights of Inception; the default is the one in the '
                                 'cache.', flag_values=FLAGS)
_VGG = flags.DEFINE_string('vgg', None, 'File of the weights of VGG16, or random: then path lengths are no published '
                           'ones. The default is the one in the cache.', flag_values=FLAGS)
_DOWNLOAD = flags.DEFINE_bool('download', False, 'Fetch weights that are missing, once.', flag_values=FLAGS)
_BATCH = flags.DEFINE_integer('batch', None, 'Images at a time; the default suits the devices.', lower_bound=1,
                              flag_values=FLAGS)
_LOD = flags.DEFINE_float('lod', None, 'Level of detail; the default is what a run has reached, and 0 for other '
                          'networks.', flag_values=FLAGS)
_WHICH = flags.DEFINE_enum('which', 'ema', ['ema', 'G'], 'The averaged generator, or the one as trained.',
                           flag_values=FLAGS)
_KIMG = flags.DEFINE_float('kimg', None, 'Of a run: the checkpoint at so many thousand images; the default is the '
                           'newest.', flag_values=FLAGS)
_RESULTS = flags.DEFINE_string('results', None, 'File that gets a line for each result; the default is metrics.jsonl in '
                               'the run, or here.', flag_values=FLAGS)
_STORE = flags.DEFINE_string('store', None, 'Folder for what is kept of samples; the default is metrics in '
                             '$STYLEGAN_JAX_CACHE, or in stylegan_jax in $XDG_CACHE_HOME or ~/.cache.',
                             flag_values=FLAGS)
_COMPARE = flags.DEFINE_list('compare', None, 'Only print results of these files side by side.', flag_values=FLAGS)


def main(argv):
    """Measures what the flags ask for, or compares; returns the exit code."""
    del argv
    if _COMPARE.value:
        print(results.compared(_COMPARE.value))
        return 0
    for flag in (_NETWORK, _METRICS):
        if not flag.value:
            raise UserError(f'--{flag.name} is missing; see --help')
    if not np.isfinite(_PSI.value):
        raise UserError(f'--psi={_PSI.value}: give a number')
    metrics = metric_names.parse(','.join(_METRICS.value))
    compilation.use_cache(compilation.CACHE.value)
    from stylegan_jax.evaluation.evaluator import Evaluator
    from stylegan_jax.evaluation.gathering import Store
    subject = _Subject(_NETWORK.value)
    store = Store(_STORE.value or os.path.join(catalogue.cache_folder(), 'metrics'))
    with Interruption(at_once=store.save):
        evaluator = Evaluator(subject.generator, _options(subject), store, dataset=subject.dataset, lod=subject.lod)
        _measure(evaluator, metrics, subject)
        evaluator.forget()
    return 0


def _measure(evaluator, metrics, subject):
    path = _RESULTS.value or os.path.join(_NETWORK.value if subject.is_run else '', 'metrics.jsonl')
    for _, found in evaluator.measure(metrics):
        about = {'network_path': _NETWORK.value, 'data_path': subject.data, 'devices': jax.local_device_count(),
                 **({'nimg': subject.nimg} if subject.is_run else {})}
        found = [results.complete(result, **about) for result in found]
        results.append(path, found)
        for result in found:
            print(results.line(result), flush=True)


def _options(subject):
    from stylegan_jax.evaluation.evaluator import Options
    return Options(seed=_SEED.value, psi=_PSI.value, mirror=subject.mirror if _MIRROR.value is None else _MIRROR.value,
                   resize=_RESIZE.value, precision=_PRECISION.value, crop=_CROP.value, ddof=int(_DDOF.value == 'n-1'),
                   solver=_SOLVER.value, batch=_BATCH.value, inception=_INCEPTION.value, vgg=_VGG.value,
                   classifiers=tuple(_CLASSIFIERS.value), download=_DOWNLOAD.value)


class _Subject:
    """The network that is measured, and the images that it is compared with."""

    def __init__(self, path):
        from stylegan_jax.data.dataset import open_dataset
        self.is_run, self.lod, self.nimg, self.mirror, data = os.path.isdir(path), 0.0, None, False, None
        if self.is_run:
            from stylegan_jax import checkpoint      # Orbax takes a second to import, and files do without it
            nimg = None if _KIMG.value is None else round(_KIMG.value * 1000)
            self.generator, saved = checkpoint.load_with_run(path, _WHICH.value, nimg)
            self.lod, self.nimg = float(saved.state.lod), saved.nimg
            data, self.mirror = saved.config.data, saved.config.data.mirror
        elif _KIMG.value is not None:
            raise UserError(f'--kimg={_KIMG.value:g}: only a run has checkpoints')
        else:
            self.generator = load(path, _WHICH.value)
        self.lod = self.lod if _LOD.value is None else _LOD.value
        if _DATA.value is not None:
            is_toy = _DATA.value == 'toy_faces'
            data = DataConfig(source='toy_faces' if is_toy else 'images', path='' if is_toy else _DATA.value)
        if data and _COUNT.value:
            data = dataclasses.replace(data, count=_COUNT.value)
        self.data = data and (data.path or data.source)
        self.dataset = open_dataset(data, self.generator.config.image) if data else None


if __name__ == '__main__':
    command.run(main, FLAGS)
