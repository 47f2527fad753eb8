"""What labels are."""

import numpy as np
import pytest

from stylegan_jax.data.labels import is_one_hot, one_hot


def test_class_numbers_become_one_hot_labels():
    labels = one_hot([2, 0], 3)
    assert labels.dtype == np.float32 and labels.tolist() == [[0, 0, 1], [1, 0, 0]] and is_one_hot(labels)


@pytest.mark.parametrize(
    'labels', [np.zeros((2, 0)), [[0, 1], [0, 0]], [[0, 1], [1, 1]], [[0.5, 0.5], [0, 1]], [[2, -1], [0, 1]]]
)
def test_other_labels_are_not_one_hot(labels):
    assert is_one_hot(np.array(labels, np.float32)) is False
