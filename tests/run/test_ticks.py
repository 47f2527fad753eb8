"""What ticks leave for those who use the checkpoints."""

import json

import numpy as np
import pytest

import tiny_run
from stylegan_jax.config import ImageConfig
from stylegan_jax.run.resume import Start
from stylegan_jax.run.ticks import Ticks


class Labelled:
    """A data set without images."""

    signature = 'labelled'

    def __init__(self, labels, names):
        self.labels, self.label_names = labels, names

    def __len__(self):
        return len(self.labels)


def progress_of(labels, names=None):
    config = tiny_run.run_config(image=ImageConfig(8, label_dim=labels.shape[1]))
    parts = dict.fromkeys(('grid', 'metrics', 'log', 'saving', 'reporting'))
    return json.loads(json.dumps(Ticks(config, '', Labelled(labels, names), Start(None), **parts).progress()))


@pytest.mark.parametrize('names', [None, ['cat', 'dog', 'owl']])
def test_checkpoints_tell_what_labels_mean(names):
    progress = progress_of(np.eye(3, dtype=np.float32)[[1, 2, 2]], names)
    assert progress['labels'] == {'names': names, 'classes': [1, 2], 'examples': []}


def test_checkpoints_of_runs_without_labels_are_as_before():
    assert progress_of(np.zeros((3, 0), np.float32)).keys() == {'tick', 'tick_nimg', 'seconds', 'images', 'data'}
