"""The images of a run in words: how many there are, how many of them are held out, and what labels they have."""

from collections.abc import Sequence

import numpy as np

from stylegan_jax.config import Config
from stylegan_jax.data.held_out import held_out
from stylegan_jax.data.labels import described
from stylegan_jax.data.prepared import is_prepared, read_info


def describe_images(config: Config, labels: np.ndarray, names: Sequence[str] | None) -> str:
    """Returns words such as '40 images (5 of them held out), 2 classes'.

    Args:
      config: of the run.
      labels: float32 [n, K], of the images.
      names: the meaning of the K entries; None if they have no names.

    Raises:
      UserError: no image would be held out, or none would be left.
    """
    images = f'{len(labels):,} image{"s" * (len(labels) > 1)}'
    if held := int(held_out(len(labels), config.data.validation).sum()):
        images += f' ({held:,} of them held out)'
    return f'{images}, {described(labels, names)}{_labels_left_out(config)}'


def _labels_left_out(config):
    """Returns words about the labels of a prepared set that the run does not use; '' if there are none."""
    data = config.data
    if config.image.label_dim or data.source != 'images' or not is_prepared(data.path):
        return ''
    found = read_info(data.path)['image']['label_dim']
    return f' (the set has labels of {found} entries; data.find_labels=True takes them)' if found else ''
