"""How often a classifier is right, label by label; and the same as a table for people."""

import typing

import numpy as np

from stylegan_jax.data.labels import one_hot as one_hot_labels


class LabelAccuracy(typing.NamedTuple):
    """How a classifier does on one label.

    Attributes:
      name: of the label.
      share: of images that have it.
      accuracy: share of images that it is right about, with and without the label.
      balanced: mean of the accuracies on images with and on images without; 0.5 is what guessing gives.
    """

    name: str
    share: float
    accuracy: float
    balanced: float


def accuracy_by_label(logits, labels, *, names, one_hot):
    """Compares logits with labels.

    Args:
      logits: [N, K].
      labels: [N, K], 0 or 1; each label is there at least once, and missing at least once.
      names: of the K labels.
      one_hot: whether labels exclude one another; the largest logit is then the answer, else each above 0.

    Returns:
      K of `LabelAccuracy`.
    """
    has = np.asarray(labels) > 0.5
    says = one_hot_labels(np.argmax(logits, axis=1), len(names)) > 0.5 if one_hot else np.asarray(logits) > 0
    right = says == has
    return [
        LabelAccuracy(
            name,
            float(has[:, k].mean()),
            float(right[:, k].mean()),
            float(right[has[:, k], k].mean() + right[~has[:, k], k].mean()) / 2,
        )
        for k, name in enumerate(names)
    ]


def table(accuracies):
    """Returns a list of `LabelAccuracy` as text, with their means below."""
    width = max(len(entry.name) for entry in accuracies)
    means = LabelAccuracy('mean', *np.mean([entry[1:] for entry in accuracies], axis=0))
    lines = [f'{"":{max(width, 4)}}   have it  accuracy  balanced']
    for entry in (*accuracies, means):
        numbers = '  '.join(f'{100 * number:7.1f}%' for number in entry[1:])
        lines.append(f'{entry.name:{max(width, 4)}}  {numbers}')
    return '\n'.join(lines)
