"""Labels of folders and zips as people pack them, for a preparation and for a training straight from them."""

import json
import logging
import re

import numpy as np
import pytest
from source_files import encode, random_pixels, write_folder, write_zip

from stylegan_jax.config import Config, DataConfig, ImageConfig
from stylegan_jax.data.dataset import DataOpener, open_dataset
from stylegan_jax.data.sources import open_source
from stylegan_jax.errors import UserError

NAMES = ['cat/1.png', 'cat/2.png', 'dog/1.png', 'dog/2.png']
CLASSES = [1, 1, 0, 2]
PICTURES = {name: encode(random_pixels(number)) for number, name in enumerate(NAMES)}
PAIRS = [[name, label] for name, label in zip(NAMES, CLASSES)]


def text(content):
    return json.dumps(content).encode()


def below(folder, files):
    return {f'{folder}/{name}': content for name, content in files.items()}


def train_on(path, **data):
    """Returns the Dataset of a run that looks for labels."""
    config = Config(image=ImageConfig(8), data=DataConfig(path=str(path), find_labels=True, **data))
    opener = DataOpener(config.data)
    return opener.open(opener.with_found_labels(config).image)


FORMS = {
    'at the top': PICTURES | {'dataset.json': text({'labels': PAIRS})},
    'of a whole folder': below('my', PICTURES | {'dataset.json': text({'labels': PAIRS})}),
    'two folders down': below('my/set', PICTURES | {'dataset.json': text({'labels': PAIRS})}),
    'above the folder': below('my', PICTURES) | {'dataset.json': text({'labels': PAIRS})},
    'below, with whole names': below('my', PICTURES)
    | {'my/dataset.json': text({'labels': [[f'my/{n}', c] for n, c in PAIRS]})},
    'capitals of the file': PICTURES | {'Dataset.JSON': text({'labels': PAIRS})},
    'capitals of names': PICTURES | {'dataset.json': text({'labels': [[n.upper(), c] for n, c in PAIRS]})},
    'a bare list': PICTURES | {'dataset.json': text(PAIRS)},
    'a dict': PICTURES | {'dataset.json': text({'labels': dict(PAIRS)})},
    'beside the pictures': PICTURES | {'labels/dataset.json': text({'labels': PAIRS})},
    'made on Windows': PICTURES | {'dataset.json': text({'labels': [[n.replace('/', '\\'), c] for n, c in PAIRS]})},
    'a folder from Windows': {
        f'my/{name}'.replace('/', '\\'): content
        for name, content in (PICTURES | {'dataset.json': text({'labels': PAIRS})}).items()
    },
    'with remains of a Mac': below('my', PICTURES | {'dataset.json': text({'labels': PAIRS})})
    | {'__MACOSX/my/dataset.json': b'x', '__MACOSX/my/._dataset.json': b'x', 'my/._dataset.json': b'x'},
    'null at the top': below('my', PICTURES | {'dataset.json': text({'labels': PAIRS})})
    | {'dataset.json': text({'labels': None})},
}  # fmt: skip


@pytest.mark.parametrize('make', [write_folder, write_zip])
@pytest.mark.parametrize('form', FORMS)
def test_what_is_meant_is_taken(tmp_path, caplog, form, make):
    path = make(tmp_path / 'set.zip', FORMS[form])
    source = open_source(path)
    np.testing.assert_array_equal(source.labels, np.eye(3)[CLASSES])
    assert source.absence is None
    (where,) = [name for name in FORMS[form] if name.lower().endswith('dataset.json') and FORMS[form][name] != b'x'][
        -1:
    ]
    if form != 'null at the top':
        expected = () if where == 'dataset.json' else (f'labels are those of {path}/{where}',)
        assert source.notes == expected
    assert any(name.endswith(where) for name in source.fingerprints())
    with caplog.at_level(logging.WARNING):
        dataset = train_on(path)
    np.testing.assert_array_equal(dataset.labels, np.eye(3)[CLASSES])
    assert caplog.messages == list(source.notes)  # once, though the data are opened in two steps
    assert open_source(path, labels='none').labels.shape == (4, 0)


