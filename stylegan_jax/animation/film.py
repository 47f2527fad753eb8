"""Frames into a file: MP4 by ffmpeg, where that is installed; WebP or GIF by Pillow."""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import typing
from collections.abc import Iterable, Iterator

import numpy as np
import PIL.features
import PIL.Image

from stylegan_jax.data.channels import to_channels
from stylegan_jax.data.pixels import to_uint8
from stylegan_jax.errors import UserError, unwritable
from stylegan_jax.runtime.threads import MEMORY_BUDGET

SUFFIXES = '.mp4', '.webp', '.gif'
_CRF = 16  # constant quality of H.264; 17 is said to be visually lossless, and small images show more
# Colours are converted by BT.709, and the file says so: without that, players guess by the size of frames, and large
# ones get other colours than ffmpeg encoded.
_COLOURS = (
    '-vf',
    'scale=out_color_matrix=bt709:out_range=tv',
    '-colorspace',
    'bt709',
    '-color_primaries',
    'bt709',
    '-color_trc',
    'bt709',
)
_WEBP_QUALITY = 90
_MOST_REASONS = 3  # lines of ffmpeg's complaint that are passed on
_GIF_UNIT = 10  # milliseconds; GIF counts in these
_LARGEST_SIDE = {'.mp4': 8192, '.webp': 16383, '.gif': 65535}  # H.264 at level 6, and the formats' fields


def check(path: str) -> str:
    """Returns the suffix of a film's path.

    Raises:
      UserError: there is no such kind of film, or its encoder is not installed.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in SUFFIXES:
        raise UserError('name a file that ends in ' + ', '.join(SUFFIXES), field='out', value=path)
    if suffix == '.mp4':
        _encoder(path)
    if suffix == '.webp' and not PIL.features.check('webp'):
        raise UserError('this Pillow was built without WebP', field='out', value=path, remedy='name a .gif')
    return suffix


def write(path: str, frames: Iterable[np.ndarray], count: int, fps: float) -> None:
    """Writes a film, which appears whole or not at all.

    Args:
      path: of the film; its suffix decides the format.
      frames: uint8 [H, W, C], all of one size; 1 (grey), 3 (RGB) or 4 channels (RGBA, which is put on white).
      count: how many frames there will be.
      fps: frames a second.

    Raises:
      UserError: see `check`; or the film is too large for its kind, or cannot be written.
    """
    suffix = check(path)
    temporary = f'{path}.part'
    frames = map(as_rgb, frames)
    try:
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, 'wb'):
            pass  # a folder without write access is an error before any frame is made
        first = next(frames)
        _check_size(path, suffix, first, count)
        if suffix == '.mp4':
            _write_mp4(temporary, first, frames, fps, _encoder(path))
        else:
            frames = itertools.chain([first], frames)
            with open(temporary, 'wb') as file:
                write_webp(file, frames, count, fps) if suffix == '.webp' else _write_gif(file, frames, fps)
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable('out', path, error, remedy=None) from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Returns uint8 [H, W, 3] of an image with any number of channels, as a viewer shows what `grid.save_png` writes.

    Films have no opacity: four channels are composited on white, as pictures with transparency are for three channels.
    """
    if image.shape[-1] == 4:
        return to_uint8(to_channels(PIL.Image.fromarray(image), 3))
    return image if image.shape[-1] == 3 else np.repeat(image[..., :1], 3, axis=-1)


