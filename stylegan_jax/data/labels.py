"""Class labels: from a `dataset.json` in the form of StyleGAN2-ADA, from folders, from arrays.

Functions take `where`, the file or folder that messages name, and `without`, how to do without labels, which messages
propose. Which dataset.json belongs to some pictures is for `sources.label_files` to find.
"""

import json
import os
import posixpath
import unicodedata
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.runtime.stand_ins import stand_in

FILE_NAME = 'dataset.json'
_FORM = 'give {"labels": [["folder/name.png", 3], ...]}'
_Where = str | os.PathLike


def parse_labels(text: bytes, where: _Where, without: str) -> dict[str, int | list[float]] | None:
    """Reads the content of a dataset.json.

    Args:
      text: its bytes: {"labels": [["folder/name.png", 3], ...]}, with a list of numbers in the place of each class
        number or with none; or the list alone. A dict {"folder/name.png": 3, ...} may take the place of either list.
      where: the file, in messages.
      without: how to do without labels, in messages.

    Returns:
      {name: label}, all of them class numbers or all of them lists; empty if the file says that there are no labels,
      by null or an empty list; None if it says nothing of labels.

    Raises:
      UserError: the file is malformed, or gives a name two labels.
    """
    try:
        content = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        if kind := stand_in(text):
            raise UserError(f'{where}: it is {kind}', remedy=f'get the file itself, or {without}') from error
        raise UserError(f'{where}: not valid JSON ({error})', remedy=f'repair it, or {without}') from error
    if isinstance(content, _Pairs) and 'labels' in (keys := [key for key, _ in content]):
        content = content[keys.index('labels')][1]
    elif not _resembles_labels(content):
        return None
    return _checked_entries(content, where) if content else {}


class _Pairs(list):
    """The (key, value) pairs of an object in JSON: as a dict it would lose all but the last of equal keys."""


def _resembles_labels(content):
    """Says whether JSON that has no "labels" is itself a list or a dict of labels, or says that there are none."""
    if isinstance(content, _Pairs):
        return bool(content) and all(_is_class(label) or _is_vector(label) for _, label in content)
    return content in (None, []) or (
        isinstance(content, list) and isinstance(content[0], list) and isinstance((content[0] or [0])[0], str)
    )


def _is_class(label):
    return type(label) is int


def _is_vector(label):
    return type(label) is list and all(type(number) in (int, float) for number in label)


def _checked_entries(entries, where):
    """Returns (name, label) pairs as a dict if they have the form of labels, and no name has two."""
    if not isinstance(entries, list):
        raise UserError(f'{where}: "labels" is not a list', remedy=_FORM)
    are_pairs = [isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[0], str) for entry in entries]
    if not (all(are_pairs) and all(_is_vector(entry[1]) for entry in entries)):
        for entry, is_pair in zip(entries, are_pairs):
            if not is_pair or not _is_class(entry[1]):
                raise UserError(
                    f'{where}: {json.dumps(entry)[:80]} is not a file name and a class number', remedy=_FORM
                )
    labels = {}
    for name, label in entries:
        if labels.setdefault(name, label) != label:
            raise UserError(f'{where}: {name!r} has two labels, {labels[name]} and {label}', remedy='leave one of them')
    return labels


def match_names(entries: Collection[str], names: Sequence[str], folder: str, root: str) -> dict[str, str]:
    """Finds which entry of a dataset.json means which picture.

    Names that are not the same to the letter are compared without capitals, with forward slashes, without './', and
    in one form of Unicode: zips from other systems differ in these.

    Args:
      entries: the names in the file.
      names: the pictures, relative to the whole set, with forward slashes.
      folder: the folder of the file, relative to the whole set; '' for the top.
      root: the folder that all pictures of the set are in; '' for the top.

    Returns:
      {picture: entry}, without pictures that no entry means.
    """
    found = {}
    loose = None
    # Entries are relative to the file, as the official tool writes them, or else to the whole set or to the pictures.
    for base in dict.fromkeys((folder, '', root)):
        prefix = f'{base}/' if base else ''
        inside = {name: with_slashes(name)[len(prefix) :] for name in names if with_slashes(name).startswith(prefix)}
        matches = {name: relative for name, relative in inside.items() if relative in entries}
        if len(matches) < len(names):
            loose = _unique(entries) if loose is None else loose
            pictures = _unique(inside.values())
            for name, relative in inside.items():
                entry = loose.get(_loosened(relative))
                if name not in matches and entry is not None and pictures[_loosened(relative)] == relative:
                    matches[name] = entry
        if len(matches) > len(found):
            found = matches
        if len(found) == len(names):
            break
    return found


def _loosened(name):
    name = unicodedata.normalize('NFC', with_slashes(name)).casefold()
    return posixpath.normpath(name).lstrip('/')


def _unique(names):
    """Returns {loosened name: name}, with None where several names are the same but for what is loosened."""
    found = {}
    for name in names:
        found[_loosened(name)] = None if found.get(_loosened(name), name) != name else name
    return found


