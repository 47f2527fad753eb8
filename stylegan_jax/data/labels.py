"""Class labels: from a `dataset.json` in the form of StyleGAN2-ADA, from folders, from arrays.

Functions take `where`, the file or folder that messages name, and `without`, how to do without labels, which messages
propose.
"""

import json
import os
from collections.abc import Sequence

import numpy as np

from stylegan_jax.errors import UserError

FILE_NAME = 'dataset.json'
_Where = str | os.PathLike


def read_labels(text: bytes | None, where: _Where, names: Sequence[str], label_dim: int, without: str) -> np.ndarray:
    """Reads the labels of some images, of which there must be a given number of classes.

    Args:
      text: bytes of a dataset.json, {"labels": [["folder/name.png", 3], ...]}; None if there is no file.
      where: the file, in messages.
      names: the images, relative to the file, with forward slashes.
      label_dim: K, number of classes; 0 ignores the file.
      without: how to do without labels, in messages.

    Returns:
      One-hot labels, float32 [len(names), K].

    Raises:
      UserError: the file is missing or malformed, or an image has no label from 0 to K - 1.
    """
    if not label_dim:
        return np.zeros([len(names), 0], np.float32)
    classes = _read_classes(text, where, label_dim, without)
    _check_complete(classes, where, names, without)
    found = max(classes.values()) + 1
    for name in names:
        if classes[name] >= label_dim:
            raise UserError(
                f'{where}: label {classes[name]} of {name!r} is not below image.label_dim={label_dim}',
                remedy=f'the file has {found} classes: set image.label_dim={found}',
            )
    _check_not_negative(classes, where, names)
    return one_hot([classes[name] for name in names], label_dim)


def count_classes(text: bytes, where: _Where, without: str) -> int:
    """Returns how many classes the bytes of a dataset.json have; 0 where its "labels" are null or empty.

    Raises:
      UserError: the file is malformed.
    """
    entries = _entries(_parse(text, where, without))
    return _number_of_classes(_check_classes(entries, where), where) if entries else 0


def find_labels(text: bytes | None, where: _Where, names: Sequence[str], without: str) -> np.ndarray:
    """Reads the labels of some images, however many classes there are.

    Args:
      text: bytes of a dataset.json, with class numbers as in `read_labels` or with a list of K numbers in the place
        of each; None if there is no file.
      where: the file, in messages.
      names: the images, relative to the file, with forward slashes.
      without: how to do without labels, in messages.

    Returns:
      float32 [len(names), K], one-hot for class numbers; K is 0 without a file, or without "labels" in it.

    Raises:
      UserError: the file is malformed, or an image has no label in it.
    """
    entries = _entries(_parse(text, where, without)) if text is not None else None
    if not entries:
        return np.zeros([len(names), 0], np.float32)
    if not _are_vectors(entries):
        classes = _check_classes(entries, where)
        _check_complete(classes, where, names, without)
        _check_not_negative(classes, where, classes)
        return one_hot([classes[name] for name in names], _number_of_classes(classes, where))
    vectors = dict(entries)
    _check_complete(vectors, where, names, without)
    lengths = {len(vector) for vector in vectors.values()}
    if len(lengths) > 1:
        raise UserError(
            f'{where}: its labels are {min(lengths)} to {max(lengths)} numbers long',
            remedy=f'give all the same length, or {without}',
        )
    return labels_of_array(np.array([vectors[name] for name in names], np.float32), len(names), where, without)


def labels_of_folders(names: Sequence[str], where: _Where) -> tuple[np.ndarray, tuple[str, ...]]:
    """Makes the first folder of each path its class.

    Args:
      names: relative paths, with forward slashes.
      where: the folder that they are relative to, in messages.

    Returns:
      One-hot labels, float32 [len(names), K], and the names of the folders, sorted.

    Raises:
      UserError: a file is in no folder.
    """
    for name in names:
        if '/' not in name:
            raise UserError(
                f'{where}: {name} is in no folder, so that it has no class',
                remedy='move it into one, or give labels=none',
            )
    folders = [name.partition('/')[0] for name in names]
    classes = {folder: number for number, folder in enumerate(sorted(set(folders)))}
    return one_hot([classes[folder] for folder in folders], len(classes)), tuple(classes)


