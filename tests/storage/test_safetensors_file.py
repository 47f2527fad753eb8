"""Networks as .safetensors: byte for byte back, and files that are something else cost nothing."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import stylegan_jax as sgj
import tiny
from stylegan_jax.config import ImageConfig
from stylegan_jax.config.label_meaning import LabelMeaning
from stylegan_jax.storage import loading, safetensors_file
from stylegan_jax.storage.places import FOLDER

IMAGES = {
    'colour': ImageConfig(8),
    'labels': ImageConfig(8, label_dim=3),
    'grey': ImageConfig(8, channels=1),
    'wide': ImageConfig(16, base_shape=(3, 4)),
}


def networks(image=IMAGES['colour'], letter='F'):
    generator = tiny.generator(tiny.generator_config(letter, image=image))
    return {
        'ema': generator,
        'G': tiny.filled(generator, seed=2),
        'D': tiny.discriminator(tiny.discriminator_config(letter, image=image)),
    }


@pytest.mark.parametrize('letter', 'AF')
@pytest.mark.parametrize('image', IMAGES)
def test_networks_come_back_byte_for_byte(tmp_path, image, letter):
    written = networks(IMAGES[image], letter)
    safetensors_file.write(tmp_path / 'all.safetensors', written, lod=0.5, nimg=1234)
    stored = loading.open_networks(tmp_path / 'all.safetensors')
    assert (stored.names, stored.lod, stored.nimg) == (('ema', 'G', 'D'), 0.5, 1234)
    for which, network in written.items():
        found = stored.load(which)
        assert found.config == network.config and tiny.trees_equal(found, network)
        assert sgj.load(tmp_path / 'all.safetensors', which).config == network.config


def test_the_same_networks_make_the_same_bytes(tmp_path):
    contents = set()
    for name in 'abc':
        safetensors_file.write(tmp_path / name, networks(), lod=1.0)
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def test_any_reader_of_safetensors_finds_the_arrays_and_the_settings(tmp_path):
    written = networks()
    safetensors_file.write(tmp_path / 'all', written)
    with safetensors.safe_open(tmp_path / 'all', 'np') as file:
        header = json.loads(file.metadata()['stylegan_jax'])
        weight = file.get_tensor('ema/params/mapping/dense0/weight')
    assert header['format'] == 'stylegan_jax' and header['networks']['ema']['z_dim'] == written['ema'].z_dim
    np.testing.assert_array_equal(weight, written['ema'].params['mapping']['dense0']['weight'])


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_half_precision_is_half_as_large_and_read_as_float32(tmp_path, dtype):
    written = networks()
    for name, kind in (('whole', None), ('half', dtype)):
        safetensors_file.write(tmp_path / name, written, dtype=kind)
    sizes = {name: len(safetensors.numpy.save(_arrays(tmp_path / name))) for name in ('whole', 'half')}
    assert sizes['half'] < 0.7 * sizes['whole']
    found = sgj.load(tmp_path / 'half')
    expected = jax.tree.map(lambda x: x.astype(dtype).astype(jnp.float32), written['ema'])
    assert tiny.trees_equal(found, expected) and found.w_avg.dtype == jnp.float32


def test_float64_is_kept(tmp_path, float64):
    written = jax.tree.map(lambda x: np.asarray(x, np.float64) + 1e-12, networks()['ema'])
    safetensors_file.write(tmp_path / 'wide', {'ema': written})
    assert tiny.trees_equal(sgj.load(tmp_path / 'wide'), written)


def _arrays(path):
    with safetensors.safe_open(path, 'np') as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def test_the_meaning_of_labels_is_kept(tmp_path):
    meaning = LabelMeaning(('cat', 'dog', 'owl'), (0, 2))
    written = networks(IMAGES['labels'])
    written['ema'] = dataclasses.replace(written['ema'], label_meaning=meaning)
    safetensors_file.write(tmp_path / 'named', written)
    assert sgj.load(tmp_path / 'named').label_meaning == sgj.load(tmp_path / 'named', 'G').label_meaning == meaning


def test_one_generator_serves_as_either_and_other_networks_are_refused(tmp_path):
    written = networks()
    for name in ('G', 'D'):
        safetensors_file.write(tmp_path / name, {name: written[name]})
    assert tiny.trees_equal(sgj.load(tmp_path / 'G', 'ema'), written['G'])
    assert loading.open_networks(tmp_path / 'G').loadable == ('ema', 'G')
    assert loading.open_networks(tmp_path / 'D').loadable == ('D',)
    with pytest.raises(sgj.UserError, match=r"/D: this file holds D, and 'ema' was asked for"):
        sgj.load(tmp_path / 'D')
    with pytest.raises(sgj.UserError, match=r"/G: this file holds G, and 'D' was asked for"):
        sgj.load(tmp_path / 'G', 'D')


def test_a_file_that_is_replaced_after_it_was_opened_gives_what_it_held(tmp_path):
    written, path = networks(), tmp_path / 'all'
    safetensors_file.write(path, written)
    stored = loading.open_networks(path)
    safetensors_file.write(path, {'ema': tiny.filled(written['ema'], seed=7)})
    assert tiny.trees_equal(stored.load('G'), written['G'])


def test_a_folder_for_a_hub_is_no_run_unless_it_has_checkpoints(tmp_path):
    (tmp_path / 'model.safetensors').touch()
    assert not loading.is_run(tmp_path)
    (tmp_path / FOLDER).mkdir()
    assert loading.is_run(tmp_path)
