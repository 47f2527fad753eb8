"""What came in place of a file."""

import bz2
import gzip
import lzma

import pytest

from stylegan_jax.runtime.stand_ins import stand_in, stand_in_at

LFS = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'
KINDS = {
    'page': (b'<!DOCTYPE html>\n<html>', 'a web page (HTML)'),
    'page after white space': (b'\xef\xbb\xbf\r\n\n  <HTML lang="en">', 'a web page (HTML)'),
    'page after a comment': (b'<!-- saved from --> <html>', 'a web page (HTML)'),
    'error of a server': (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 'a text in XML'),
    'pointer': (LFS, 'a pointer of Git LFS'),
    'annex': (b'/annex/objects/SHA256E-s1--00.pkl\n', 'a pointer of git-annex'),
    'empty': (b'', 'empty'),
    'gzip': (gzip.compress(b'text'), 'packed with gzip; unpack it first'),
    'bzip2': (bz2.compress(b'text'), 'packed with bzip2; unpack it first'),
    'xz': (lzma.compress(b'text'), 'packed with xz; unpack it first'),
    '7z': (b'7z\xbc\xaf\x27\x1c\x00\x04', 'packed with 7-Zip; unpack it first'),
}


@pytest.mark.parametrize('name', KINDS)
def test_what_it_is(tmp_path, name):
    content, kind = KINDS[name]
    assert stand_in(content).startswith(kind)
    (tmp_path / 'file').write_bytes(content + bytes(10_000) * bool(content))
    assert stand_in_at(tmp_path / 'file') == stand_in(content)


@pytest.mark.parametrize(
    'content', [b'text', b'\x80\x02', b'PK\x03\x04', b'\x89PNG', b'{"labels": []}', b'<svg/>', bytes(9)]
)
def test_other_files_are_nothing_known(content):
    assert stand_in(content) is None


def test_what_cannot_be_read_is_nothing_known(tmp_path):
    assert stand_in_at(tmp_path) is None and stand_in_at(tmp_path / 'absent') is None
