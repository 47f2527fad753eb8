"""The chunks of PNG files: those that pixels need, without the texts and profiles beside them."""

import io
import struct
import typing

SIGNATURE = b'\x89PNG\r\n\x1a\n'
_HEAD = struct.Struct('>I4s')  # length of the content, and the kind; a checksum of 4 bytes follows the content
_CRC_BYTES = 4


def is_png(start: bytes) -> bool:
    """Says whether the first bytes of a file are those of a PNG."""
    return start.startswith(SIGNATURE)


def bit_depth_and_colour_type(start: bytes) -> tuple[int, int]:
    """Returns two fields of the header, from the first 26 bytes of a PNG."""
    return start[24], start[25]


def without_side_chunks(file: typing.BinaryIO, *, pixels: bool = True) -> typing.BinaryIO:
    """Returns a PNG with nothing but what its pixels need, as a view of the file.

    Pillow reads all chunks, and refuses the file where a text or a profile is too large when it is decompressed. None
    of them has an effect on the pixels. A file that is cut off, or no PNG behind its signature, stays so.

    Args:
      file: the PNG, at its start.
      pixels: whether the pixels are needed; without them the result ends where they begin.
    """
    place = len(SIGNATURE)
    parts = [(0, place)]  # (start, end)
    file.seek(place)
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, kind = _HEAD.unpack(head)
        end = place + _HEAD.size + length + _CRC_BYTES
        if kind == b'IDAT' and not pixels:
            parts.append((place, place + _HEAD.size))
            break
        if _is_needed(kind):
            parts[-1:] = [(parts[-1][0], end)] if parts[-1][1] == place else [parts[-1], (place, end)]
        if kind == b'IEND':
            break
        place = end
        file.seek(place)
    return io.BufferedReader(_Parts(file, parts))


def _is_needed(kind):
    """Says whether pixels depend on chunks of a kind: a capital says so, and transparency is a case of its own."""
    return not kind[0] & 0x20 or kind == b'tRNS'


class _Parts(io.RawIOBase):
    """Parts of a file, one after another, as if nothing were between them."""

    def __init__(self, file, parts):
        self._file, self._parts, self._place = file, parts, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        size = sum(end - start for start, end in self._parts)
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: size}[whence]
        return self._place

    def readinto(self, buffer):
        before = 0  # bytes in the parts before this one
        for start, end in self._parts:
            if self._place < before + end - start:
                self._file.seek(start + self._place - before)
                content = self._file.read(min(len(buffer), before + end - start - self._place))
                buffer[: len(content)] = content
                self._place += len(content)
                return len(content)
            before += end - start
        return 0
