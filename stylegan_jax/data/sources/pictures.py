"""Encoded pictures: which formats are read, how they are turned upright, and how damaged ones are reported."""

import collections
import contextlib
import functools
import io
import re
import sys
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator

from PIL import Image, UnidentifiedImageError

from stylegan_jax.data.channels import LOW_BYTES
from stylegan_jax.data.fitting import Unusable
from stylegan_jax.data.sources import png
from stylegan_jax.errors import UserError
from stylegan_jax.runtime.stand_ins import LOOKED_AT as STAND_IN_BYTES
from stylegan_jax.runtime.stand_ins import stand_in

# Formats that Pillow decodes to the pixels that were encoded, and recognises by their first bytes.
_SUFFIXES_OF = {
    'PNG': ('.png', '.apng'),
    'JPEG': ('.jpg', '.jpeg', '.jpe', '.jfif'),
    'WEBP': ('.webp',),
    'BMP': ('.bmp', '.dib'),
    'TIFF': ('.tif', '.tiff'),
    'GIF': ('.gif',),
    'PPM': ('.ppm', '.pgm', '.pbm', '.pnm'),
    'AVIF': ('.avif',),
    'JPEG2000': ('.jp2', '.j2k', '.jpx'),
}
SUFFIXES = tuple(suffix for suffixes in _SUFFIXES_OF.values() for suffix in suffixes)
KINDS = 'PNG, JPEG, WebP, TIFF or other image'  # for messages
NO_SUFFIX = 'without a suffix'
_SIGNATURES = (
    png.SIGNATURE,
    b'\xff\xd8\xff',  # JPEG
    b'BM',
    b'II*\0',  # TIFF, little-endian
    b'MM\0*',  # TIFF, big-endian
    b'GIF8',
    b'\0\0\0\x0cjP  ',  # JPEG 2000
)
_SIGNATURES_AFTER_SIZE = {4: (b'ftypavif', b'ftypavis'), 8: (b'WEBP',)}  # by their place in the file
_SIGNATURE_BYTES = 16
_EXIF_ORIENTATION = 0x0112  # the number of the tag; its values 5 to 8 exchange width and height
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns of pictures beyond half of its limit, of odd metadata and the like. None of it is about the pixels.
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)
warnings.filterwarnings('ignore', module=r'PIL\.')


def pictures_among(
    names: Iterable[str], read_start: Callable[[str, int], bytes]
) -> tuple[list[str], collections.Counter[str]]:
    """Finds the pictures among files.

    Args:
      names: of files that could be pictures.
      read_start: from a name and a number of bytes to that many of the first bytes of the file. It is called for files
        without a suffix.

    Returns:
      (the names of pictures, sorted; how many files were passed over, by their suffix).
    """
    found, passed_over = [], collections.Counter()
    for name in names:
        suffix = _suffix(name)
        if suffix in SUFFIXES or (not suffix and _is_picture(read_start(name, _SIGNATURE_BYTES))):
            found.append(name)
        else:
            passed_over[suffix or NO_SUFFIX] += 1
    return sorted(found), passed_over


def describe_passed_over(passed_over: collections.Counter[str]) -> str | None:
    """Returns a line about the files that `pictures_among` passed over; None if there are none."""
    if not passed_over:
        return None
    listed = ', '.join(f'{number} {suffix}' for suffix, number in sorted(passed_over.items(), key=lambda x: -x[1])[:10])
    more = f', and {len(passed_over) - 10} other suffixes' if len(passed_over) > 10 else ''
    return f'passed over, as no pictures of a kind that is read: {listed}{more}'


def _suffix(name):
    name = name.rpartition('/')[2]
    return '.' + name.rpartition('.')[2].lower() if '.' in name[1:] else ''


def _is_picture(start):
    return start.startswith(_SIGNATURES) or any(
        start[place:].startswith(signatures) for place, signatures in _SIGNATURES_AFTER_SIZE.items()
    )


@functools.cache
def _formats():
    """The names by which this Pillow knows the formats; it may be built without some."""
    Image.init()
    return tuple(name for name in _SUFFIXES_OF if name in Image.OPEN)


