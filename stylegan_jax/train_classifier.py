"""Train a classifier of a data set's labels; metrics can use its features and logits.

    python -m stylegan_jax.train_classifier --data=toy_faces --out=toy-faces-classifier.npz
    python -m stylegan_jax.train_classifier --data=data/mine --out=mine-classifier.npz --kimg=500

A tenth of the images is held out, and the accuracy on them printed; of toy faces, the images beyond --count are held
out. Labels that exclude one another are learned as classes, others as attributes. A .json file beside OUT says how the
weights were trained.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import pathlib
import platform
import time

import jax
import numpy as np
from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.parsing import LARGEST_SEED
from stylegan_jax.config import DataConfig
from stylegan_jax.config.network import ClassifierConfig, DiscriminatorConfig, ImageConfig
from stylegan_jax.config.serialization import to_dict
from stylegan_jax.data.dataset import TOY_FACES_COUNT, DataOpener, open_dataset
from stylegan_jax.data.prepared import is_prepared, read_info
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.errors import UserError, unwritable
from stylegan_jax.feature_networks import classifier_training
from stylegan_jax.feature_networks.classifier import Classifier
from stylegan_jax.metrics.label_accuracy import accuracy_by_label, table
from stylegan_jax.runtime import atomic, compile_cache

_TOY_FACES = 'toy_faces'
_TOY_FACES_RESOLUTION = 32
_DEFAULTS = classifier_training.Options()
_NETWORK = DiscriminatorConfig()

flags.declare_key_flag('compilation_cache')
FLAGS = flags.FlagValues()
_DATA = flags.DEFINE_string(
    'data',
    None,
    "'toy_faces', a prepared data set, or a folder or zip of images with a dataset.json of classes.",
    flag_values=FLAGS,
)
_OUT = flags.DEFINE_string(
    'out', None, 'File for the weights, NAME.npz; NAME is the name of the classifier.', flag_values=FLAGS
)
_RESOLUTION = flags.DEFINE_integer(
    'resolution',
    None,
    'Longer side of the images [pixels]; the default is that of a '
    f'prepared set, and {_TOY_FACES_RESOLUTION} for toy faces.',
    flag_values=FLAGS,
)
_COUNT = flags.DEFINE_integer(
    'count',
    0,
    f'Use this number of images, the first ones; 0 = all, and {TOY_FACES_COUNT} toy faces.',
    lower_bound=0,
    flag_values=FLAGS,
)
_KIMG = flags.DEFINE_float('kimg', _DEFAULTS.kimg, 'Images shown, in thousands.', flag_values=FLAGS)
_BATCH = flags.DEFINE_integer('batch', _DEFAULTS.batch, 'Images per step.', flag_values=FLAGS)
_LR = flags.DEFINE_float('lr', _DEFAULTS.lr, 'Learning rate at the start; it falls to 0.', flag_values=FLAGS)
_MIRROR = flags.DEFINE_bool(
    'mirror', _DEFAULTS.mirror, 'Flip images at random; only where no label changes with it.', flag_values=FLAGS
)
_FMAP_BASE = flags.DEFINE_integer(
    'fmap_base', _NETWORK.fmap_base, 'Feature maps at side r: 2 * fmap_base / r ...', flag_values=FLAGS
)
_FMAP_MAX = flags.DEFINE_integer(
    'fmap_max', _NETWORK.fmap_max, '... and at most this number, which is that of the features.', flag_values=FLAGS
)
_SEED = flags.DEFINE_integer(
    'seed', _DEFAULTS.seed, 'Seed of everything random.', lower_bound=0, upper_bound=LARGEST_SEED, flag_values=FLAGS
)


def main(argv: list[str]) -> None:
    """Trains the classifier that the flags ask for."""
    del argv
    compile_cache.use_cache(compile_cache.CACHE.value)
    for flag in (_DATA, _OUT):
        if not flag.value:
            raise UserError(f'--{flag.name} is missing; see --help')
    options = classifier_training.Options(_KIMG.value, _BATCH.value, _LR.value, _MIRROR.value, _SEED.value)
    out = _checked_out(_OUT.value)
    dataset = _open(_DATA.value, _RESOLUTION.value, _COUNT.value)
    parts = _split(dataset, options.seed)
    config = _config(dataset, parts)
    start = time.monotonic()
    params, losses = classifier_training.train(dataset, parts[0], config, options)
    seconds = round(time.monotonic() - start)
    classifier = Classifier.from_params(config, params, name=out.stem)
    accuracies = _evaluate(dataset, parts[1], classifier)
    provenance = _provenance(classifier, dataset, parts, options, losses, accuracies) | {'seconds': seconds}
    try:
        classifier.save(out)
        with atomic.writing(out.with_suffix('.json')) as file:
            file.write(json.dumps(provenance, indent=2) + '\n')
    except OSError as error:
        raise _cannot_write(_OUT.value, error) from None
    print(f'{out}: classifier {classifier.name}, digest {classifier.digest}')


def _checked_out(text):
    """Returns the path of --out, and raises UserError before the training if it cannot be written."""
    path = pathlib.Path(text).expanduser()
    if path.suffix != '.npz':
        raise UserError('give the name of a file that ends in .npz', field='out', value=text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(0, 'it is a folder')
        probe = path.with_name(path.name + '.part')
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _cannot_write(text, error) from None
    return path


def _cannot_write(path, error):
    return unwritable('out', path, error, 'choose another place')


def _open(data, resolution, count):
    """Opens --data; of toy faces, the held-out ones follow the `count` to learn from."""
    if data == _TOY_FACES:
        image = ImageConfig(resolution or _TOY_FACES_RESOLUTION, label_dim=len(toy_faces.ATTRIBUTES))
        count = count or TOY_FACES_COUNT
        return open_dataset(DataConfig('toy_faces', count=count + classifier_training.num_held_out(count)), image)
    if is_prepared(data):
        stored = read_info(data)['image']
        image = ImageConfig(**stored | {'resolution': resolution or stored['resolution']})
    else:
        label_dim = DataOpener(DataConfig('images', data)).label_dim()
        if resolution is None:
            raise UserError(f'--resolution is missing; --data={data} is not a prepared set, which would have one')
        image = ImageConfig(resolution, label_dim=label_dim)
    return open_dataset(DataConfig('images', data, count), image)


def _split(dataset, seed):
    """Returns the indices of the images to learn from, and of those held out."""
    if _DATA.value == _TOY_FACES:
        held_out = classifier_training.num_held_out(_COUNT.value or TOY_FACES_COUNT)
        return classifier_training.split(len(dataset), held_out, seed=seed, in_order=True)
    held_out = classifier_training.num_held_out(len(dataset))
    return classifier_training.split(len(dataset), held_out, seed=seed, in_order=False)


def _config(dataset, parts):
    """Returns the ClassifierConfig for a data set, and prints its labels and numbers of images."""
    names = dataset.label_names or tuple(f'class {k}' for k in range(dataset.labels.shape[1]))
    one_hot = classifier_training.check_labels(dataset.labels, names, parts, f'--data={_DATA.value}')
    print(
        f'{len(parts[0])} images of {"x".join(map(str, dataset.image.shape))} to learn from, '
        f'{len(parts[1])} held out; '
        + (
            f'{len(names)} classes, of which an image has one (softmax)'
            if one_hot
            else f'{len(names)} attributes, each for itself (sigmoid)'
        ),
        flush=True,
    )
    network = DiscriminatorConfig(
        dataset.image, fmap_base=_FMAP_BASE.value, fmap_max=_FMAP_MAX.value, mbstd_group_size=1
    )
    return ClassifierConfig(network, names, one_hot)


def _evaluate(dataset, indices, classifier):
    """Returns the accuracy on held-out images, a list of `LabelAccuracy`, and prints it."""
    logits, labels = classifier_training.logits_of(dataset, indices, classifier), dataset.labels[indices]
    one_hot = classifier.config.one_hot
    accuracies = accuracy_by_label(logits, labels, names=classifier.label_names, one_hot=one_hot)
    print(table(accuracies))
    if one_hot:
        print(f'right class: {100 * np.mean(logits.argmax(axis=1) == labels.argmax(axis=1)):.1f}%')
    return accuracies


def _provenance(classifier, dataset, parts, options, losses, accuracies):
    """Returns the record by which others can trust the weights, or train them again; plain dicts for JSON."""
    return {
        'name': classifier.name,
        'digest': classifier.digest,
        'config': to_dict(classifier.config),
        'data': {
            'data': _DATA.value,
            'signature': dataset.signature,
            'images_learned_from': len(parts[0]),
            'images_held_out': len(parts[1]),
        },
        'training': dataclasses.asdict(options)
        | {'images_seen': options.steps * options.batch, 'last_losses': float(np.mean(losses[-100:]))},
        'held_out_accuracy': {
            entry.name: {
                'share': round(entry.share, 4),
                'accuracy': round(entry.accuracy, 4),
                'balanced': round(entry.balanced, 4),
            }
            for entry in accuracies
        },
        'versions': {'python': platform.python_version()}
        | {name: importlib.metadata.version(name) for name in ('jax', 'jaxlib', 'flax', 'numpy', 'pillow')},
        'device': jax.devices()[0].device_kind,
        'date': datetime.date.today().isoformat(),
    }


if __name__ == '__main__':
    command.run(main, FLAGS)
