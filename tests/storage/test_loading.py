"""`load` knows every kind of file by itself."""

import dataclasses
import json
import pathlib
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

import reference_case
import stylegan_jax as sgj
import tiny
import tiny_run
from stylegan_jax.config import ImageConfig
from stylegan_jax.config.label_meaning import LabelMeaning
from stylegan_jax.storage.checkpoint import Checkpoints

PICKLE = reference_case.pickle_path('c32')


@pytest.mark.parametrize('which, kind', [('ema', sgj.Generator), ('G', sgj.Generator), ('D', sgj.Discriminator)])
@pytest.mark.parametrize('as_path', [str, pathlib.Path])
def test_official_pickles(as_path, which, kind):
    assert isinstance(sgj.load(as_path(PICKLE), which), kind)


def test_the_averaged_generator_is_the_default():
    assert tiny.trees_equal(sgj.load(PICKLE), sgj.load(PICKLE, which='ema'))
    assert not tiny.trees_equal(sgj.load(PICKLE), sgj.load(PICKLE, which='G'))


def test_the_name_of_a_file_does_not_matter(tmp_path):
    shutil.copy(PICKLE, tmp_path / 'network.npz')
    network = sgj.load(tmp_path / 'network.npz')
    network.save(tmp_path / 'network.pkl')
    assert tiny.trees_equal(sgj.load(tmp_path / 'network.pkl'), network)


def test_an_official_network_saved_here_gives_the_same_images(tmp_path):
    G = sgj.load(PICKLE)
    G.save(tmp_path / 'network')
    z = tiny.normal(1, G.z_dim)
    np.testing.assert_array_equal(sgj.load(tmp_path / 'network')(z, lod=3), G(z, lod=3))


@pytest.mark.parametrize('which', ['g', 'Gs', None])
def test_other_networks_than_the_three_are_refused(which):
    with pytest.raises(sgj.UserError, match="choose 'ema', 'G' or 'D'"):
        sgj.load(PICKLE, which)


@pytest.mark.parametrize('path', ['missing.pkl', 'missing/network.npz', ''])
def test_a_missing_path_is_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sgj.UserError, match='No such file or directory; give an official pickle'):
        sgj.load(path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path, without_rights):
    shutil.copy(PICKLE, tmp_path / 'network.pkl')
    with without_rights(), pytest.raises(sgj.UserError, match='network.pkl: Permission denied'):
        sgj.load(tmp_path / 'network.pkl')
    sgj.load(tmp_path / 'network.pkl')


def test_damaged_files_are_refused(tmp_path):
    for content in (b'', b'PK', b'PK\x03\x04', b'text\n'):
        path = tmp_path / 'network'
        path.write_bytes(content)
        with pytest.raises(sgj.UserError, match=str(path)):
            sgj.load(path)


# The network that comes with the package.


def test_toyfaces_come_with_the_package():
    """Found by name from anywhere; the discriminator tells its faces from noise, and knows them from drawn ones."""
    G, D = sgj.load('toyfaces'), sgj.load('toyfaces', 'D')
    assert G.shape == (32, 32, 3) and G.w_avg.dtype == jnp.float32
    z = np.random.default_rng(0).standard_normal((8, G.z_dim))
    images = G(z, psi=0.7)
    assert np.isfinite(images).all() and np.std(images, axis=0).mean() > 0.1  # they differ
    noise = np.random.default_rng(1).uniform(-1, 1, images.shape)
    assert np.mean(D(images)) > np.mean(D(noise))


def test_they_are_small_and_say_where_they_come_from():
    folder = pathlib.Path(sgj.__file__).parent / 'pretrained' / 'toyfaces'
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3e6
    provenance = json.loads((folder / 'provenance.json').read_text())
    assert provenance['command'].startswith('python -m stylegan_jax.main --experiment=quickstart')
    assert provenance['images_shown'] > 0 and provenance['commit']


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = tiny.generator(tiny.generator_config())
    network.save('toyfaces')
    assert sgj.load('toyfaces').shape == network.shape


def test_a_saved_network_keeps_what_its_labels_mean(tmp_path):
    meaning = LabelMeaning(('cat', 'dog', 'owl'), (0, 2))
    G = tiny.generator(tiny.generator_config(image=ImageConfig(8, label_dim=3)))
    dataclasses.replace(G, label_meaning=meaning).save(tmp_path / 'named')
    found = sgj.load(tmp_path / 'named')
    assert found.label_meaning == meaning and tiny.trees_equal(found, G)
    G.save(tmp_path / 'nameless')
    assert sgj.load(tmp_path / 'nameless').label_meaning is None


def test_a_network_without_labels_is_saved_as_before(tmp_path):
    G = tiny.generator(tiny.generator_config(resolution=8))
    G.save(tmp_path / 'network')
    with np.load(tmp_path / 'network') as file:
        assert json.loads(str(file['header'])).keys() == {'format', 'version', 'kind', 'config'}


def test_networks_of_a_run_know_what_its_labels_mean(tmp_path):
    config = tiny_run.run_config(image=ImageConfig(8, label_dim=3))
    meaning = LabelMeaning(('cat', 'dog', 'owl'), (0, 2))
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(16, tiny.state(config), config, {'labels': meaning.to_dict()})
    checkpoints.wait()
    checkpoints.close()
    for which in ('ema', 'G'):
        assert sgj.load(tmp_path, which).label_meaning == meaning
    assert isinstance(sgj.load(tmp_path, 'D'), sgj.Discriminator)
    sgj.load(tmp_path).save(tmp_path / 'network')
    assert sgj.load(tmp_path / 'network').label_meaning == meaning
