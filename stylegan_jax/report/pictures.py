"""The sample grids inside a report: few enough, and small enough, for one file."""

import base64
import io
import os
from collections.abc import Iterable, Sequence

import PIL.Image

MOST = 24  # grids; with the training images they are at most 5 MB in base64
_MOST_BYTES = 150_000  # of each picture
_LONGEST_SIDE = 1280  # [pixels]
_QUALITIES = 80, 50  # of WebP, which is smaller than JPEG at the same visual quality


class Pictures:
    """Encoded pictures by file name; a picture is encoded again only when its file has changed."""

    def __init__(self):
        self._encoded = {}  # name -> (size and time of the file, (data URI, width, height))

    def take(self, workdir: str | os.PathLike, names: Iterable[str]) -> dict[str, tuple[str, int, int]]:
        """Encodes the named files, and forgets all others.

        Args:
          workdir: the folder of the files.
          names: of the files.

        Returns:
          {name: (data URI, width, height)} of the files that can be read; damaged and missing ones are left out.
        """
        encoded = {}
        for name in names:
            path = os.path.join(workdir, name)
            try:
                status = os.stat(path)
                stamp = status.st_size, status.st_mtime_ns
                known = self._encoded.get(name)
                encoded[name] = known if known and known[0] == stamp else (stamp, _encode(path))
            except (OSError, SyntaxError, PIL.Image.DecompressionBombError):  # PIL's errors of damaged files
                continue
        self._encoded = encoded
        return {name: picture for name, (_, picture) in encoded.items()}


def spread(positions: Sequence[int], most: int = MOST) -> list[int]:
    """Chooses at most `most` of many positions, evenly spread, with the first and the last.

    For a longer list the choice is nearly the same, so that few pictures must be encoded again.

    Args:
      positions: whole numbers in increasing order.
      most: at least 3.

    Returns:
      The indices of the chosen positions.
    """
    if len(positions) <= most:
        return list(range(len(positions)))
    width, firsts = 1, {}
    while not firsts or len(firsts) > most - 1:
        firsts, width = {}, width * 2
        for index, position in enumerate(positions):
            firsts.setdefault(position // width, index)
    return sorted({*firsts.values(), len(positions) - 1})


def _encode(path):
    """(data URI of a WebP, width, height) of a picture of any size."""
    with PIL.Image.open(path) as image:
        if image.has_transparency_data:
            image = PIL.Image.alpha_composite(PIL.Image.new('RGBA', image.size, 'white'), image.convert('RGBA'))
        image = image.convert('RGB')
    side = _LONGEST_SIDE
    while True:
        if max(image.size) > side:
            image.thumbnail((side, side), reducing_gap=2.0)
        for quality in _QUALITIES:
            stream = io.BytesIO()
            image.save(stream, 'WEBP', quality=quality, method=2)
            if stream.tell() <= _MOST_BYTES:
                text = base64.b64encode(stream.getvalue()).decode()
                return f'data:image/webp;base64,{text}', *image.size
        # If the file is still too large, the area shrinks by about the same factor.
        side = int(max(image.size) * min(0.9, max(0.5, (_MOST_BYTES / stream.tell()) ** 0.5)))
