"""How fast prepared records are read and decoded, by stage and encoding."""

import concurrent.futures
import os
import statistics
import tempfile
import time
import typing
from collections.abc import Callable, Sequence

import numpy as np

from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data.pixels import box_reduce, to_uint8
from stylegan_jax.data.prepared import PreparedImages
from stylegan_jax.data.preparing.preparation import Options, prepare
from stylegan_jax.data.sources.base import PictureSource
from stylegan_jax.data.toy_faces import faces as toy_faces
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.threads import NUM_THREADS

_FACES = 4  # drawn; the rest are these with other noise
_NOISE = 2.0  # standard deviation, about that of a camera; without noise PNG would seem smaller than it is
_MEGABYTES = 256  # of raw pixels in a case ...
_MOST_IMAGES = 4096  # ... but no more images than these
_REPEATS = 5
_SECONDS = 1.0  # that each repeat takes


def measure(
    resolutions: Sequence[int], encodings: Sequence[str], say: Callable[[str], object]
) -> list[dict[str, typing.Any]]:
    """Measures cases one after another.

    Args:
      resolutions: sides, powers of two from 4 [pixels].
      encodings: see `records.ENCODINGS`.
      say: takes lines for people, a table.

    Returns:
      A list of dicts: resolution, encoding, bytes (of a record's share of the file), images_per_second (median over
      repeats), spread (largest less smallest), images_per_second_per_core, threads.
    """
    wrong = [side for side in resolutions if side < 4 or side & (side - 1) or side > toy_faces.MAX_RESOLUTION]
    if wrong:
        raise UserError(f'give powers of two from 4 to {toy_faces.MAX_RESOLUTION}', field='resolution', value=wrong[0])
    say(
        f'{"resolution":>10s}  {"encoding":8s}  {"bytes/image":>11s}  {"images/s":>9s}  {"spread":>7s}  '
        f'{"per core":>8s}   ({NUM_THREADS} threads, from page cache)'
    )
    results = []
    for side in resolutions:
        source = _Faces(side)
        for encoding in encodings:
            with tempfile.TemporaryDirectory() as folder:
                results.append(_measure_case(source, folder, encoding))
            say(
                '{resolution:>10d}  {encoding:8s}  {bytes:>11,d}  {images_per_second:>9,.0f}  {spread:>7,.0f}  '
                '{images_per_second_per_core:>8,.0f}'.format(**results[-1])
            )
    return results


class _Faces(PictureSource):
    """Drawn faces with noise."""

    kind = 'toy_faces'

    def __init__(self, side):
        self.path = f'noisy faces of {side} pixels'
        self._side = side
        drawn = max(side, toy_faces.MIN_RESOLUTION)
        self._faces = [box_reduce(toy_faces.draw(index, drawn), side, side) for index in range(_FACES)]
        count = int(np.clip((_MEGABYTES << 20) // (side * side * 3), 16, _MOST_IMAGES))
        self.labels = np.zeros([count, 0], np.float32)

    def name(self, index):
        return str(index)

    def picture(self, index):
        noise = np.random.default_rng(index).standard_normal(self._faces[0].shape, np.float32)
        return to_uint8(self._faces[index % _FACES] + noise * _NOISE)

    def fingerprints(self):
        return {}

    def signature(self, indices):
        return f'{self.path} {len(indices)}'


def _measure_case(source, folder, encoding):
    image = ImageConfig(source._side, (source._side, source._side) if source._side <= 64 else (64, 64))
    prepare(
        source,
        os.path.join(folder, 'set'),
        Options(image, fit='exact', encoding=encoding),
        workers=0,
        say=lambda line: None,
        title=None,
    )
    images = PreparedImages(os.path.join(folder, 'set'))
    stage, size = image.num_stages - 1, max(1, min(64, (16 << 20) // (image.resolution**2 * 3)))
    random = np.random.default_rng(0)

    def read(_):
        images.stage_images(random.integers(0, len(images), size), stage)

    rates = []
    with concurrent.futures.ThreadPoolExecutor(NUM_THREADS) as threads:
        list(threads.map(read, range(2 * NUM_THREADS)))  # opens the files
        for _ in range(_REPEATS):
            start, shown = time.perf_counter(), 0
            while time.perf_counter() < start + _SECONDS:
                list(threads.map(read, range(NUM_THREADS)))
                shown += NUM_THREADS * size
            rates.append(shown / (time.perf_counter() - start))
    stored = sum(shard['files'][stage][0] for shard in images.info['shards'])
    median = statistics.median(rates)
    return {
        'resolution': source._side,
        'encoding': encoding,
        'bytes': stored // len(images),
        'images_per_second': median,
        'spread': max(rates) - min(rates),
        'images_per_second_per_core': median / NUM_THREADS,
        'threads': NUM_THREADS,
    }
