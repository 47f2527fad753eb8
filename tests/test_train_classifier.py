"""The command that trains classifiers, as a user meets it."""

import functools
import json
import os

import numpy as np
import PIL.Image
import pytest

from stylegan_jax import train_classifier
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.feature_networks.classifier import Classifier

SMALL = ('--fmap_base=32', '--fmap_max=8', '--kimg=0.1', '--compilation_cache=none')


@pytest.fixture
def run(run_command):
    return functools.partial(run_command, train_classifier, *SMALL)


@pytest.fixture
def pictures(tmp_path):
    """A folder of 60 pictures of 8x8, dark ones and bright ones, with their classes."""
    random = np.random.default_rng(0)
    (tmp_path / 'pictures').mkdir()
    classes = []
    for index in range(60):
        name, label = f'{index:02d}.png', int(random.integers(2))
        pixels = random.integers(0, 100, (8, 8, 3)) + 150 * label
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / 'pictures' / name)
        classes.append([name, label])
    (tmp_path / 'pictures' / 'dataset.json').write_text(json.dumps({'labels': classes}))
    return 'pictures'


def test_toy_faces(run):
    code, out, err = run('--data=toy_faces', '--count=300', '--resolution=8', '--out=some/toy.npz')
    assert code in (0, None), err
    assert '300 images of 8x8x3 to learn from, 30 held out; 16 attributes, each for itself (sigmoid)' in out
    assert 'facing_left' in out and 'balanced' in out
    assert sorted(os.listdir('some')) == ['toy.json', 'toy.npz']
    classifier, record = Classifier.load('some/toy.npz'), json.load(open('some/toy.json'))
    assert classifier.label_names == toy_faces.ATTRIBUTES and not classifier.config.one_hot
    assert classifier.digest == record['digest'] and f'classifier toy, digest {classifier.digest}' in out
    assert record['data'] == {
        'data': 'toy_faces',
        'signature': 'ToyFaces 330',
        'images_learned_from': 300,
        'images_held_out': 30,
    }
    assert record['training']['images_seen'] == 128 and record['training']['mirror'] is False
    run('--data=toy_faces', '--count=300', '--resolution=8', '--out=again.npz')
    assert Classifier.load('again.npz').digest == classifier.digest
    assert Classifier.load('again.npz').name == 'again'


def test_classes_of_a_folder(run, pictures):
    code, out, err = run(f'--data={pictures}', '--resolution=8', '--out=classes.npz', '--kimg=2', '--lr=0.01')
    assert code in (0, None), err
    assert '54 images of 8x8x3 to learn from, 6 held out; 2 classes, of which an image has one (softmax)' in out
    assert 'right class: 100.0%' in out
    classifier = Classifier.load('classes.npz')
    assert classifier.config.one_hot and classifier.label_names == ('class 0', 'class 1')
    bright = np.full((1, 8, 8, 3), 200, np.uint8)
    assert classifier.logits(bright).argmax() == 1 and classifier.logits(bright // 4).argmax() == 0


def test_a_prepared_set(run, pictures):
    from stylegan_jax.config import ImageConfig
    from stylegan_jax.data.preparing import preparation
    from stylegan_jax.data.sources import open_source

    os.mkdir('set')
    options = preparation.Options(ImageConfig(8, label_dim=2), fit='crop')
    preparation.prepare(open_source(pictures), 'set', options, workers=0)
    code, out, err = run('--data=set', '--out=set.npz')
    assert code in (0, None), err
    assert '54 images of 8x8x3 to learn from' in out
    code, out, err = run('--data=set', '--out=small.npz', '--resolution=4')
    assert '54 images of 4x4x3 to learn from' in out and Classifier.load('small.npz').resolution == 4


@pytest.mark.parametrize(
    'arguments, says',
    [
        (['--out=x.npz'], '--data is missing'),
        (['--data=toy_faces'], '--out is missing'),
        (['--data=toy_faces', '--out=x'], '--out=x: give the name of a file that ends in .npz'),
        (['--data=toy_faces', '--out=pictures/00.png/x.npz'], '--out=pictures/00.png/x.npz: cannot be written'),
        (['--data=toy_faces', '--out=folder.npz'], '--out=folder.npz: cannot be written (it is a folder)'),
        (['--data=nowhere', '--out=x.npz'], '--data=nowhere: there is no such file or folder'),
        (['--data=pictures', '--out=x.npz'], '--resolution is missing'),
        (['--data=toy_faces', '--out=x.npz', '--resolution=20'], 'error: --resolution=20: '),
        (['--data=toy_faces', '--out=x.npz', '--count=20', '--resolution=8'], 'to learn from'),
        (['--data=unlabelled', '--out=x.npz', '--resolution=8'], '--data=unlabelled: the images have no labels'),
        (['--data=toy_faces', '--out=x.npz', '--kimg=nan'], 'kimg=nan'),
        (['--data=toy_faces', '--out=x.npz', '--batch=0'], 'batch=0'),
        (['--data=toy_faces', '--out=x.npz', '--seed=-1'], '--seed'),
        (['--data=toy_faces', '--out=x.npz', '--fmap_max=0', '--count=300', '--resolution=8'], 'fmap_max=0'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_mistakes_are_told_in_one_line(run, pictures, arguments, says):
    os.mkdir('folder.npz')
    os.mkdir('unlabelled')
    for index in range(3):
        os.link(f'pictures/{index:02d}.png', f'unlabelled/{index}.png')
    before = sorted(os.listdir())
    code, _out, err = run(*arguments)
    errors = [line for line in err.splitlines() if line.startswith('error: ')]
    assert code == 2 and len(errors) == 1 and says in errors[0], err
    assert sorted(os.listdir()) == before


def test_a_disk_that_fills_up_is_told_in_one_line(run, pictures, monkeypatch):
    def fail(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Classifier, 'save', fail)
    code, _, err = run('--data=pictures', '--resolution=8', '--out=x.npz')
    assert code == 2 and 'error: --out=x.npz: cannot be written (No space left on device)' in err
