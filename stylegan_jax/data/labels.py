"""Class labels of image files, from a `dataset.json` in the form of StyleGAN2-ADA."""
import json

import numpy as np

from stylegan_jax.errors import UserError

FILE_NAME = 'dataset.json'
_WITHOUT = 'train without labels (--noconfig.data.find_labels --config.image.label_dim=0)'


def read_labels(text, where, names, label_dim):
    """Reads the labels of some images.

    Args:
      text: bytes of a dataset.json, {"labels": [["folder/name.png", 3], ...]}; None if there is no file.
      where: how messages name the file.
      names: the images, relative to the file, with forward slashes.
      label_dim: K, number of classes; 0 ignores the file.

    Returns:
      One-hot labels, float32 [len(names), K].

    Raises:
      UserError: the file is missing or malformed, or an image has no label from 0 to K - 1.
    """
    if not label_dim:
        return np.zeros([len(names), 0], np.float32)
    classes = _read_classes(text, where, label_dim)
    unlabelled = [name for name in names if name not in classes]
    if unlabelled:
        raise UserError(f'{where}: no label for {len(unlabelled)} of {len(names)} images, such as '
                        f'{unlabelled[0]!r}; add them, or {_WITHOUT}')
    found = max(classes.values()) + 1
    for name in names:
        if classes[name] < 0:
            raise UserError(f'{where}: label {classes[name]} of {name!r} is negative; count classes from 0')
        if classes[name] >= label_dim:
            raise UserError(f'{where}: label {classes[name]} of {name!r} is not below '
                            f'image.label_dim={label_dim}; the file has {found} classes: '
                            f'set --config.image.label_dim={found}')
    labels = np.zeros([len(names), label_dim], np.float32)
    labels[np.arange(len(names)), [classes[name] for name in names]] = 1
    return labels


def count_classes(text, where):
    """Returns how many classes the bytes of a dataset.json have; 0 where its "labels" are null or empty.

    Raises:
      UserError: the file is malformed.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f'{where}: not valid JSON ({error}); '
                        f'repair it, or {_WITHOUT}') from error
    if not (isinstance(content, dict) and content.get('labels')):
        return 0
    classes = _read_classes(text, where, 'N')
    found = max(classes.values()) + 1
    if found > len(classes):
        raise UserError(f'{where}: it labels {len(classes)} images with classes up to {found - 1}; '
                        'number the classes from 0 without gaps')
    return found


def _read_classes(text, where, label_dim):
    """Returns {name: class}, checked for form only."""
    remedy = f'add the labels, or {_WITHOUT}'
    if text is None:
        raise UserError(f'{where}: there is no such file, but image.label_dim={label_dim} needs labels; '
                        f'{remedy}')
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f'{where}: not valid JSON ({error}); '
                        f'repair it, or {_WITHOUT}') from error
    entries = content.get('labels') if isinstance(content, dict) else None
    if not entries:
        raise UserError(f'{where}: it has no "labels", but image.label_dim={label_dim} needs them; '
                        f'{remedy}')
    form = 'give {"labels": [["folder/name.png", 3], ...]}'
    if not isinstance(entries, list):
        raise UserError(f'{where}: "labels" is not a list; {form}')
    for entry in entries:
        is_pair = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)
        if not is_pair or type(entry[1]) is not int:
            raise UserError(f'{where}: {json.dumps(entry)[:80]} is not a file name and a class number; '
                            f'{form}')
    return dict(entries)