@pytest.mark.parametrize(
    'files, note',
    [
        ({'dataset.json': text({'classes': ['cat', 'dog']})}, r'dataset\.json: it has no "labels", and is not taken'),
        ({'dataset.json': text([{'file': 'cat/1.png'}])}, r'dataset\.json: it has no "labels", and is not taken'),
        (
            {'cat/dataset.json': text({'labels': [['1.png', 0], ['2.png', 1]]})},
            r"^cat/dataset\.json is not taken: .*no label for 2 of 4 images, such as 'dog/1\.png'",
        ),
        ({'cat/dataset.json': b'{broken'}, r'^cat/dataset\.json is not taken: .*not valid JSON'),
    ],
)
def test_what_is_not_taken_is_named(tmp_path, caplog, files, note):
    path = write_folder(tmp_path, PICTURES | files)
    source = open_source(path)
    assert source.labels.shape == (4, 0)
    with caplog.at_level(logging.WARNING):
        assert train_on(path).labels.shape == (4, 0)
    for line in (source.notes[0], caplog.messages[0]):
        assert re.search(note, line)


@pytest.mark.parametrize(
    'folder, labels, message',
    [
        (
            'my',
            {'labels': PAIRS[:3]},
            r"my/dataset\.json: no label for 1 of 4 images, such as 'my/dog/2\.png'; add them",
        ),
        ('my', {'labels': [*PAIRS, ['cat/1.png', 2]]}, r"my/dataset\.json: 'cat/1\.png' has two labels, 1 and 2"),
        ('my', {'labels': [['x/1.png', 0]]}, r"no label for 4 of 4 images, .*; it labels others, such as 'x/1\.png'"),
    ],
)
def test_wrong_labels_of_a_whole_folder_are_a_user_error(tmp_path, folder, labels, message):
    path = write_zip(tmp_path / 'set.zip', below(folder, PICTURES | {'dataset.json': text(labels)}))
    for call in (open_source, train_on):
        with pytest.raises(UserError, match=message):
            call(path)


def test_class_folders_of_a_zip_of_a_whole_folder(tmp_path):
    source = open_source(write_zip(tmp_path / 'set.zip', below('my', PICTURES)), labels='folders')
    assert source.label_names == ('cat', 'dog')
    np.testing.assert_array_equal(source.labels, np.eye(2)[[0, 0, 1, 1]])


def test_folders_that_look_like_classes_are_named(tmp_path, caplog):
    path = write_zip(tmp_path / 'set.zip', below('my', PICTURES))
    note = f'no labels; the 2 folders of {path}/my (cat, dog) become classes with prepare_data --labels=folders'
    assert open_source(path).notes == (note,)
    with caplog.at_level(logging.WARNING):
        train_on(path)
    assert caplog.messages == [note]
    caplog.clear()
    open_dataset(DataConfig(path=str(path)), ImageConfig(8))  # nobody asked for labels
    assert not caplog.messages
    numbered = {f'{number:05}/{name[-5:]}': content for number, (name, content) in enumerate(PICTURES.items())}
    assert not open_source(write_zip(tmp_path / 'numbered.zip', numbered)).notes


@pytest.mark.parametrize('make', [write_folder, write_zip])
def test_label_vectors_are_trained_on_as_they_are_prepared(tmp_path, make):
    vectors = np.arange(8).reshape(4, 2) / 8
    labels = {'labels': [[name, vector.tolist()] for name, vector in zip(NAMES, vectors)]}
    path = make(tmp_path / 'set.zip', PICTURES | {'dataset.json': text(labels)})
    np.testing.assert_array_equal(open_source(path).labels, vectors)
    np.testing.assert_array_equal(train_on(path).labels, vectors)
    asked = open_dataset(DataConfig(path=str(path)), ImageConfig(8, label_dim=2))
    np.testing.assert_array_equal(asked.labels, vectors)
    with pytest.raises(UserError, match=r'^image\.label_dim=3: the labels of .* have 2 entries'):
        open_dataset(DataConfig(path=str(path)), ImageConfig(8, label_dim=3))


def test_only_the_pictures_that_are_used_need_labels(tmp_path):
    path = write_folder(tmp_path, PICTURES | {'dataset.json': text({'labels': PAIRS[:2]})})
    np.testing.assert_array_equal(train_on(path, count=2).labels, [[0, 1], [0, 1]])
    # As many classes as the run has, whatever the file numbers.
    asked = open_dataset(DataConfig(path=str(path), count=2), ImageConfig(8, label_dim=5))
    np.testing.assert_array_equal(asked.labels, np.eye(5)[[1, 1]])
