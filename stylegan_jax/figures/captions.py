"""Text for figures, drawn with the font that comes with Pillow."""

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from stylegan_jax.errors import UserError

SMALLEST_SIZE = 14  # pixels; smaller text is hard to read on a screen
_LARGEST_SIZE = 64
_INK = 24  # nearly black


def fitting_size(height: int) -> int:
    """Returns the size of text [pixels] that suits images of a height."""
    return min(max(height // 9, SMALLEST_SIZE), _LARGEST_SIZE)


def text_mask(text: str, size: int, width: int | None = None, centered: bool = False) -> np.ndarray:
    """Draws text.

    Args:
      text: may have several lines.
      size: of the font [pixels].
      width: lines that are longer [pixels] are broken at spaces where there are any; None for lines of any length.
      centered: whether shorter lines are centred.

    Returns:
      uint8 [h, w], 255 where the ink is. The height depends on the number of lines alone, not on their letters.

    Raises:
      UserError: Pillow was built without FreeType, which draws fonts.
    """
    if not PIL.features.check('freetype2'):
        raise UserError(
            'this Pillow was built without FreeType and cannot draw them',
            field='captions',
            remedy='turn them off, or install Pillow from PyPI',
        )
    font = PIL.ImageFont.load_default(size)
    lines = [piece for line in text.splitlines() for piece in _broken(line, font, width)]
    ascent, descent = font.getmetrics()
    mask = PIL.Image.new('L', (max((_width(line, font) for line in lines), default=0), len(lines) * (ascent + descent)))
    pen = PIL.ImageDraw.Draw(mask)
    for number, line in enumerate(lines):
        left = (mask.width - _width(line, font)) // 2 if centered else 0
        pen.text((left, number * (ascent + descent)), line, fill=255, font=font)
    return np.asarray(mask).reshape(mask.height, mask.width)


def paint(picture: np.ndarray, mask: np.ndarray, top: int, left: int) -> None:
    """Draws a text in place on a white picture.

    Args:
      picture: uint8 [H, W, C]; changed.
      mask: from `text_mask`; the part of it that does not fit into the picture is cut off.
      top: row of the mask's upper edge [pixels].
      left: column of the mask's left edge [pixels].
    """
    room = picture[top : top + mask.shape[0], left : left + mask.shape[1]]
    ink = mask[: room.shape[0], : room.shape[1], None] / 255  # edges of letters are smooth, so blend
    colours = room[..., :3] if room.shape[-1] == 4 else room  # an alpha channel stays as it is
    colours[:] = np.rint(colours * (1 - ink) + _INK * ink)


def _width(line, font):
    return int(np.ceil(font.getlength(line)))


def _broken(line, font, width):
    words = line.split(' ')
    start = words[0]
    for word in words[1:]:
        if width is not None and _width(f'{start} {word}', font) > width:
            yield start
            start = word
        else:
            start = f'{start} {word}'
    yield start
