"""What ticks leave for those who use the checkpoints."""

import json

import numpy as np
import pytest

import tiny_run
from stylegan_jax.config import ImageConfig, LogConfig
from stylegan_jax.run.resume import Start
from stylegan_jax.run.ticks import Ticks, _fakes_name


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


@pytest.mark.parametrize(
    'tick_kimg, nimg, previous, name',
    [
        (1.0, 160_000, 159_000, 'fakes000160.png'),
        (1.0, 160_500, 160_000, 'fakes000160500.png'),  # the last tick
        (1.0, 500, None, 'fakes000000.png'),
        (0.5, 160_000, 159_500, 'fakes000160000.png'),
    ],
)
def test_no_two_pictures_have_one_name(tick_kimg, nimg, previous, name):
    config = tiny_run.run_config(log=LogConfig(tick_kimg=tick_kimg, tick_kimg_by_resolution={}))
    assert _fakes_name(config, nimg, previous) == name
