"""What labels mean: as plain values and back, whatever a file holds."""

import json

import pytest

from stylegan_jax.config.label_meaning import LabelMeaning, meaning_of, num_examples

CLASSES = LabelMeaning(('cat', 'dog', 'owl'), (1, 2))
VECTORS = LabelMeaning(None, None, ((0.0, 0.5), (1.0, 0.0)))


@pytest.mark.parametrize('meaning, label_dim', [(CLASSES, 3), (VECTORS, 2)])
def test_a_meaning_survives_json_and_can_be_hashed(meaning, label_dim):
    found = meaning_of(json.loads(json.dumps(meaning.to_dict())), label_dim)
    assert found == meaning and hash(found) == hash(meaning)


@pytest.mark.parametrize(
    'value',
    [
        None,
        'text',
        {},
        {'names': ['a'], 'classes': [0]},
        {'classes': [3]},
        {'classes': [-1]},
        {'examples': [[1.0]]},
        {'classes': 5},
        {'examples': [['x', 'y', 'z']]},
    ],
)
def test_a_value_that_does_not_fit_is_no_meaning(value):
    assert meaning_of(value, 3) is None


def test_networks_without_labels_have_no_meaning():
    assert meaning_of(CLASSES.to_dict(), 0) is None


def test_fewer_examples_are_kept_of_longer_labels():
    assert [num_examples(label_dim) for label_dim in (1, 64, 512, 10_000)] == [64, 64, 8, 1]
