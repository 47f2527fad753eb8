"""What a dry run looks at; the mistakes themselves are tested with the command (tests/test_main.py)."""

import dataclasses
import os

import pytest

import tiny
import tiny_run
from stylegan_jax.config import DataConfig, TrainConfig
from stylegan_jax.data.dataset import DataOpener
from stylegan_jax.errors import UserError
from stylegan_jax.run import refusals
from stylegan_jax.storage.checkpoint import Checkpoints

DATA = DataConfig(source='toy_faces', count=40)


def look(workdir='nowhere', **fields):
    config = tiny_run.run_config(**{'data': DATA} | fields)
    return refusals.look(config, workdir, DataOpener(config.data))


def test_nothing_is_written(tmp_path):
    assert look(tmp_path / 'run') == '40 images'
    assert os.listdir(tmp_path) == []


def test_no_image_would_be_held_out():
    with pytest.raises(UserError, match='of 4 images none would be held out'):
        look(data=dataclasses.replace(DATA, count=4, validation=0.001))


def test_metrics_need_images_and_a_size():
    with pytest.raises(UserError, match='fd_toy50 needs 50 real images, and the data set has 40'):
        look(metrics='fd_toy50')
    with pytest.raises(UserError, match='this classifier takes'):  # images of 32x32, and the run's are 8x8
        look(metrics='fd_toy40')
    with pytest.raises(UserError, match='this classifier takes'):  # also where no images are named
        look(metrics='fd_toy40', data=DataConfig())


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    config = tiny_run.run_config(data=DATA)
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(24, tiny.state(config), config, {})
    checkpoints.wait()
    checkpoints.close()
    assert look(tmp_path) == f'40 images\nthe run in {tmp_path} goes on at 0.0 kimg'
    with pytest.raises(UserError, match="init_from='nowhere': .* says init_from=''; choose"):
        look(tmp_path, init_from='nowhere')
    assert os.listdir(tmp_path) == ['checkpoints']
    lines = look(init_from=str(tmp_path)).splitlines()
    assert len(lines) == 3 and lines[1].startswith('G and ema: all ') and lines[2].startswith('D: all ')


def test_init_from_lists_what_is_not_taken_over(tmp_path):
    path = str(tmp_path / 'G.npz')
    tiny.generator(tiny_run.run_config().generator).save(path)
    assert 'D: not in the file, fresh' in look(init_from=path).splitlines()
    with pytest.raises(UserError, match='has no discriminator'):
        look(init_from=path, train=TrainConfig(freeze_d=1))