def labels_of_file(
    entries: Mapping[str, int | list[float]],
    matches: Mapping[str, str],
    where: _Where,
    names: Sequence[str],
    without: str,
    label_dim: int = 0,
) -> np.ndarray:
    """Makes the labels of some pictures from those of a dataset.json.

    Args:
      entries: {entry: label}, as `parse_labels` returns them; not empty.
      matches: {picture: entry}, as `match_names` returns them.
      where: the file, in messages.
      names: the pictures.
      without: how to do without labels, in messages.
      label_dim: how many classes there are to be; 0 for as many as the file numbers.

    Returns:
      float32 [len(names), K], one-hot for class numbers.

    Raises:
      UserError: a picture has no label, or labels have numbers that cannot be.
    """
    unlabelled = [name for name in names if name not in matches]
    if unlabelled:
        others = '' if matches else f'; it labels others, such as {next(iter(entries))!r}'
        raise UserError(
            f'{where}: no label for {len(unlabelled)} of {len(names)} images, such as {unlabelled[0]!r}{others}',
            remedy=f'add them, or {without}',
        )
    found = [entries[matches[name]] for name in names]
    if _is_vector(next(iter(entries.values()))):
        lengths = {len(vector) for vector in entries.values()}
        if len(lengths) > 1:
            raise UserError(
                f'{where}: its labels are {min(lengths)} to {max(lengths)} numbers long',
                remedy=f'give all the same length, or {without}',
            )
        return labels_of_array(np.array(found, np.float32), len(names), where, without)
    # Without `label_dim` all entries count, so that some of the pictures have labels as long as all of them have.
    for name, label in zip(names, found) if label_dim else entries.items():
        if label < 0:
            raise UserError(f'{where}: label {label} of {name!r} is negative', remedy='count classes from 0')
    largest = max(entries.values())
    if label_dim:
        for name, label in zip(names, found):
            if label >= label_dim:
                raise UserError(
                    f'{where}: label {label} of {name!r} is not below image.label_dim={label_dim}',
                    remedy=f'the file has {largest + 1} classes: set image.label_dim={largest + 1}',
                )
    elif largest >= len(entries):
        raise UserError(
            f'{where}: it labels {len(entries)} images with classes up to {largest}',
            remedy='number the classes from 0 without gaps',
        )
    return one_hot(found, label_dim or largest + 1)


def root_of(names: Collection[str]) -> str:
    """Returns the folder that all of some files are in, '' for the top."""
    # The first and the last in order differ as early as any two do.
    first, last = ([*name.split('/')[:-1], None] for name in (min(names), max(names)))
    length = next(place for place, (a, b) in enumerate(zip(first, last)) if a is None or a != b)
    return '/'.join(first[:length])


def labels_of_folders(names: Sequence[str], where: _Where) -> tuple[np.ndarray, tuple[str, ...]]:
    """Makes the first folder of each path its class, below the folders that all of them share.

    Args:
      names: relative paths, with forward slashes.
      where: the folder that they are relative to, in messages.

    Returns:
      One-hot labels, float32 [len(names), K], and the names of the folders, sorted.

    Raises:
      UserError: a file is in no folder, or the name of a class cannot be written.
    """
    root, below = below_class_root(names)
    for name, inside in zip(names, below):
        if '/' not in inside:
            raise UserError(
                f'{where}: {name} is in no folder' + f' of {root}' * bool(root) + ', so that it has no class',
                remedy='move it into one, or give labels=none',
            )
    folders = [name.partition('/')[0] for name in below]
    classes = {folder: number for number, folder in enumerate(sorted(set(folders)))}
    for folder in classes:
        try:
            folder.encode()
        except UnicodeEncodeError:  # the system lets names of folders hold any bytes
            raise UserError(
                f'{where}: the name of the folder {folder!r} is not UTF-8, so that its class cannot be named',
                remedy='rename it, or give labels=none',
            ) from None
    return one_hot([classes[folder] for folder in folders], len(classes)), tuple(classes)


def below_class_root(names: Sequence[str]) -> tuple[str, list[str]]:
    """Finds the folder whose folders are classes: the one that all files share, as in a zip of a whole folder.

    Where all files lie in one folder, its own parents are all that there are, so it is the top.

    Returns:
      It, and the names relative to it.
    """
    names = [with_slashes(name) for name in names]
    root = root_of(names)
    start = len(root) + 1 if root else 0
    if not any('/' in name[start:] for name in names):
        root, start = '', 0
    return root, [name[start:] for name in names]


def with_slashes(name: str) -> str:
    """Returns a name with forward slashes; zips that some programs on Windows write have the others."""
    return name.replace('\\', '/')


def described(labels: np.ndarray, names: Sequence[str] | None = None) -> str:
    """Returns a line on labels [N, K], such as '3 classes'; with the classes that no image has."""
    length = labels.shape[1]
    if not length:
        return 'no labels'
    if not np.all((labels == 0) | (labels == 1)):
        return f'labels of {length} numbers'
    kind = 'class' if is_one_hot(labels) else 'attribute'
    text = f'{length} {kind if length == 1 else {"class": "classes"}.get(kind, kind + "s")}'
    if empty := np.flatnonzero(~labels.any(axis=0)).tolist():
        some = [str(names[number]) if names else f'{kind} {number}' for number in empty[:3]]
        text += f', of which {len(empty)} without an image ({", ".join(some)}{", ..." * (len(empty) > 3)})'
    return text


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
