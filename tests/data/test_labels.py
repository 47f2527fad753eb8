"""What labels are, and how the names in a dataset.json are understood."""

import json
import re

import numpy as np
import pytest

from stylegan_jax.data.labels import (
    below_class_root,
    described,
    is_one_hot,
    labels_of_folders,
    match_names,
    one_hot,
    parse_labels,
    root_of,
)
from stylegan_jax.errors import UserError


def test_class_numbers_become_one_hot_labels():
    labels = one_hot([2, 0], 3)
    assert labels.dtype == np.float32 and labels.tolist() == [[0, 0, 1], [1, 0, 0]] and is_one_hot(labels)


@pytest.mark.parametrize(
    'labels', [np.zeros((2, 0)), [[0, 1], [0, 0]], [[0, 1], [1, 1]], [[0.5, 0.5], [0, 1]], [[2, -1], [0, 1]]]
)
def test_other_labels_are_not_one_hot(labels):
    assert is_one_hot(np.array(labels, np.float32)) is False


# What a dataset.json says.

PAIRS = [['a/1.png', 0], ['b/2.png', 1]]


def parse(content):
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_labels(text, 'dataset.json', 'leave labels out')


@pytest.mark.parametrize(
    'content',
    [
        {'labels': PAIRS},
        PAIRS,
        {'labels': dict(PAIRS)},
        dict(PAIRS),
        b'\xef\xbb\xbf' + json.dumps({'labels': PAIRS}).encode(),  # as Windows marks UTF-8
        json.dumps({'labels': PAIRS}).encode('utf-16'),
        {'labels': PAIRS + PAIRS},
        {'note': 'other keys do not matter', 'labels': PAIRS},
    ],
)
def test_forms_of_labels(content):
    assert parse(content) == dict(PAIRS)


@pytest.mark.parametrize('content', [{'labels': None}, {'labels': []}, {'labels': {}}, [], None])
def test_no_labels_on_purpose(content):
    assert parse(content) == {}


@pytest.mark.parametrize(
    'content',
    [{}, {'classes': ['cat', 'dog']}, {'0': {'category': 'training'}}, [{'file': 'a.png'}], [1, 2], 3, 'text'],
)
def test_a_file_about_something_else(content):
    assert parse(content) is None


