"""How many pictures may be decoded at once."""

import numpy as np
import pytest
from source_files import encode, random_pixels, write_folder

from stylegan_jax.config import DataConfig, ImageConfig
from stylegan_jax.data import source_sample
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.data.pipeline import default_workers
from stylegan_jax.data.sources import open_source
from stylegan_jax.runtime import memory, threads


@pytest.fixture
def source(tmp_path):
    pictures = {f'{index}.png': encode(random_pixels(index, 32, 32)) for index in range(5)}
    return open_source(str(write_folder(tmp_path, pictures | {'large.png': encode(random_pixels(9, 100, 100))})))


@pytest.mark.parametrize('free, expected', [(0, 1), (3.5 * 32 * 100**2, 3)])
def test_the_largest_photo_decides(source, monkeypatch, free, expected):
    monkeypatch.setattr(source_sample, 'available_bytes', lambda: int(free))
    assert source_sample.pictures_at_once(source) == expected


def test_small_pictures_are_not_limited(source):
    assert source_sample.pictures_at_once(source) > 16


def test_a_short_memory_leaves_training_one_reader(source, monkeypatch):
    monkeypatch.setattr(source_sample, 'available_bytes', lambda: 0)
    monkeypatch.setattr(threads, 'MEMORY_BUDGET', 1)
    dataset = open_dataset(DataConfig(path=source.path), ImageConfig(8))
    assert dataset.at_once == 1 and default_workers(dataset) == 1
    assert dataset.images(np.arange(6), 0).shape == (6, 4, 4, 3)


def test_memory_is_that_of_the_container_too(tmp_path, monkeypatch):
    free = memory.available_bytes()
    assert 1 << 20 < free < 1 << 50
    (tmp_path / 'memory.max').write_text(f'{5 << 20}\n')
    (tmp_path / 'memory.current').write_text(f'{2 << 20}\n')
    monkeypatch.setattr(memory, '_GROUP', tmp_path)
    assert memory.available_bytes() == 3 << 20
    (tmp_path / 'memory.max').write_text('max\n')
    assert memory.available_bytes() > 3 << 20
