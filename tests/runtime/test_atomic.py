"""Files that appear whole or not at all."""

import os
import resource

import pytest

from stylegan_jax.runtime import atomic


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'file.txt'
    path.write_text('old')
    return path


@pytest.mark.parametrize('options', [{}, {'suffix': '.part-7'}, {'to_disk': True}])
def test_a_file_is_replaced_once_it_is_whole(path, options):
    with atomic.writing(path, **options) as file:
        file.write('new')
        file.flush()
        assert path.read_text() == 'old'
        assert sorted(os.listdir(path.parent)) == ['file.txt', 'file.txt' + options.get('suffix', '.part')]
    assert path.read_text() == 'new' and os.listdir(path.parent) == ['file.txt']


@pytest.mark.parametrize('kind', [OSError, KeyboardInterrupt])
def test_what_fails_leaves_everything_as_it_was(path, kind):
    with pytest.raises(kind, match='in the middle'), atomic.writing(path) as file:
        file.write('half')
        raise kind('in the middle')
    assert path.read_text() == 'old' and os.listdir(path.parent) == ['file.txt']


def test_a_full_disk_leaves_everything_as_it_was(path):
    """Small files fail only when they are closed, for that is when they are written."""
    (path.parent / 'file.txt.part').symlink_to('/dev/full')
    with pytest.raises(OSError, match='No space left'), atomic.writing(path) as file:
        file.write('new')
    assert path.read_text() == 'old' and os.listdir(path.parent) == ['file.txt']


def test_bytes(path):
    with atomic.writing(path, 'wb') as file:
        file.write(b'\0\1')
    assert path.read_bytes() == b'\0\1'


def test_lines_are_appended_whole(path):
    """Also after a line that was torn, which 'old' is here."""
    atomic.append_lines(path, b'one\ntwo\n')
    atomic.append_lines(path, b'three\n')
    assert path.read_text() == 'old\none\ntwo\nthree\n'


def test_lines_without_room_are_not_written_in_part(path):
    """The limit lets the system write only the first bytes of the lines, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))
    try:
        with pytest.raises(OSError, match='No space left'):
            atomic.append_lines(path, b'one\ntwo\n')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == 'old'
