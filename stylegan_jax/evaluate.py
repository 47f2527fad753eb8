"""Measure a network: FID, KID, Inception Score, precision and recall, path length, separability, diversity, sticking.

    python -m stylegan_jax.evaluate --network=runs/quickstart --metrics=fd_toy
    python -m stylegan_jax.evaluate --network=stylegan-ffhq-1024x1024.pkl --data=data/ffhq --mirror \\
        --metrics=fid50k,ppl_wend --crop_faces --download
    python -m stylegan_jax.evaluate --metrics=kid10k_full,ppl_wend --download     # only fetches the weights
    python -m stylegan_jax.evaluate --compare=runs/a/metrics.jsonl,runs/b/metrics.jsonl

Metrics: fid50k, fid50k_full, kid50k, is50k, pr50k3, ppl_zfull, ppl_wfull, ppl_zend, ppl_wend, ls, diversity,
sticking, eqt, and fd_toy, which is no FID; any number may take the place of these. Each result is a line of JSON with
how it was obtained. The same command goes on where it was stopped.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import typing

import jax
import numpy as np
from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.network_flags import NetworkFlags
from stylegan_jax.cli.parsing import LARGEST_SEED
from stylegan_jax.config import DataConfig
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation import metric_names, results
from stylegan_jax.evaluation.options import Options
from stylegan_jax.feature_networks import catalogue
from stylegan_jax.runtime import compile_cache
from stylegan_jax.runtime.interruption import Interruption
from stylegan_jax.storage import loading

if typing.TYPE_CHECKING:
    from stylegan_jax.networks.generator import Generator

FLAGS = flags.FlagValues()
flags.declare_key_flag('compilation_cache')
_NETWORK = NetworkFlags(FLAGS, ('network', 'which', 'class', 'label', 'lod'))
_METRICS = flags.DEFINE_list('metrics', None, 'Names of metrics; see above.', flag_values=FLAGS)
_DATA = flags.DEFINE_string(
    'data',
    None,
    'Real images: a prepared set, a folder or zip, or toy_faces; the default is the data set of a run.',
    flag_values=FLAGS,
)
_COUNT = flags.DEFINE_integer(
    'data_count', 0, 'Use this number of images of --data, the first ones; 0 = all.', flag_values=FLAGS
)
_MIRROR = flags.DEFINE_bool(
    'mirror',
    None,
    'Mirror real images at random, as published numbers of FFHQ do; the default '
    'is the setting of a run, and otherwise no.',
    flag_values=FLAGS,
)
_SEED = flags.DEFINE_integer(
    'seed', 0, 'Seed of everything random.', lower_bound=0, upper_bound=LARGEST_SEED, flag_values=FLAGS
)
_PSI = flags.DEFINE_float(
    'psi',
    1.0,
    'Truncation; published numbers have none (1). With --class it goes to the average of each class.',
    flag_values=FLAGS,
)
_RESIZE = flags.DEFINE_enum(
    'resize',
    'legacy',
    ['legacy', 'clean', 'half_pixel'],
    'How images get the size of '
    'Inception: as in the published numbers, antialiased (clean-fid), or as pytorch-fid does.',
    flag_values=FLAGS,
)
_PRECISION = flags.DEFINE_enum(
    'precision',
    'float32',
    ['float32', 'bfloat16'],
    'Precision of samples and features; path lengths are always float32.',
    flag_values=FLAGS,
)
_CROP = flags.DEFINE_bool(
    'crop_faces', False, 'Path lengths of the face in aligned pictures, as published for faces.', flag_values=FLAGS
)
_DDOF = flags.DEFINE_enum(
    'covariance', 'n-1', ['n-1', 'n'], 'Divisor of covariances: n-1 as most, n as StyleGAN2-ADA.', flag_values=FLAGS
)
_SOLVER = flags.DEFINE_enum(
    'solver',
    'official',
    ['official', 'primal'],
    'Solver of the planes of ls: that of 2019, which may stop early, or one that converges.',
    flag_values=FLAGS,
)
_CLASSIFIERS = flags.DEFINE_list(
    'classifiers',
    ['toy_faces'],
    'For ls: toy_faces, files of train_classifier, or official pickles.',
    flag_values=FLAGS,
)
_INCEPTION = flags.DEFINE_string(
    'inception', None, 'File of the weights of Inception; the default is the one in the cache.', flag_values=FLAGS
)
_VGG = flags.DEFINE_string(
    'vgg',
    None,
    'File of the weights of VGG16, or random: then path lengths are no published '
    'ones. The default is the one in the cache.',
    flag_values=FLAGS,
)
_DOWNLOAD = flags.DEFINE_bool(
    'download',
    False,
    'Fetch weights that are missing, once; without --network that is all that is done.',
    flag_values=FLAGS,
)
_BATCH = flags.DEFINE_integer(
    'batch', None, 'Images per dispatch; the default suits the devices.', lower_bound=1, flag_values=FLAGS
)
_KIMG = flags.DEFINE_list(
    'kimg',
    None,
    'Checkpoints of a run, by the thousands of images shown, or all; the default is the newest.',
    flag_values=FLAGS,
)
_RESULTS = flags.DEFINE_string(
    'results',
    None,
    'File that gets a line for each result; the default is metrics.jsonl in the run, or here.',
    flag_values=FLAGS,
)
_STORE = flags.DEFINE_string(
    'store',
    None,
    'Folder for features of samples; the default is metrics in '
    '$STYLEGAN_JAX_CACHE, or in stylegan_jax in $XDG_CACHE_HOME or ~/.cache.',
    flag_values=FLAGS,
)
_COMPARE = flags.DEFINE_list('compare', None, 'Only print results of these files side by side.', flag_values=FLAGS)
# The flags that matter where weights are only fetched.
_OF_FETCHING = 'metrics', 'download', 'inception', 'vgg', 'classifiers'


def main(argv: list[str]) -> int:
    """Measures what the flags ask for, or compares results; returns the exit code."""
    del argv
    if _COMPARE.value:
        print(results.compared(_COMPARE.value))
        return 0
    if _DOWNLOAD.value and _METRICS.value and not _NETWORK['network']:
        return _fetch()
    if _METRICS.value and not _NETWORK['network']:
        raise UserError('--network is missing; see --help', remedy='--download without it fetches the weights alone')
    _NETWORK.check()
    if not _METRICS.value:
        raise UserError(f'--{_METRICS.name} is missing; see --help')
    if not np.isfinite(_PSI.value):
        raise UserError('give a number', field='psi', value=_PSI.value)
    metrics = _metrics()
    _refuse_labels_with_reals(metrics)
    compile_cache.use_cache(compile_cache.CACHE.value)
    # These are slow to import, and mistakes in flags are found without them.
    from stylegan_jax.evaluation.evaluator import Evaluator
    from stylegan_jax.evaluation.feature_outputs import FeatureNetworks
    from stylegan_jax.evaluation.gathering import Store

    store = Store(_STORE.value or os.path.join(catalogue.cache_folder(), 'metrics'))
    is_run = loading.is_run(_NETWORK['network'])
    path = _RESULTS.value or os.path.join(_NETWORK['network'] if is_run else '', 'metrics.jsonl')
    results.check_writable(path)
    with Interruption(at_once=store.save):
        dataset, networks, passes = None, None, []
        for subject in _subjects(is_run):
            options = _options(subject)
            networks = networks or FeatureNetworks(options, jax.local_devices())
            labels = _NETWORK.labels(subject.generator) if _NETWORK.asks_for_label else None
            if dataset is None:  # What is missing is found before a data set is read, which may take long.
                available = _available(subject)
                Evaluator(
                    subject.generator, options, store, available=available, networks=networks, labels=labels
                ).check(metrics)
                dataset = _dataset(subject)
            evaluator = Evaluator(
                subject.generator,
                options,
                store,
                dataset=dataset,
                networks=networks,
                lod=subject.lod if _NETWORK['lod'] is None else _NETWORK['lod'],
                labels=labels,
            )
            evaluator.check(metrics)
            for _, found in evaluator.measure(metrics):
                _record(found, path, subject)
            passes += evaluator.passes
        for identity, count in passes:  # at the very end, because a command that was stopped goes on with them
            store.forget(identity, count)
    print(f'written to {path}')
    return 0


def _refuse_labels_with_reals(metrics):
    """Raises a UserError where images of one class would be compared with real images of all."""
    for metric in metrics:
        if _NETWORK.asks_for_label and metric.kind.with_reals:
            name = 'label' if _NETWORK['class'] is None else 'class'
            raise UserError(
                f'{metric.name} compares with real images of all classes',
                field=name,
                value=_NETWORK[name],
                remedy='ask for metrics without them, such as ppl_wend, or prepare the images of the class as data',
            )


def _metrics():
    return metric_names.parse(','.join(_METRICS.value))


def _fetch():
    """Fetches the weights that the metrics need, and reads them, as a run will."""
    metrics = _metrics()
    for name in FLAGS:
        if FLAGS[name].present and name not in _OF_FETCHING:
            raise UserError(
                'without --network the weights are fetched, and nothing is measured',
                field=name,
                remedy='give --network as well, or leave this out',
            )
    from stylegan_jax.evaluation.feature_outputs import FeatureNetworks  # slow to import

    networks = FeatureNetworks(_options(None), jax.local_devices())
    for metric in metrics:
        if metric.kind.network:
            networks.get(metric.kind.network)
    print(f'the weights for {",".join(_METRICS.value)} are here')
    return 0


def _record(found, path, subject):
    about = {'network_path': _NETWORK['network'], 'which': _NETWORK['which'], 'devices': jax.local_device_count()}
    if subject.data:
        about['data_path'] = subject.data.path or subject.data.source
    if subject.nimg is not None:
        about['nimg'] = subject.nimg
    found = [results.complete(result, **about) for result in found]
    results.append(path, found)
    for result in found:
        print(('' if subject.nimg is None else f'{subject.nimg / 1000:9.1f} kimg  ') + results.line(result), flush=True)


def _options(subject):
    mirror = _MIRROR.value if _MIRROR.value is not None else bool(subject and subject.data and subject.data.mirror)
    return Options(
        seed=_SEED.value,
        psi=_PSI.value,
        mirror=mirror,
        resize=_RESIZE.value,
        precision=_PRECISION.value,
        crop=_CROP.value,
        ddof=int(_DDOF.value == 'n-1'),
        solver=_SOLVER.value,
        batch=_BATCH.value,
        inception=_INCEPTION.value,
        vgg=_VGG.value,
        classifiers=tuple(_CLASSIFIERS.value),
        download=_DOWNLOAD.value,
    )


class _Subject(typing.NamedTuple):
    """A network that is measured.

    Attributes:
      generator: a Generator.
      data: DataConfig of the images that it is compared with, or None.
      lod: level of detail that it has reached.
      nimg: images shown to it, for a checkpoint of a run, or None.
    """

    generator: Generator
    data: DataConfig | None
    lod: float = 0.0
    nimg: int | None = None


def _subjects(is_run):
    """Yields the networks that the flags name: one, or several checkpoints of a run."""
    if not is_run:
        if _KIMG.value:
            raise UserError(f'--kimg={",".join(_KIMG.value)}: only a run has checkpoints')
        generator, lod = _NETWORK.load()
        yield _Subject(generator, _data(None), lod)
        return
    from stylegan_jax.storage import networks_of_runs  # imports Orbax, which takes a second; files do without it

    is_all = _KIMG.value == ['all']
    for nimg in _all(networks_of_runs) if is_all else _chosen(networks_of_runs):
        try:
            generator, saved = networks_of_runs.load_with_run(_NETWORK['network'], _NETWORK['which'], nimg)
        except UserError:
            if not is_all or nimg in networks_of_runs.all_nimg(_NETWORK['network']):
                raise
            print(f'the checkpoint at {nimg / 1000:g} kimg was deleted before it was measured', file=sys.stderr)
            continue
        yield _Subject(generator, _data(saved.config.data), float(saved.state.lod), saved.nimg)


def _all(networks_of_runs):
    """Yields the images shown at each checkpoint, in the end also at those that a training saved meanwhile."""
    seen = []
    while new := [nimg for nimg in networks_of_runs.all_nimg(_NETWORK['network']) if nimg not in seen]:
        seen += new
        yield from new


def _chosen(networks_of_runs):
    """The images shown at the checkpoints that are named; [None] for the newest."""
    if not _KIMG.value:
        return [None]
    there = networks_of_runs.all_nimg(_NETWORK['network'])
    try:
        chosen = [round(float(kimg) * 1000) for kimg in _KIMG.value]
    except (ValueError, OverflowError):
        raise UserError('give numbers such as 40.96, or all', field='kimg', value=','.join(_KIMG.value)) from None
    for nimg in chosen:
        if nimg not in there:  # found before the first of them is measured
            networks_of_runs.load_with_run(_NETWORK['network'], _NETWORK['which'], nimg)  # raises, and names all others
    return chosen


def _data(trained_on):
    """Returns the DataConfig that the flags ask for, given that of a run's training; None for no images."""
    data = trained_on
    if _DATA.value is not None:
        is_toy = _DATA.value == 'toy_faces'
        data = dataclasses.replace(
            trained_on or DataConfig(),
            source='toy_faces' if is_toy else 'images',
            count=0,
            path='' if is_toy else _DATA.value,
        )
    return dataclasses.replace(data, count=_COUNT.value) if data and _COUNT.value else data


def _available(subject):
    """Returns the number of real images without reading any; None where there are to be none."""
    from stylegan_jax.data.dataset import DataOpener

    return subject.data and DataOpener(subject.data).available()


def _dataset(subject):
    """Opens the real images; None where there are to be none."""
    from stylegan_jax.data.dataset import open_dataset  # readers of data sets are slow to import

    image = subject.generator.config.image
    try:
        return subject.data and open_dataset(subject.data, image)
    except UserError as error:
        if 'image.' in f'{error.field} {error.remedy}':  # a run could change these settings, but the network has them
            kind = 'x'.join(map(str, image.shape))
            kind += f' with labels of length {image.label_dim}' if image.label_dim else ''
            error.remedy = (
                f'the network needs images of {kind}: give such ones, or make a set of those that suffice with '
                f'prepare_data --resolution={image.resolution} --max_skipped=SHARE'
            )
        raise


if __name__ == '__main__':
    command.run(main, FLAGS)
