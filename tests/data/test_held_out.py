"""Images that are held out of training."""

import numpy as np
import pytest

import tiny_run
from stylegan_jax.config import DataConfig, ImageConfig
from stylegan_jax.config.schedule import Iterations
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.data.held_out import held_out
from stylegan_jax.data.pipeline import Batches, indices_at
from stylegan_jax.errors import UserError


def test_the_share_is_kept_and_nothing_depends_on_the_number_of_images():
    held = held_out(100_000, 0.05)
    assert abs(held.mean() - 0.05) < 0.003
    assert np.array_equal(held[:1000], held_out(1000, 0.05))
    assert np.all(held_out(100_000, 0.1)[held]) and not held_out(100, 0).any()


def test_the_hash_is_splitmix64():
    """Its first outputs are 0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f, 0xf88bb8a8724c81ec."""
    for limit, expected in ((0x06C5 / 2**16, [2]), (0x6E79 / 2**16, [1, 2]), (0xE221 / 2**16, [0, 1, 2])):
        assert np.flatnonzero(held_out(4, limit)).tolist() == expected
    assert not held_out(4, 0x06C6 / 2**16)[3]


@pytest.mark.parametrize('count, share, message', [(10, 0.001, 'none would be held out'), (3, 0.99, 'no image')])
def test_there_must_be_images_of_both_kinds(count, share, message):
    with pytest.raises(UserError, match=message):
        held_out(count, share)


def test_training_shows_every_other_image_once_an_epoch():
    config = tiny_run.run_config()
    dataset = open_dataset(DataConfig(source='toy_faces', count=40), ImageConfig(8, label_dim=16))
    held = held_out(40, 0.2)
    used = np.flatnonzero(~held)
    with_all = list(Batches(dataset, Iterations(config, 0, 0), 3, workers=0))
    without = list(Batches(dataset, Iterations(config, 0, 0), 3, workers=0, validation=0.2))
    labels, expected = (np.concatenate([batch.labels for batch in batches]) for batches in (without, with_all))
    order = used[indices_at(3, 0, len(labels), len(used))]
    assert np.array_equal(labels, dataset.labels[order])
    assert sorted(order[: len(used)]) == used.tolist()
    assert np.array_equal(expected, dataset.labels[indices_at(3, 0, len(labels), 40)])  # 0 changes nothing
    g_labels = np.concatenate([batch.g_labels for batch in without])
    assert {row.tobytes() for row in g_labels} <= {row.tobytes() for row in dataset.labels[used]}
