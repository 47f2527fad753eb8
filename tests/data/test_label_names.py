"""Names of classes from the folders of their images."""

import numpy as np
import pytest

from stylegan_jax.data.label_names import names_of_folders


@pytest.mark.parametrize(
    'files, classes, expected',
    [
        (['cat/1.png', 'cat/2.png', 'dog/1.png'], [1, 1, 0], ('dog', 'cat')),
        (['all/cat/1.png', 'all/dog/1.png'], [0, 1], ('cat', 'dog')),
        (['a/x/1.png', 'b/x/1.png'], [0, 1], ('a/x', 'b/x')),  # the last folders are the same
        (['cat/1.png', 'dog/1.png', 'dog/2.png'], [0, 1, 0], None),  # a folder of two classes
        (['cat/1.png', 'dog/1.png'], [0, 0], None),  # a class in two folders
        (['1.png', 'dog/1.png'], [0, 1], None),
        (['cat/1.png', 'dog/1.png'], [0, 2], None),  # class 1 has no images, and so no name
        (['cat/1.png'], None, None),
    ],
)
def test_names_are_those_of_folders_where_each_class_has_its_own(files, classes, expected):
    labels = np.zeros((len(files), 0)) if classes is None else np.eye(max(classes) + 1)[classes]
    assert names_of_folders(files, labels.astype(np.float32)) == expected


def test_labels_that_are_no_classes_have_no_names():
    assert names_of_folders(['a/1.png', 'b/1.png'], np.float32([[0.5, 0], [0, 1]])) is None
