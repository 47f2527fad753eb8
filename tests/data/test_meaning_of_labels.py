"""What the labels of data sets mean, of folders, prepared sets and drawn faces."""

import json

import numpy as np
import PIL.Image
import pytest

import tiny_run
from stylegan_jax.config import DataConfig, ImageConfig, serialization
from stylegan_jax.config.label_meaning import LabelMeaning
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.data.meaning_of_labels import meaning_of_labels, meaning_of_run
from stylegan_jax.data.prepared import read_info
from stylegan_jax.data.preparing import preparation, shards
from stylegan_jax.data.sources import open_source
from stylegan_jax.data.toy_faces import faces as toy_faces

NAMES = 'owl', 'cat', 'dog'  # of the classes 0, 1 and 2


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Pictures of three classes in folders, whose dataset.json has numbers in another order than that of the names."""
    folder, labels = tmp_path_factory.mktemp('pictures'), []
    for number, name in enumerate(NAMES):
        (folder / name).mkdir()
        for index in range(2):
            PIL.Image.fromarray(np.full((8, 8, 3), 50 * number + index, np.uint8)).save(folder / name / f'{index}.png')
            labels.append([f'{name}/{index}.png', number])
    (folder / 'dataset.json').write_text(json.dumps({'labels': labels}))
    return folder


@pytest.fixture(scope='module')
def prepared(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp('prepared') / 'set'
    options = shards.Options(ImageConfig(8, label_dim=3))
    preparation.prepare(open_source(folder), str(out), options, workers=0, say=lambda line: None)
    return out


def test_classes_that_have_images_are_listed():
    labels = np.eye(4, dtype=np.float32)[[3, 1, 1]]
    assert meaning_of_labels(labels, None) == LabelMeaning(None, (1, 3))
    assert meaning_of_labels(np.zeros((3, 0), np.float32), None) is None


def test_other_labels_are_kept_as_examples():
    labels = np.float32([[0, 0.5], [1, 1]] * 50)
    meaning = meaning_of_labels(labels, ('x', 'y'))
    assert (meaning.names, meaning.classes, len(meaning.examples)) == (('x', 'y'), None, 64)
    assert meaning.examples[:2] == ((0.0, 0.5), (1.0, 1.0))


@pytest.mark.parametrize('kind', ['folder', 'prepared'])
def test_data_sets_know_the_names_of_folders(kind, request):
    path = request.getfixturevalue(kind)
    dataset = open_dataset(DataConfig(path=str(path)), ImageConfig(8, label_dim=3))
    assert dataset.label_names == NAMES
    without = open_dataset(DataConfig(path=str(path)), ImageConfig(8))
    assert without.label_names is None


def test_names_of_folders_are_one_more_entry_of_a_prepared_set(prepared):
    """All else that the set holds is as it was without them."""
    info = read_info(prepared)
    assert info['label_names'] is None and tuple(info['class_names']) == NAMES


@pytest.mark.parametrize('kind', ['folder', 'prepared'])
def test_runs_from_before_ask_their_data_set(kind, request, tmp_path):
    path = request.getfixturevalue(kind)
    config = tiny_run.run_config(image=ImageConfig(8, label_dim=3), data=DataConfig(path=str(path)))
    (tmp_path / 'config.json').write_text(serialization.to_json(config))
    assert meaning_of_run(tmp_path, 3) == LabelMeaning(NAMES, (0, 1, 2))
    assert meaning_of_run(tmp_path, 4) is None


def test_runs_with_drawn_faces_have_attributes(tmp_path):
    count = len(toy_faces.ATTRIBUTES)
    (tmp_path / 'config.json').write_text(
        serialization.to_json(tiny_run.run_config(image=ImageConfig(8, label_dim=count)))
    )
    meaning = meaning_of_run(tmp_path, count)
    assert meaning.names == toy_faces.ATTRIBUTES and meaning.classes is None
    np.testing.assert_array_equal(meaning.examples[3], toy_faces.attributes(3))


def test_a_data_set_that_is_gone_has_no_meaning(tmp_path):
    assert meaning_of_run(tmp_path, 3) is None
    config = tiny_run.run_config(image=ImageConfig(8, label_dim=3), data=DataConfig(path=str(tmp_path / 'gone')))
    (tmp_path / 'config.json').write_text(serialization.to_json(config))
    assert meaning_of_run(tmp_path, 3) is None
