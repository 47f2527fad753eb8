"""The layout of a figure: tables of images with gutters and captions; a cell of a table may be another table.

Images are pasted without scaling, and every table says in which pixels each of them is, so that tests can compare them.
"""

import dataclasses
import typing

import numpy as np

from stylegan_jax.figures import captions

_WHITE = 255
_HEADER_GUTTERS = 4  # between headers and the rest, where one gutter is between others


class Cell(typing.NamedTuple):
    """The place of an image in a picture [pixels]."""

    top: int
    left: int
    height: int
    width: int

    def of(self, picture: np.ndarray) -> np.ndarray:
        """Returns the pixels at this place."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]

    def moved(self, down: int, right: int) -> typing.Self:
        """Returns the place in a larger picture that this cell's picture was pasted into."""
        return self._replace(top=self.top + down, left=self.left + right)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture, and the places of the images in it.

    Attributes:
      picture: uint8 [H, W, C].
      cells: {name: Cell}; a name has (row, column) of each table from the outermost to the image.
    """

    picture: np.ndarray
    cells: dict

    @classmethod
    def of(cls, image: np.ndarray) -> typing.Self:
        """Makes a figure of a single image, whose name is ()."""
        return cls(image, {(): Cell(0, 0, *image.shape[:2])})

    def image(self, *name: int) -> np.ndarray:
        """Returns the pixels of an image, by its name."""
        return self.cells[name].of(self.picture)


class Captions(typing.NamedTuple):
    """The words around a table: above it, above its columns, and left of its rows."""

    title: str = ''
    columns: typing.Sequence[str] = ()
    rows: typing.Sequence[str] = ()
    size: int = captions.SMALLEST_SIZE


def table(
    rows: typing.Sequence[typing.Sequence[np.ndarray | Figure | None]],
    *,
    gutter: int = 0,
    header_rows: int = 0,
    header_columns: int = 0,
    words: Captions | None = None,
) -> Figure:
    """Lays images out in rows and columns, each as high or as wide as its largest image.

    Args:
      rows: lists of images uint8 [h, w, C], of Figures, or of None for an empty place.
      gutter: white pixels between images.
      header_rows: how many of the first rows a wider gutter sets apart.
      header_columns: how many of the first columns a wider gutter sets apart.
      words: the captions; None leaves out the margin as well.

    Returns:
      A Figure, in which the names of images begin with (row, column).
    """
    # Words are drawn first, because rows and columns must be large enough for them as well.
    blocks = [[Figure.of(x) if isinstance(x, np.ndarray) else x for x in row] for row in rows]
    count = max(len(row) for row in blocks)
    size = words.size if words else 0
    titles = [captions.text_mask(text, size, centered=True) for text in words.columns] if words else []
    beside = [captions.text_mask(text, size) for text in words.rows] if words else []
    widths = [max([b.picture.shape[1] for b in _column(blocks, c)] + [_width(titles, c)]) for c in range(count)]
    heights = [max([b.picture.shape[0] for b in row if b] + [_height(beside, r)]) for r, row in enumerate(blocks)]
    margin, side, band = size // 2, _room(beside, 1, size), _room(titles, 0, size // 3)
    lefts = _starts(widths, margin + side, gutter, header_columns)
    width = lefts[-1] + widths[-1] + margin
    # The title is broken into lines as wide as the table, and the rows begin below it.
    title = captions.text_mask(words.title, size, width - 2 * margin) if words and words.title else None
    above = margin if title is None else margin + title.shape[0] + size // 2
    tops = _starts(heights, above + band, gutter, header_rows)
    channels = next(block.picture.shape[-1] for row in blocks for block in row if block)
    wide = max(width, 0 if title is None else 2 * margin + title.shape[1])  # a word may be wider than the table
    picture = np.full((tops[-1] + heights[-1] + margin, wide, channels), _WHITE, np.uint8)
    cells = {}
    for r, row in enumerate(blocks):
        for c, block in enumerate(row):
            if block:
                picture[tops[r] :, lefts[c] :][: block.picture.shape[0], : block.picture.shape[1]] = block.picture
                cells |= {(r, c, *name): cell.moved(tops[r], lefts[c]) for name, cell in block.cells.items()}
    if title is not None:
        captions.paint(picture, title, margin, margin)
    for c, mask in enumerate(titles):
        left = lefts[c] + (widths[c] - mask.shape[1]) // 2
        captions.paint(picture, mask, above + band - size // 3 - mask.shape[0], left)
    for r, mask in enumerate(beside):
        captions.paint(picture, mask, tops[r] + (heights[r] - mask.shape[0]) // 2, margin)
    return Figure(picture, cells)


def _column(blocks, number):
    return [row[number] for row in blocks if number < len(row) and row[number]]


def _width(masks, number):
    return masks[number].shape[1] if number < len(masks) else 0


def _height(masks, number):
    return masks[number].shape[0] if number < len(masks) else 0


def _room(masks, axis, gap):
    """The pixels that captions take along an axis, with the gap to the images; 0 without captions."""
    return max(mask.shape[axis] for mask in masks) + gap if masks else 0


def _starts(sizes, start, gutter, headers):
    starts = []
    for number, size in enumerate(sizes):
        starts.append(start)
        start += size + gutter * (_HEADER_GUTTERS if number + 1 == headers else 1)
    return starts
