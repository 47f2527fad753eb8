"""What a dry run looks at; the mistakes themselves are tested with the command (tests/test_main.py)."""

import contextlib
import dataclasses
import errno
import json
import os
import subprocess
import sys

import pytest
from source_files import encode, random_pixels, write_folder

import tiny
import tiny_run
from stylegan_jax.config import DataConfig, ImageConfig, TrainConfig
from stylegan_jax.data import fitted_pictures
from stylegan_jax.data.dataset import DataOpener
from stylegan_jax.errors import UserError
from stylegan_jax.run import refusals
from stylegan_jax.storage.checkpoint import Checkpoints

DATA = DataConfig(source='toy_faces', count=40)


IMAGES = '40 images, no labels'


def look(workdir='nowhere', **fields):
    config = tiny_run.run_config(**{'data': DATA} | fields)
    opener = DataOpener(config.data)
    return refusals.look(refusals.with_found_labels(config, workdir, opener), workdir, opener)


def test_nothing_is_written(tmp_path):
    assert look(tmp_path / 'run') == ([IMAGES], 0, False)
    assert os.listdir(tmp_path) == []


def test_what_was_looked_at_is_said(tmp_path, monkeypatch):
    files = {f'{number}.png': encode(random_pixels(number)) for number in range(9)} | {'0.png': b'text'}
    files['dataset.json'] = json.dumps({'labels': [[f'{number}.png', number % 2] for number in range(9)]}).encode()
    data = DataConfig(path=str(write_folder(tmp_path, files)), find_labels=True, max_skipped=0.2)
    assert look(data=data).lines == ['8 images, 2 classes; all pictures were decoded']
    monkeypatch.setattr(fitted_pictures, '_DECODED', 4)
    seen = 'of 9 pictures the sizes of 9 and the pixels of 4 were looked at'
    assert look(data=data).lines == [f'at most 8 images, 2 classes; {seen}']


def test_a_run_that_does_not_reach_its_size(tmp_path):
    """It says so unless it is at its end."""
    short = {'train': TrainConfig(total_kimg=0.04)}
    line = 'the run ends in the fade to 8x8, after 0.04 kimg; 8x8 is complete after 0.064 kimg'
    assert look(tmp_path, **short).lines == [IMAGES, line]
    save(tmp_path, 48)
    assert len(look(tmp_path, **short).lines) == 2 and line not in look(tmp_path, **short).lines


def test_no_image_would_be_held_out():
    with pytest.raises(UserError, match='of 4 images none would be held out'):
        look(data=dataclasses.replace(DATA, count=4, validation=0.001))


def test_metrics_need_images_and_a_size():
    with pytest.raises(UserError, match='kid50 needs 50 real images, and the data set has 40'):
        look(metrics='kid50')
    with pytest.raises(UserError, match='this classifier takes'):  # images of 32x32, and the run's are 8x8
        look(metrics='fd_toy40')
    with pytest.raises(UserError, match='this classifier takes'):  # also where no images are named
        look(metrics='fd_toy40', data=DataConfig())


def save(folder, *numbers_of_images, **fields):
    config = tiny_run.run_config(**{'data': DATA} | fields)
    with contextlib.closing(Checkpoints(folder, keep=len(numbers_of_images))) as checkpoints:
        for nimg in numbers_of_images:
            checkpoints.save(nimg, tiny.state(config), config, {})
            checkpoints.wait()


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    save(tmp_path, 24)
    assert look(tmp_path) == ([IMAGES, f'the run in {tmp_path} goes on at 0.024 kimg'], 24, False)
    with pytest.raises(UserError, match="init_from='nowhere': .* says init_from=''; choose"):
        look(tmp_path, init_from='nowhere')
    assert os.listdir(tmp_path) == ['checkpoints']
    lines = look(init_from=str(tmp_path)).lines
    assert len(lines) == 3 and lines[1].startswith('G and ema: all ') and lines[2].startswith('D: all ')


