"""Names of classes whose numbers alone are written down."""

from collections.abc import Sequence

import numpy as np

from stylegan_jax.data.labels import is_one_hot


def names_of_folders(files: Sequence[str], labels: np.ndarray) -> tuple[str, ...] | None:
    """Returns names for classes whose images are in a folder each, where a file of labels has numbers alone.

    Args:
      files: relative paths of the images, with forward slashes.
      labels: float32 [N, K], one-hot.

    Returns:
      The name of the folder of each class, K in all; None unless every class has images, in a folder of its own.
    """
    if not labels.size or not is_one_hot(labels):
        return None
    pairs = {(int(number), name.rpartition('/')[0]) for name, number in zip(files, np.argmax(labels, axis=1))}
    folders = [folder for _, folder in sorted(pairs)]
    if len(pairs) != labels.shape[1] or len(set(folders)) < len(folders) or not all(folders):
        return None
    short = [folder.rpartition('/')[2] for folder in folders]
    return tuple(short if len(set(short)) == len(short) else folders)
