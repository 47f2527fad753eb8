"""Frames into a file: MP4 by ffmpeg, where that is installed; WebP or GIF by Pillow."""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable

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
            _write_with_pillow(temporary, first, frames, fps, suffix)
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
    if suffix != '.mp4' and count * frame.nbytes > MEMORY_BUDGET:
        raise UserError(
            f'{count} frames of {width}x{height} are too many to be held in memory, as {suffix[1:]} needs',
            field='out',
            value=path,
            remedy='name an .mp4, or show less',
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


def _write_with_pillow(path, first, frames, fps, suffix):
    images = [PIL.Image.fromarray(np.ascontiguousarray(frame)) for frame in (first, *frames)]
    unit = _GIF_UNIT if suffix == '.gif' else 1
    # Times are rounded before durations are taken from them, so that rounding errors do not add up.
    edges = [round(number * 1000 / fps / unit) * unit for number in range(len(images) + 1)]
    durations = [max(unit, last - start) for start, last in itertools.pairwise(edges)]
    options = {'quality': _WEBP_QUALITY, 'method': 4} if suffix == '.webp' else {'optimize': False}
    with open(path, 'wb') as file:
        images[0].save(
            file,
            format=suffix[1:].upper(),
            save_all=True,
            append_images=images[1:],
            duration=durations,
            loop=0,
            **options,
        )
