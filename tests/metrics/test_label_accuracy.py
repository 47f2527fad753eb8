"""Accuracies by label."""

import numpy as np

from stylegan_jax.metrics.label_accuracy import LabelAccuracy, accuracy_by_label, table

LABELS = np.array([[1, 0], [1, 1], [1, 0], [0, 0]], np.float32)


def test_attributes_are_there_above_zero():
    logits = np.array([[2, -1], [0.1, -3], [-1, -0.1], [-5, 4]])
    assert accuracy_by_label(logits, LABELS, names=('a', 'b'), one_hot=False) == [
        LabelAccuracy('a', 0.75, 0.75, (2 / 3 + 1) / 2),
        LabelAccuracy('b', 0.25, 0.5, (0 + 2 / 3) / 2),
    ]


def test_the_class_is_the_largest_logit():
    logits = np.array([[-3, -1, -2], [5, 4, 3], [-1, 7, 9], [2, 1, 0]])
    entries = accuracy_by_label(logits, np.eye(3)[[1, 0, 1, 2]], names=('a', 'b', 'c'), one_hot=True)
    assert [entry.accuracy for entry in entries] == [0.75, 0.75, 0.5]
    assert [entry.balanced for entry in entries] == [(1 + 2 / 3) / 2, (0.5 + 1) / 2, (0 + 2 / 3) / 2]


def test_table():
    text = table([LabelAccuracy('hat', 0.25, 0.9, 0.8), LabelAccuracy('facing_left', 0.5, 1.0, 1.0)])
    assert text.splitlines() == [
        '              have it  accuracy  balanced',
        'hat             25.0%     90.0%     80.0%',
        'facing_left     50.0%    100.0%    100.0%',
        'mean            37.5%     95.0%     90.0%',
    ]
