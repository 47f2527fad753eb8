"""What the labels of a data set mean, as networks that are trained on it keep it."""

from __future__ import annotations

import os
import typing
from collections.abc import Sequence

import numpy as np

from stylegan_jax.config import Config, serialization
from stylegan_jax.config.label_meaning import LabelMeaning, num_examples
from stylegan_jax.data.labels import is_one_hot
from stylegan_jax.data.prepared import LABELS, is_prepared, names_of_labels, read_info
from stylegan_jax.data.sources.base import TRAINING
from stylegan_jax.data.sources.opening import open_source
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.errors import UserError


def meaning_of_labels(labels: np.ndarray, names: Sequence[str] | None) -> LabelMeaning | None:
    """Describes the labels of a data set.

    Args:
      labels: float32 [N, K].
      names: of the K entries, or None.

    Returns:
      A LabelMeaning; None without labels.
    """
    if not labels.size:
        return None
    if is_one_hot(labels):
        return LabelMeaning(names, tuple(np.flatnonzero(labels.any(axis=0))))
    return LabelMeaning(names, None, labels[: num_examples(labels.shape[1])].tolist())


def meaning_of_run(workdir: str | os.PathLike, label_dim: int) -> LabelMeaning | None:
    """Describes the labels of a run whose checkpoints do not tell, by looking at its data set once more.

    Args:
      workdir: the run's folder.
      label_dim: K.

    Returns:
      A LabelMeaning; None where the data set is not there any more, or has other labels.
    """
    try:
        with open(os.path.join(workdir, 'config.json')) as file:
            data = serialization.from_json(Config, file.read()).data
        labels, names = _labels_of(data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, UserError):
        return None
    return meaning_of_labels(labels, names) if labels.shape[1] == label_dim else None


def _labels_of(data) -> tuple[np.ndarray, typing.Sequence[str] | None]:
    """Returns (labels, names) of the images of a DataConfig; no image is read."""
    if data.source == 'toy_faces':
        count = num_examples(len(toy_faces.ATTRIBUTES))
        return np.stack([toy_faces.attributes(index) for index in range(count)]), toy_faces.ATTRIBUTES
    if is_prepared(data.path):
        labels = np.load(os.path.join(os.path.expanduser(data.path), LABELS), allow_pickle=False)
        return labels[: data.count or None], names_of_labels(read_info(data.path))
    source = open_source(data.path, count=data.count, settings=TRAINING)
    return source.labels, getattr(source, 'class_names', source.label_names)
