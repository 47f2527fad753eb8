"""Folders for model hubs: a card that says what is known, and whose example runs."""

import dataclasses
import json
import os
import re

import numpy as np
import PIL.Image
import pytest
import yaml

import stylegan_jax as sgj
import tiny
import tiny_run
from stylegan_jax import conversion, generate
from stylegan_jax.config import ImageConfig
from stylegan_jax.config.label_meaning import LabelMeaning
from stylegan_jax.sampling import grid
from stylegan_jax.storage.checkpoint import Checkpoints

FILES = ['README.md', 'config.json', 'model.safetensors', 'samples.png']
THREE = ImageConfig(8, label_dim=3)
NUMBERS = LabelMeaning(None, None, ((0.5, 1.0, 0.0), (0.0, 0.25, 1.0)))


def saved(tmp_path, image, letter='F', meaning=None, **fields):
    network = tiny.generator(tiny.generator_config(letter, image=image, **fields))
    path = str(tmp_path / 'network.npz')
    dataclasses.replace(network, label_meaning=meaning).save(path)
    return path


def card_of(folder):
    """(the settings at the top, the text, the example) of a model card."""
    text = (folder / 'README.md').read_text()
    _, head, body = text.split('---\n', 2)
    return yaml.safe_load(head), body, re.search(r'```python\n(.*?)```', body, re.DOTALL)[1]


@pytest.mark.parametrize(
    ('image', 'letter', 'meaning'),
    [
        (ImageConfig(8), 'F', None),
        (THREE, 'F', None),
        (THREE, 'F', LabelMeaning(('cat', 'dog', 'owl'), (0, 2))),
        (THREE, 'F', NUMBERS),
        (ImageConfig(8, channels=1), 'B', None),
        (ImageConfig(8, channels=4), 'F', None),
        (ImageConfig(8, channels=2), 'F', None),
        (ImageConfig(16, base_shape=(3, 4)), 'F', None),
        (THREE, 'A', None),
    ],
    ids=['colour', 'labels', 'classes', 'numbers', 'grey', 'opacity', 'two', 'wide', 'progan'],
)
def test_the_example_of_the_card_runs(tmp_path, monkeypatch, image, letter, meaning):
    conversion.convert(saved(tmp_path, image, letter, meaning), tmp_path / 'hub', form='hub', lod=1.0)
    assert sorted(os.listdir(tmp_path / 'hub')) == FILES
    _, _, example = card_of(tmp_path / 'hub')
    assert len(example.splitlines()) == 10
    monkeypatch.chdir(tmp_path / 'hub')
    exec(compile(example, 'README.md', 'exec'), {})
    for number in range(4):
        with PIL.Image.open(f'picture{number}.png') as picture:
            assert picture.size == image.stage_shape(image.num_stages - 2)[::-1]
            assert picture.mode == {1: 'L', 2: 'L', 3: 'RGB', 4: 'RGBA'}[image.channels]


def test_the_card_says_what_is_known_and_marks_what_is_not(tmp_path):
    conversion.convert('toyfaces', tmp_path / 'hub', form='hub', which='all')
    head, body, _ = card_of(tmp_path / 'hub')
    assert head['library_name'] == 'stylegan_jax' and head['license'] == 'unknown' and head['datasets'] == ['FILL-IN']
    assert head['pipeline_tag'] == 'unconditional-image-generation' and 'stylegan' in head['tags']
    assert body.count('FILL IN') == 2 and '133,072 real images' in body and '32x32 pixels' in body
    assert '(`ema`)' in body and '(`D`)' in body and '(`G`)' not in body and 'None were measured.' in body
    settings = json.loads((tmp_path / 'hub' / 'config.json').read_text())
    assert settings['networks'].keys() == {'ema', 'D'} and settings['images_shown'] == 133072
    assert conversion.describe(tmp_path / 'hub')[0].startswith(f'{tmp_path}/hub: a folder for a hub, ')
    assert tiny.trees_equal(sgj.load(tmp_path / 'hub'), sgj.load('toyfaces'))
    assert tiny.trees_equal(sgj.load(tmp_path / 'hub', 'D'), sgj.load('toyfaces', 'D'))


def test_the_picture_has_the_images_that_generate_makes(tmp_path, run_command):
    conversion.convert('toyfaces', tmp_path / 'hub', form='hub')
    with PIL.Image.open(tmp_path / 'hub' / 'samples.png') as picture:
        shown = np.asarray(picture)
    assert not run_command(generate, '--network=hub', '--outdir=out', '--seeds=0-31', '--precision=float32')[0]
    images = []
    for seed in range(32):
        with PIL.Image.open(tmp_path / 'out' / f'seed{seed:04d}.png') as picture:
            images.append(np.asarray(picture))
    assert np.abs(shown.astype(int) - grid.image_grid(np.stack(images), 8)).max() <= 1


def save_checkpoint(workdir, nimg):
    config = tiny_run.run_config()
    checkpoints = Checkpoints(workdir, keep=5)
    checkpoints.save(nimg, tiny.state(config), config, {})
    checkpoints.wait()
    checkpoints.close()


def test_metrics_of_a_run_are_those_of_its_checkpoint(tmp_path):
    save_checkpoint(tmp_path / 'run', 96)
    lines = [
        {'metric': name, 'value': value, 'nimg': nimg}
        for nimg, value in ((64, 5.0), (96, 3.25), (128, 1.0))
        for name in ('fid10k', 'kid10k')
    ]
    lines.append({'metric': 'fid10k', 'value': 3.5, 'nimg': 96})  # measured once more
    lines.insert(0, {'metric': 'fid10k', 'value': 7.5, 'nimg': 96, 'psi': 0.7})  # in another way
    lines.append({'metric': 'fid10k', 'value': 9.5, 'nimg': 96, 'which': 'G'})  # of another network
    (tmp_path / 'run' / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    conversion.convert(tmp_path / 'run', tmp_path / 'hub', form='hub')
    _, body, _ = card_of(tmp_path / 'hub')
    assert '| fid10k | 3.5 | 96 |' in body and '| kid10k | 3.25 | 96 |' in body
    assert '| fid10k (psi=0.7) | 7.5 | 96 |' in body and '9.5' not in body
    assert ' 64 |' not in body and ' 128 |' not in body and 'shown 96 real images' in body


def test_a_discriminator_alone_makes_no_card(tmp_path):
    with pytest.raises(sgj.UserError, match='which=D: the form hub shows images'):
        conversion.convert('toyfaces', tmp_path / 'hub', form='hub', which='D')
    assert not os.listdir(tmp_path)