def test_a_labelled_run_goes_on_though_its_images_are_elsewhere(tmp_path):
    """Its checkpoint says how long the labels are that would be found."""
    data = DataConfig(find_labels=True)
    save(tmp_path, 24, data=data, image=ImageConfig(8, label_dim=3))
    assert look(tmp_path, data=data).nimg == 24
    config = tiny_run.run_config(data=data)
    assert refusals.with_found_labels(config, tmp_path, DataOpener(data)).image.label_dim == 3
    assert refusals.with_found_labels(config, tmp_path / 'new', DataOpener(data)).image.label_dim == 0
    with pytest.raises(UserError, match='image.label_dim: 3 in the checkpoint, 0 now'):
        look(tmp_path, data=DataConfig(find_labels=False))


def test_a_run_that_is_at_its_end(tmp_path):
    save(tmp_path, 160)
    line = f'nothing to do: {tmp_path} has reached 0.16 kimg before, and the run ends at 0.16'
    assert look(tmp_path) == ([IMAGES, line], 160, True)
    longer = look(tmp_path, train=TrainConfig(total_kimg=0.17))
    assert longer == ([IMAGES, f'the run in {tmp_path} goes on at 0.16 kimg'], 160, False)


def test_damaged_checkpoints_are_named_and_stay_where_they_are(tmp_path):
    save(tmp_path, 24, 32)
    empty(tmp_path / 'checkpoints' / '32' / 'state')
    damaged, goes_on = look(tmp_path).lines[1:]
    assert damaged.startswith(f'{tmp_path}/checkpoints/32: this checkpoint cannot be read (')
    assert damaged.endswith('); the one before it is used') and goes_on.endswith(' goes on at 0.024 kimg')
    assert sorted(os.listdir(tmp_path / 'checkpoints')) == ['24', '32'] and os.listdir(tmp_path) == ['checkpoints']
    empty(tmp_path / 'checkpoints' / '24' / 'state')
    with pytest.raises(UserError, match='None is left to go on from'):
        look(tmp_path)


def empty(folder):
    for path in folder.rglob('*'):
        if path.is_file():
            os.truncate(path, 0)


def test_a_run_whose_checkpoints_were_all_set_aside_is_refused(tmp_path):
    (tmp_path / 'damaged-checkpoints').mkdir()
    with pytest.raises(UserError, match=r'^workdir=.*: the checkpoints of this run are gone, but for damaged ones'):
        look(tmp_path)


def test_checkpoints_that_the_system_does_not_let_be_read(tmp_path, monkeypatch):
    save(tmp_path, 24)

    def restore(*_):
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr(Checkpoints, 'restore', restore)
    message = r'^workdir=.*: its checkpoints cannot be used \(Permission denied\); choose another folder'
    with pytest.raises(UserError, match=message):
        look(tmp_path)


def test_a_folder_without_checkpoints_is_that_of_a_new_run(tmp_path):
    (tmp_path / 'log.txt').touch()
    assert look(tmp_path) == ([IMAGES], 0, False)
    (tmp_path / 'log.jsonl').write_text('{"nimg": 8000}\n')
    lost = f'the log in {tmp_path} goes to 8 kimg, but there is no checkpoint: the run begins anew'
    assert look(tmp_path) == ([IMAGES, lost], 0, False)


def test_a_new_run_does_not_wait_for_orbax_to_be_imported(tmp_path):
    code = (
        'import sys\n'
        'from stylegan_jax.config import Config, DataConfig\n'
        'from stylegan_jax.data.dataset import DataOpener\n'
        'from stylegan_jax.run import refusals\n'
        "config = Config(data=DataConfig(source='toy_faces', count=40))\n"
        f'assert refusals.look(config, {str(tmp_path / "run")!r}, DataOpener(config.data))\n'
        "sys.exit('orbax' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_init_from_lists_what_is_not_taken_over(tmp_path):
    path = str(tmp_path / 'G.npz')
    tiny.generator(tiny_run.run_config().generator).save(path)
    assert 'D: not in the file, fresh' in look(init_from=path).lines
    with pytest.raises(UserError, match='has no discriminator'):
        look(init_from=path, train=TrainConfig(freeze_d=1))
