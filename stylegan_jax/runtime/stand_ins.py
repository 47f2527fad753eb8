"""Files that came in place of the ones that were asked for: web pages, pointers of Git LFS, files packed once more."""

import os

# A file begins with one of these bytes, after white space and in any capitals: what it is.
_TEXTS = (
    (b'<!doctype html', 'a web page (HTML), as servers send in place of a file that needs a login or does not exist'),
    (b'<html', 'a web page (HTML), as servers send in place of a file that needs a login or does not exist'),
    (b'<?xml', 'a text in XML, as servers send in place of a file'),
    (b'version https://git-lfs', 'a pointer of Git LFS, not the file itself, which "git lfs pull" fetches'),
    (b'../.git/annex/objects', 'a pointer of git-annex, not the file itself, which "git annex get" fetches'),
    (b'/annex/objects/', 'a pointer of git-annex, not the file itself, which "git annex get" fetches'),
)
_ARCHIVES = (
    (b'\x1f\x8b', 'packed with gzip; unpack it first'),
    (b'BZh', 'packed with bzip2; unpack it first'),
    (b'\xfd7zXZ\x00', 'packed with xz; unpack it first'),
    (b'7z\xbc\xaf\x27\x1c', 'packed with 7-Zip; unpack it first'),
    (b'Rar!\x1a\x07', 'packed with RAR; unpack it first'),
    (b'\x28\xb5\x2f\xfd', 'packed with Zstandard; unpack it first'),
)
LOOKED_AT = 1024  # bytes; longer than any of the above with some white space


def stand_in(content: bytes) -> str | None:
    """Says what came in place of a file, from its first bytes; None if they are nothing that is known to do so."""
    if not content:
        return 'empty'
    start = content[:LOOKED_AT].removeprefix(b'\xef\xbb\xbf').lstrip().lower()
    if start.startswith(b'<!--'):  # a comment may come before the page
        start = start.partition(b'-->')[2].lstrip()
    kinds = [kind for begin, kind in _TEXTS if start.startswith(begin)]
    kinds += [kind for begin, kind in _ARCHIVES if content.startswith(begin)]
    return kinds[0] if kinds else None


def stand_in_at(path: str | os.PathLike) -> str | None:
    """Says what is at a path in place of a file, see `stand_in`; None as well if it cannot be read."""
    try:
        with open(path, 'rb') as file:
            return stand_in(file.read(LOOKED_AT))
    except OSError:
        return None