@pytest.mark.parametrize(
    'content, message',
    [
        ({'labels': [['a.png', 0], ['b.png', 1], ['a.png', 1]]}, r"^dataset\.json: 'a\.png' has two labels, 0 and 1; "),
        ([['a.png', [0, 1]], ['a.png', [1, 0]]], r"'a\.png' has two labels, \[0, 1\] and \[1, 0\]"),
        (b'{"labels": {"a.png": 0, "a.png": 2}}', r"'a\.png' has two labels, 0 and 2"),
        (b'{"a.png": 0, "a.png": 2}', r"'a\.png' has two labels, 0 and 2"),
        ({'labels': [['a.png', {}]]}, 'is not a file name and a class number'),
        ({'labels': [['a.png', None]]}, 'is not a file name and a class number'),
        ({'labels': [['a.png', 0.0]]}, 'is not a file name and a class number'),
        ({'labels': 'text'}, 'is not a list'),
        (b'[' * 100_000, 'not valid JSON'),
        (b'', 'dataset.json: it is empty; get the file itself, or leave labels out'),
        (b'<!DOCTYPE html><html>', r'it is a web page \(HTML\)'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n', 'it is a pointer of Git LFS'),
    ],
)
def test_malformed_labels_are_a_user_error(content, message):
    with pytest.raises(UserError, match=message):
        parse(content)


@pytest.mark.parametrize(
    'entries, names, folder',
    [
        (['a.png', 'b/c.png'], ['a.png', 'b/c.png'], ''),
        (['a.png', 'b/c.png'], ['my/a.png', 'my/b/c.png'], 'my'),  # relative to the file
        (['my/a.png', 'my/b/c.png'], ['my/a.png', 'my/b/c.png'], 'my'),  # relative to the whole
        (['a.png', 'b/c.png'], ['my/a.png', 'my/b/c.png'], ''),  # relative to the pictures, with the file above them
        (['A.PNG', 'B/c.Png'], ['a.png', 'b/C.png'], ''),
        (['./a.png', 'b\\c.png'], ['a.png', 'b/c.png'], ''),
        (['a.png', 'b/c.png'], ['a.png', 'b\\c.png'], ''),
        (['Bu\u0308cher.png'], ['B\u00fccher.png'], ''),  # a letter with its dots, in two forms of Unicode
    ],
)
def test_names_that_mean_the_same(entries, names, folder):
    assert match_names(entries, names, folder, root_of(names)) == dict(zip(names, entries))


def test_capitals_tell_names_apart_where_they_must():
    entries = ['a.png', 'A.png', 'b.PNG']
    assert match_names(entries, ['A.png', 'a.png', 'b.png'], '', '') == {
        'A.png': 'A.png',
        'a.png': 'a.png',
        'b.png': 'b.PNG',
    }
    assert match_names(['A.PNG', 'a.PNG'], ['a.png'], '', '') == {}  # either could be meant
    assert match_names(['X.PNG'], ['X.png', 'x.png'], '', '') == {}


# Folders.


@pytest.mark.parametrize(
    'names, root',
    [
        (['a.png'], ''),
        (['x/a.png'], 'x'),
        (['x/a.png', 'x/y/b.png'], 'x'),
        (['x/y/a.png', 'x/y/z/b.png', 'x/y/z/c.png'], 'x/y'),
        (['x/a.png', 'xy/b.png'], ''),
        (['xa/1/a.png', 'xa/10/b.png', 'xa/2/c.png'], 'xa'),
        (['a.png', 'x/b.png'], ''),
        (['x/y', 'x/y/b.png'], 'x'),
    ],
)
def test_the_folder_that_all_files_share(names, root):
    assert root_of(names[::-1]) == root


@pytest.mark.parametrize('top', ['', 'my/', 'my/pictures/', 'my\\'])
def test_classes_are_the_folders_below_those_that_all_files_share(top):
    names = [f'{top}{name}' for name in ('cat/1.png', 'cat/old/2.png', 'dog/1.png')]
    labels, classes = labels_of_folders(names, 'my.zip')
    assert classes == ('cat', 'dog') and labels.tolist() == [[1, 0], [1, 0], [0, 1]]
    with pytest.raises(UserError, match=rf'my\.zip: {re.escape(top)}a\.png is in no folder.*, so that it has no class'):
        labels_of_folders([*names, f'{top}a.png'], 'my.zip')


def test_a_single_folder_is_a_single_class():
    assert labels_of_folders(['cat/1.png', 'cat/2.png'], 'my.zip')[1] == ('cat',)
    assert below_class_root(['cat/1.png', 'cat/2.png']) == ('', ['cat/1.png', 'cat/2.png'])


def test_a_folder_whose_name_is_not_utf8_is_no_class():
    names = ['cat/1.png', 'caf\udce9/1.png']  # as Python spells a byte of Latin-1
    with pytest.raises(UserError, match=r"my\.zip: the name of the folder 'caf\\udce9' is not UTF-8.*; rename it, or"):
        labels_of_folders(names, 'my.zip')


# Words.


@pytest.mark.parametrize(
    'labels, names, expected',
    [
        (np.zeros([3, 0]), None, 'no labels'),
        (np.eye(3), None, '3 classes'),
        (np.eye(1), None, '1 class'),
        (np.eye(4)[1:], None, '4 classes, of which 1 without an image (class 0)'),
        (np.eye(9)[:2], None, '9 classes, of which 7 without an image (class 2, class 3, class 4, ...)'),
        (np.eye(3)[:2], ('a', 'b', 'c'), '3 classes, of which 1 without an image (c)'),
        (np.ones([2, 3]), None, '3 attributes'),
        (np.full([2, 3], 0.5), None, 'labels of 3 numbers'),
    ],
)
def test_labels_in_words(labels, names, expected):
    assert described(labels, names) == expected
