"""A few lines about any file."""

import dataclasses
import pathlib

import numpy as np
import pytest

import reference_case
import stylegan_jax as sgj
import tiny
from stylegan_jax import conversion
from stylegan_jax.config import ImageConfig
from stylegan_jax.config.label_meaning import LabelMeaning
from stylegan_jax.conversion import forms
from stylegan_jax.storage import safetensors_file


def parameters(tree):
    return sum(map(parameters, tree.values())) if hasattr(tree, 'values') else np.size(tree)


def test_the_network_that_comes_with_the_package():
    network = sgj.load('toyfaces')
    first, images, ema, D = conversion.describe('toyfaces')
    assert first.startswith('toyfaces: a network that comes with the package, ') and first.endswith(' MB')
    assert images == 'images: 32x32, RGB, no labels; trained on 133,072 images, at 32x32'
    assert ema.startswith('ema: generator (StyleGAN), z 128, w 128 after 4 layers, 8 layers of synthesis, ')
    assert f'{parameters(network.params):,} parameters' in ema and D.startswith('D: discriminator (StyleGAN), ')


def test_an_official_pickle():
    first, images, *networks = conversion.describe(reference_case.pickle_path('a32'))
    assert ': an official pickle, ' in first and 'length of training not known' in images
    assert [line.partition(' (Progressive GAN)')[0] for line in networks] == [
        'ema: generator', 'G: generator', 'D: discriminator'
    ]  # fmt: skip


def test_a_file_with_labels_in_the_middle_of_a_fade(tmp_path):
    network = tiny.generator(tiny.generator_config(image=ImageConfig(8, channels=1, label_dim=3)))
    network = dataclasses.replace(network, label_meaning=LabelMeaning(('cat', 'dog', 'owl'), (0, 2)))
    safetensors_file.write(tmp_path / 'network', {'ema': network}, lod=0.25, nimg=48)
    first, images, _ = conversion.describe(tmp_path / 'network')
    assert first.startswith(f'{tmp_path}/network: a .safetensors file, ')
    assert images == (
        'images: 8x8, grey, labels of 3 (cat, dog, owl); trained on 48 images, at 8x8 (level of detail 0.25, in a fade)'
    )


def test_a_saved_discriminator_and_one_with_many_labels(tmp_path):
    config = tiny.discriminator_config(image=ImageConfig(8, label_dim=3))
    tiny.discriminator(config).save(tmp_path / 'D.npz')
    first, images, network = conversion.describe(tmp_path / 'D.npz')
    assert 'a saved network (.npz)' in first and 'labels of 3;' in images and network.startswith('D: discriminator')


def test_files_that_nothing_reads_back_describe_themselves(tmp_path, monkeypatch):
    form = forms.program_form('x', 'a program', '.x', None, None, bounds={}, describe=lambda path: ['takes z'])
    monkeypatch.setitem(forms.FORMS, 'x', form)
    (tmp_path / 'file.x').write_bytes(bytes(2000))
    assert conversion.describe(tmp_path / 'file.x') == [f'{tmp_path}/file.x: a program, 0.002 MB', 'takes z']
    with pytest.raises(sgj.UserError, match='other.x: no such file'):
        conversion.describe(tmp_path / 'other.x')


def test_other_files_are_named(tmp_path):
    (tmp_path / 'picture').write_bytes(b'\x89PNG\r\n\x1a\n' + bytes(100))
    with pytest.raises(sgj.UserError, match=r'this is a picture \(PNG\)'):
        conversion.describe(tmp_path / 'picture')
    classifier = pathlib.Path(sgj.__file__).parent / 'feature_networks' / 'toy-faces-classifier.npz'
    with pytest.raises(sgj.UserError, match="this file holds a classifier, and 'ema' was asked for"):
        conversion.describe(classifier)
    with pytest.raises(sgj.UserError, match="this file holds a classifier, and 'ema' was asked for"):
        conversion.convert(classifier, tmp_path / 'all.safetensors', which='all')