def even(image: np.ndarray) -> np.ndarray:
    """Repeats the last row or column where their number is odd: H.264 stores colours at half the size."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')


def _encoder(path):
    """Returns the path of an ffmpeg that exists."""
    try:
        import imageio_ffmpeg  # optional

        found = shutil.which(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        found = None
    if not found:
        raise UserError(
            "MP4 needs an encoder: pip install -e '.[video]', or name a .webp or .gif", field='out', value=path
        )
    return found


def _check_size(path, suffix, frame, count):
    height, width = frame.shape[:2]
    if max(height, width) > _LARGEST_SIDE[suffix]:
        raise UserError(
            f'frames of {width}x{height} are too large for {suffix[1:]}, whose sides are '
            f'{_LARGEST_SIDE[suffix]} at most',
            field='out',
            value=path,
            remedy='show less at a time',
        )
    if suffix == '.gif' and count * frame.nbytes > MEMORY_BUDGET:
        raise UserError(
            f'{count} frames of {width}x{height} are too many to be held in memory, as gif needs',
            field='out',
            value=path,
            remedy='name an .mp4 or a .webp, or show less',
        )


def _write_mp4(path, first, frames, fps, encoder):
    first = even(first)
    # bitexact leaves the version of the encoder out of the file, so that films are reproducible; faststart moves the
    # index to the front, so that browsers can play a film while it loads. imageio_ffmpeg has a writer of its own, which
    # forks: a process that runs JAX's threads must not.
    command = [
        encoder,
        '-v',
        'error',
        '-y',
        '-f',
        'rawvideo',
        '-pix_fmt',
        'rgb24',
        '-s',
        f'{first.shape[1]}x{first.shape[0]}',
        '-r',
        f'{fps:g}',
        '-i',
        'pipe:',
        '-c:v',
        'libx264',
        '-crf',
        str(_CRF),
        '-pix_fmt',
        'yuv420p',
        *_COLOURS,
        '-movflags',
        '+faststart',
        '-fflags',
        '+bitexact',
        '-flags:v',
        '+bitexact',
        '-f',
        'mp4',
        path,
    ]
    with tempfile.TemporaryFile('w+') as said:
        # In a group of its own, so that Ctrl-C reaches this process alone.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said, process_group=0)
        try:
            # Where ffmpeg ends early, the pipe breaks; its own message, read below, says why.
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                for frame in itertools.chain([first], map(even, frames)):
                    pipe.write(np.ascontiguousarray(frame))
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
        if code:
            said.seek(0)
            reasons = said.read().strip().splitlines()[:_MOST_REASONS] or [f'exit code {code}']
            raise OSError('ffmpeg: ' + '; '.join(reasons))


class _Frames(PIL.Image.Image):
    """Frames as one image that Pillow's writer of WebP steps through, so that one alone is in memory."""

    def __init__(self, frames: Iterator[np.ndarray], count: int):
        super().__init__()
        self._frames, self._place, self.n_frames = frames, -1, count
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Goes on to the next frame; a writer never needs one that it has left, but asks for the first in the end."""
        if frame == self._place + 1:
            image = PIL.Image.fromarray(np.ascontiguousarray(next(self._frames)))
            self._place, self._mode, self._size, self.im = frame, image.mode, image.size, image.im


def write_webp(file: typing.BinaryIO, frames: Iterable[np.ndarray], count: int, fps: float) -> None:
    """Writes a film of WebP; the encoder holds what it has encoded, and one frame at a time.

    Args:
      file: where it is written when all frames are encoded.
      frames: uint8 [H, W, 3], all of one size; they are taken one by one.
      count: how many there are.
      fps: frames a second.
    """
    options = {'format': 'WEBP', 'quality': _WEBP_QUALITY, 'method': 4, 'duration': _durations(count, fps, 1)}
    _Frames(iter(frames), count).save(file, save_all=True, loop=0, **options)


def _write_gif(file, frames, fps):
    images = [PIL.Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    options = {'format': 'GIF', 'optimize': False, 'duration': _durations(len(images), fps, _GIF_UNIT)}
    images[0].save(file, save_all=True, append_images=images[1:], loop=0, **options)


def _durations(count, fps, unit):
    """How long each frame is shown, in multiples of a unit [milliseconds]."""
    # Times are rounded before durations are taken from them, so that rounding errors do not add up.
    edges = [round(number * 1000 / fps / unit) * unit for number in range(count + 1)]
    return [max(unit, last - start) for start, last in itertools.pairwise(edges)]