def labels_of_array(array: np.ndarray, count: int, where: _Where, without: str) -> np.ndarray:
    """Makes labels from an array that another format stores.

    Args:
      array: class numbers, integers [count] or [count, 1]; or labels, numbers [count, K].
      count: how many images there are.
      where: the array, in messages.
      without: how to do without labels, in messages.

    Returns:
      float32 [count, K], one-hot for class numbers.

    Raises:
      UserError: the array is none of these, or has numbers that cannot be.
    """
    are_integers = np.issubdtype(array.dtype, np.integer)
    if not (are_integers or np.issubdtype(array.dtype, np.floating) or array.dtype == bool) or array.ndim not in (1, 2):
        raise UserError(
            f'{where}: its labels are {array.dtype} {list(array.shape)}, neither class numbers [N] nor numbers [N, K]',
            remedy=f'mend them, or {without}',
        )
    if len(array) != count:
        raise UserError(
            f'{where}: it has {len(array)} labels, but there are {count} images', remedy=f'mend it, or {without}'
        )
    if are_integers and (array.ndim == 1 or array.shape[1] == 1):
        array = array.reshape(-1)
        smallest, largest = int(array.min()), int(array.max())
        if smallest < 0:
            raise UserError(f'{where}: label {smallest} is negative', remedy=f'count classes from 0, or {without}')
        if largest >= count:
            raise UserError(
                f'{where}: it labels {count} images with classes up to {largest}',
                remedy=f'number the classes from 0 without gaps, or {without}',
            )
        return one_hot(array, largest + 1)
    if array.ndim == 1:
        raise UserError(
            f'{where}: its labels are {array.dtype} [N]', remedy=f'store class numbers as integers, or {without}'
        )
    if not np.isfinite(array).all():
        raise UserError(f'{where}: a label is not finite', remedy=f'mend it, or {without}')
    return array.astype(np.float32)


def one_hot(classes: Sequence[int] | np.ndarray, label_dim: int) -> np.ndarray:
    """Returns one-hot labels, float32 [N, K], of class numbers [N], each from 0 to K - 1."""
    labels = np.zeros([len(classes), label_dim], np.float32)
    labels[np.arange(len(classes)), classes] = 1
    return labels


def is_one_hot(labels: np.ndarray) -> bool:
    """Says whether labels [N, K] each name one class."""
    return bool(labels.shape[1] and np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(axis=1) == 1))


def _parse(text, where, without):
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f'{where}: not valid JSON ({error})', remedy=f'repair it, or {without}') from error


def _entries(content):
    return content.get('labels') if isinstance(content, dict) else None


def _read_classes(text, where, label_dim, without):
    """Returns {name: class}, checked for form only."""
    remedy = f'add the labels, or {without}'
    if text is None:
        raise UserError(f'{where}: there is no such file, but image.label_dim={label_dim} needs labels', remedy=remedy)
    entries = _entries(_parse(text, where, without))
    if not entries:
        raise UserError(f'{where}: it has no "labels", but image.label_dim={label_dim} needs them', remedy=remedy)
    return _check_classes(entries, where)


def _check_classes(entries, where):
    """Returns the entries as {name: class} if they have the form of class numbers."""
    form = 'give {"labels": [["folder/name.png", 3], ...]}'
    if not isinstance(entries, list):
        raise UserError(f'{where}: "labels" is not a list', remedy=form)
    for entry in entries:
        is_pair = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)
        if not is_pair or type(entry[1]) is not int:
            raise UserError(f'{where}: {json.dumps(entry)[:80]} is not a file name and a class number', remedy=form)
    return dict(entries)


def _are_vectors(entries):
    return isinstance(entries, list) and all(
        isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], str)
        and isinstance(entry[1], list)
        and all(type(number) in (int, float) for number in entry[1])
        for entry in entries
    )


def _check_complete(labels, where, names, without):
    unlabelled = [name for name in names if name not in labels]
    if unlabelled:
        raise UserError(
            f'{where}: no label for {len(unlabelled)} of {len(names)} images, such as {unlabelled[0]!r}',
            remedy=f'add them, or {without}',
        )


def _check_not_negative(classes, where, names):
    for name in names:
        if classes[name] < 0:
            raise UserError(f'{where}: label {classes[name]} of {name!r} is negative', remedy='count classes from 0')


def _number_of_classes(classes, where):
    found = max(classes.values()) + 1
    if found > len(classes):
        raise UserError(
            f'{where}: it labels {len(classes)} images with classes up to {found - 1}',
            remedy='number the classes from 0 without gaps',
        )
    return found
