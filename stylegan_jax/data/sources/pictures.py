"""Encoded pictures: which formats are read, how they are turned upright, and how damaged ones are reported."""

import contextlib
import io
import typing
from collections.abc import Iterator

from PIL import Image, ImageOps, UnidentifiedImageError

from stylegan_jax.data.fitting import Unusable
from stylegan_jax.errors import UserError

SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp')
_FORMATS = ('PNG', 'JPEG', 'WEBP')
_EXIF_ORIENTATION = 0x0112  # the number of the tag; its values 5 to 8 exchange width and height


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
        raise Unusable('not a PNG, JPEG or WebP image') from error
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
        picture = Image.open(file, formats=_FORMATS)
        turned = _tells_orientation(picture) and picture.getexif().get(_EXIF_ORIENTATION) in (5, 6, 7, 8)
        return picture.size if turned else picture.size[::-1]


def decode(content: bytes) -> Image.Image:
    """Returns the PIL.Image, upright, of encoded bytes; raises Unusable."""
    with failing_as_unusable():
        picture = Image.open(io.BytesIO(content), formats=_FORMATS)
        picture.load()
        if _tells_orientation(picture):
            ImageOps.exif_transpose(picture, in_place=True)
        return picture


def _tells_orientation(picture):
    """Says whether a picture's format tells how the camera was held.

    PNG is left out: its orientation may follow the pixels, so that asking for it would decode it.
    """
    return picture.format in ('JPEG', 'MPO', 'WEBP')  # MPO: a JPEG with more pictures attached, as phones write
