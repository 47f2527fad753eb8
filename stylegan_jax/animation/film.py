"""Frames into a file: MP4 by ffmpeg, where that is installed; WebP or GIF by Pillow."""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile

import numpy as np
import PIL.features
import PIL.Image

from stylegan_jax.errors import UserError
from stylegan_jax.runtime.threads import MEMORY_BUDGET

SUFFIXES = '.mp4', '.webp', '.gif'
_CRF = 16  # constant quality of H.264; 17 is said to be visually lossless, and small images show more
# Said and meant: players guess other matrices for large frames than ffmpeg does for all.
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
_MOST_REASONS = 3  # lines of ffmpeg's that are told
_GIF_UNIT = 10  # milliseconds; GIF counts in these
_LARGEST_SIDE = {'.mp4': 8192, '.webp': 16383, '.gif': 65535}  # H.264 at level 6, and the formats' fields


def check(path, flag='out'):
    """Returns the suffix of a film's path.

    Raises:
      UserError: there is no such kind of film, or what writes it is not installed.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in SUFFIXES:
        raise UserError(f'--{flag}={path}: name a file that ends in ' + ', '.join(SUFFIXES))
    if suffix == '.mp4':
        _encoder(path, flag)
    if suffix == '.webp' and not PIL.features.check('webp'):
        raise UserError(f'--{flag}={path}: this Pillow was built without WebP; name a .gif')
    return suffix


def write(path, frames, count, fps, flag='out'):
    """Writes a film, which appears whole or not at all.

    Args:
      path: its suffix says of which kind it is.
      frames: an iterable of uint8 [H, W, C], all of one size; 1 (grey), 3 (RGB) or 4 channels, whose last is left out.
      count: how many there will be.
      fps: frames a second.
      flag: the name of the flag that the path came from, for errors.

    Raises:
      UserError: see `check`; or the film is too large for its kind, or cannot be written.
    """
    suffix = check(path, flag)
    temporary = f'{path}.part'
    frames = map(as_rgb, frames)
    try:
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, 'wb'):
            pass  # what cannot be written is said before frames are made
        first = next(frames)
        _check_size(path, suffix, first, count, flag)
        if suffix == '.mp4':
            _write_mp4(temporary, first, frames, fps, _encoder(path, flag))
        else:
            _write_with_pillow(temporary, first, frames, fps, suffix)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f'--{flag}={path}: cannot be written ({error.strerror or error})') from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def as_rgb(image):
    """Returns uint8 [H, W, 3] of an image with any number of channels; as `grid.save_png` shows it, without alpha."""
    return image[..., :3] if image.shape[-1] in (3, 4) else np.repeat(image[..., :1], 3, axis=-1)


def even(image):
    """Repeats the last row and column where their number is odd: H.264 halves the sides for colours."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')


def _encoder(path, flag):
    """Returns the path of an ffmpeg that exists."""
    try:
        import imageio_ffmpeg

        found = shutil.which(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        found = None
    if not found:
        raise UserError(f"--{flag}={path}: MP4 needs an encoder: pip install -e '.[video]', or name a .webp or .gif")
    return found


def _check_size(path, suffix, frame, count, flag):
    height, width = frame.shape[:2]
    if max(height, width) > _LARGEST_SIDE[suffix]:
        raise UserError(
            f'--{flag}={path}: frames of {width}x{height} are too large for {suffix[1:]}, whose sides are '
            f'{_LARGEST_SIDE[suffix]} at most; show less at a time'
        )
    if suffix != '.mp4' and count * frame.nbytes > MEMORY_BUDGET:
        raise UserError(
            f'--{flag}={path}: {count} frames of {width}x{height} are too many to be held in memory, as '
            f'{suffix[1:]} needs; name an .mp4, or show less'
        )


def _write_mp4(path, first, frames, fps, encoder):
    first = even(first)
    # Bit-exact leaves out the version of the encoder; faststart lets browsers begin before the end has come.
    # (imageio_ffmpeg's own writer forks, which a process with JAX in it must not.)
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
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # it has said why by then
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
    # Rounded as a whole, so that errors do not add up.
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