@contextlib.contextmanager
def failing_as_unusable() -> Iterator[None]:
    """Turns any exception into Unusable: damaged files make zipfile and Pillow raise nearly anything.

    A UserError stays one: it is about the whole source, which another process may have found changed. Failures of the
    machine, such as a file that cannot be opened now, become UserErrors too: they say nothing about the picture.
    """
    try:
        yield
    except (Unusable, UserError):
        raise
    except UnidentifiedImageError as error:
        raise Unusable(f'not a {KINDS}') from error
    except Image.DecompressionBombError as error:
        pixels, limit = (int(number) / 1e6 for number in re.findall(r'\d+', str(error))[:2])
        raise Unusable(
            f'its {pixels:.0f} megapixels are too many, {limit:.0f} are read at most; reduce it with another program'
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # Pillow's own have no number
            raise UserError(
                f'{error.filename or "a picture"}: cannot be read ({error.strerror})',
                remedy='start the same command again when it can',
            ) from error
        raise Unusable(f'{type(error).__name__}: {error}') from error


def upright_size(file: typing.BinaryIO) -> tuple[int, int]:
    """Returns (height, width) of an encoded picture once it is upright, from its header; raises Unusable."""
    with failing_as_unusable():
        picture = _open(file, pixels=False)
        return picture.size if _orientation(picture) in (5, 6, 7, 8) else picture.size[::-1]


def decode(content: bytes) -> Image.Image:
    """Returns the PIL.Image, upright, of encoded bytes; raises Unusable.

    Of a file with several pictures it is the first. Colours of 16 bits come with their low bytes; see `channels`.
    """
    with failing_as_unusable():
        picture = _open(io.BytesIO(content))
        deep_modes = {tile.args if isinstance(tile.args, str) else tile.args[0] for tile in picture.tile if tile.args}
        picture.load()
        if png.is_png(content):
            _mend_transparency(picture, *png.bit_depth_and_colour_type(content))
        if picture.mode[0] != 'I' and deep_modes and all(';16' in str(mode) for mode in deep_modes):
            with contextlib.suppress(ValueError, KeyError):  # Pillow cannot read these bytes
                picture.info[LOW_BYTES] = _low_bytes(content)
        return _upright(picture)


def _open(file, *, pixels=True):
    """Opens a picture, whose pixels are not decoded yet."""
    if png.is_png(file.read(len(png.SIGNATURE))):
        file.seek(0)
        file = png.without_side_chunks(file, pixels=pixels)
    file.seek(0)
    try:
        return Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        file.seek(0)
        if kind := stand_in(file.read(STAND_IN_BYTES)):
            raise Unusable(f'not a picture: it is {kind}') from None
        raise


def _orientation(picture):
    """Returns the number that says how the camera was held; 1 is upright.

    PNG is left out: its orientation may follow the pixels, so that asking for it would decode it. Pillow turns TIFF
    upright by itself.
    """
    if picture.format not in ('JPEG', 'MPO', 'WEBP', 'AVIF'):  # MPO: a JPEG with more pictures, as phones write
        return 1
    try:
        return picture.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # what a camera wrote beside the pixels may be damaged in any way, and they are good
        return 1


def _upright(picture):
    transposition = _UPRIGHT.get(_orientation(picture))
    if transposition is None:
        return picture
    upright = picture.transpose(transposition)
    upright.format = picture.format
    return upright


def _mend_transparency(picture, depth, colour_type):
    """Scales the transparent shade of grey of 2 or 4 bits, as Pillow does with the pixels but not with it."""
    if colour_type == 0 and depth in (2, 4) and 'transparency' in picture.info:
        picture.info['transparency'] *= 255 // (2**depth - 1)


def _low_bytes(content):
    """Returns the low bytes of 16-bit colours, as an image of the mode and size that the high bytes have.

    Pillow can take 16-bit values for ones in the other order of bytes, whose high bytes are the low ones of these.
    """
    other = {'B': 'L', 'L': 'B', 'N': 'B' if sys.byteorder == 'little' else 'L'}
    picture = _open(io.BytesIO(content))

    def swapped(args):
        if not isinstance(args, str):
            return (swapped(args[0]), *args[1:])
        # Grey with opacity cannot be taken so, but for four channels of 8 bits.
        return 'RGBA' if args == 'LA;16B' else args[:-1] + other[args[-1]]

    grey = any(tile.args == 'LA;16B' for tile in picture.tile)
    picture.tile = [tile._replace(args=swapped(tile.args)) for tile in picture.tile]
    picture.load()
    if grey:
        _, low, _, low_opacity = picture.split()
        return Image.merge('RGBA', (low, low, low, low_opacity))
    return picture
