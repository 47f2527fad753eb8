"""The sample grids inside a report: few enough, and small enough, for one file."""

import base64
import io
import os

import PIL.Image

MOST = 24  # grids; base64 makes 24 of them and the real ones up to 5 MB
_MOST_BYTES = 150_000  # each
_LONGEST_SIDE = 1280
_QUALITIES = 80, 50  # of WebP, which is smaller than JPEG at the same look


class Pictures:
    """Encoded pictures by file name; each is encoded again only when its file changes."""

    def __init__(self):
        self._encoded = {}  # name -> (size and time of the file, (data URI, width, height))

    def take(self, workdir, names):
        """Encodes files, and forgets all others.

        Args:
          workdir: their folder.
          names: of the files.

        Returns:
          {name: (data URI, width, height)} of those that can be read; others are torn or gone.
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


def spread(positions, most=MOST):
    """Chooses at most `most` of many positions, evenly spread, with the first and the last.

    Of a longer list almost the same ones are chosen, so that few have to be encoded anew.

    Args:
      positions: whole numbers in increasing order.
      most: at least 3.

    Returns:
      Indices.
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
        # What is still too large is smaller by about as many pixels.
        side = int(max(image.size) * min(0.9, max(0.5, (_MOST_BYTES / stream.tell()) ** 0.5)))
