"""Faces are drawn as they are needed, once, and never again by the same code."""

import os

import numpy as np
import pytest

from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.data.toy_faces import kept

COUNT = 10


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """[the faces that were drawn at a time], in blocks of 4 of sets that are kept in an empty folder."""
    drawn, draw = [], kept.draw_some

    def recording(indices, resolution):
        drawn.append(list(indices))
        return draw(indices, resolution)

    monkeypatch.setenv('STYLEGAN_JAX_CACHE', str(tmp_path))
    monkeypatch.setattr(kept, 'draw_some', recording)
    monkeypatch.setattr(kept, 'SMALL', 3)
    monkeypatch.setattr(kept, 'BLOCK', 4)
    return drawn


def files(tmp_path):
    return sorted(path for path in tmp_path.rglob('*') if path.is_file())


def test_blocks_are_drawn_when_they_are_needed_and_read_the_next_time(drawn, tmp_path):
    expected = np.stack([toy_faces.draw(index, 8) for index in range(COUNT)])
    faces = kept.Faces(COUNT, 8)
    assert not drawn
    for indices in ([5], [4, 7, 9], [9, 5]):
        faces.bring(np.array(indices))
        np.testing.assert_array_equal(faces.pixels[indices], expected[indices])
    assert drawn == [[4, 5, 6, 7], [8, 9]]
    again = kept.Faces(COUNT, 8)
    again.bring(np.arange(COUNT))
    np.testing.assert_array_equal(again.pixels, expected)
    assert drawn[2:] == [[0, 1, 2, 3]]
    assert [path.relative_to(tmp_path).parts for path in files(tmp_path)] == [
        ('toy_faces', kept.version(), '8', name) for name in ('000000-000004', '000004-000008', '000008-000010')
    ]


@pytest.mark.parametrize('damage', ['truncated', 'emptied', 'flipped', 'longer'])
def test_a_damaged_file_is_drawn_anew(drawn, tmp_path, damage):
    expected = np.stack([toy_faces.draw(index, 8) for index in range(4)])
    kept.Faces(4, 8).bring(np.arange(4))
    (path,) = files(tmp_path)
    content = path.read_bytes()
    damaged = {
        'truncated': content[:-1],
        'emptied': b'',
        'flipped': bytes([content[0] ^ 1]) + content[1:],
        'longer': content + b'0',
    }
    path.write_bytes(damaged[damage])
    faces = kept.Faces(4, 8)
    faces.bring(np.arange(4))
    np.testing.assert_array_equal(faces.pixels, expected)
    assert len(drawn) == 2 and path.read_bytes() == content


def test_faces_that_other_code_drew_are_not_taken(drawn, monkeypatch):
    kept.Faces(4, 8).bring(np.arange(4))
    monkeypatch.setattr(kept.PIL, '__version__', '0.0')
    kept.version.cache_clear()
    kept.Faces(4, 8).bring(np.arange(4))
    monkeypatch.undo()
    kept.version.cache_clear()
    assert drawn == [[0, 1, 2, 3]] * 2


def test_small_and_huge_sets_are_not_kept(drawn, monkeypatch, tmp_path):
    kept.Faces(3, 8).bring(np.arange(3))
    monkeypatch.setattr(kept, '_MOST_BYTES', 100)
    kept.Faces(4, 8).bring(np.arange(4))
    assert len(drawn) == 2 and not files(tmp_path)


def test_a_folder_that_cannot_be_written_is_no_matter(drawn, monkeypatch, tmp_path):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('STYLEGAN_JAX_CACHE', os.path.join(tmp_path, 'file'))
    faces = kept.Faces(4, 8)
    faces.bring(np.arange(4))
    np.testing.assert_array_equal(faces.pixels[3], toy_faces.draw(3, 8))
