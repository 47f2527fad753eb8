"""Accuracy of a classifier, label by label; and the same as a table for people."""

import typing
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


class LabelAccuracy(typing.NamedTuple):
    """Accuracy of a classifier on one label.

    Attributes:
      name: of the label.
      share: of images that have it.
      accuracy: share of images that it is right about, with and without the label.
      balanced: mean of the accuracies on images with and on images without; guessing reaches 0.5.
    """

    name: str
    share: float
    accuracy: float
    balanced: float


def accuracy_by_label(
    logits: ArrayLike, labels: ArrayLike, *, names: Sequence[str], one_hot: bool
) -> list[LabelAccuracy]:
    """Compares logits with labels.

    Args:
      logits: [N, K].
      labels: [N, K], 0 or 1; each label is there at least once, and missing at least once.
      names: of the K labels.
      one_hot: whether labels exclude one another. The prediction is then the label of the largest logit, and otherwise
        each label whose logit is above 0.

    Returns:
      K of `LabelAccuracy`.
    """
    logits, present = np.asarray(logits), np.asarray(labels) > 0.5
    predicted = np.argmax(logits, axis=1)[:, None] == np.arange(len(names)) if one_hot else logits > 0
    right = predicted == present
    return [
        LabelAccuracy(
            name,
            float(present[:, k].mean()),
            float(right[:, k].mean()),
            float(right[present[:, k], k].mean() + right[~present[:, k], k].mean()) / 2,
        )
        for k, name in enumerate(names)
    ]


def table(accuracies: Sequence[LabelAccuracy]) -> str:
    """Returns a list of `LabelAccuracy` as text, with their means below."""
    width = max(len(entry.name) for entry in accuracies)
    means = LabelAccuracy('mean', *np.mean([entry[1:] for entry in accuracies], axis=0))
    lines = [f'{"":{max(width, 4)}}   have it  accuracy  balanced']
    for entry in (*accuracies, means):
        numbers = '  '.join(f'{100 * number:7.1f}%' for number in entry[1:])
        lines.append(f'{entry.name:{max(width, 4)}}  {numbers}')
    return '\n'.join(lines)
