"""Shapes and paint for the toy faces: curves as point lists, and a canvas that knows the head's pose.

Nothing here knows what a nose is; see `toy_faces/drawing.py` and `toy_faces/hair.py`.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from stylegan_jax.data.toy_faces.parameters import Colour, Face

INK: Colour = (52, 34, 42)  # the darkest line: warm, not black
DEPTH: Colour = (84, 28, 62)  # the colour that shadows lean to
WHITE: Colour = (255, 252, 246)
LAMP: Colour = (255, 222, 184)  # the colour that lit skin leans to

HEAD_CENTRE = (0.5, 0.525)
ZOOM = 1.1  # of the camera, about ZOOM_CENTRE: how much of the picture the head fills
ZOOM_CENTRE = (0.5, 0.5)
TILT_PIVOT_Y = 0.3  # below the head's centre, at the neck
LARGEST_TURN = 0.36  # radians, at turn = 1

_OVAL_POINTS = 72
_ANGLES = np.linspace(0.0, 2.0 * np.pi, _OVAL_POINTS, endpoint=False)
_CIRCLE = np.stack([np.sin(_ANGLES), -np.cos(_ANGLES)], axis=1)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return `a` moved by `share` of the way to `b`."""
    keep = 1.0 - share
    return (
        int(keep * a[0] + share * b[0] + 0.5),
        int(keep * a[1] + share * b[1] + 0.5),
        int(keep * a[2] + share * b[2] + 0.5),
    )


def darker(colour: Colour, share: float) -> Colour:
    """Return the colour in shadow: darker, and a little towards plum."""
    return mix(colour, DEPTH, share)


@cache
def _superellipse(power: float) -> np.ndarray:
    return np.sign(_CIRCLE) * np.abs(_CIRCLE) ** (2.0 / power)


def oval(x: float, y: float, radius_x: float, radius_y: float, power: float = 2.0) -> np.ndarray:
    """Return a superellipse, [72, 2], clockwise from the top; `power` over 2 is squarer."""
    unit = _CIRCLE if power == 2.0 else _superellipse(power)
    return unit * (radius_x, radius_y) + (x, y)


@cache
def _catmull_rom(knots: int, closed: bool, samples: int) -> np.ndarray:
    """Return the matrix [points, knots] that samples a Catmull-Rom spline through its knots."""
    t = np.linspace(0.0, 1.0, samples, endpoint=False)
    weights = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], axis=1
    )
    spans = knots if closed else knots - 1
    matrix = np.zeros((spans * samples + (not closed), knots))
    for span in range(spans):
        for offset in range(4):
            knot = span + offset - 1
            knot = knot % knots if closed else min(max(knot, 0), knots - 1)
            matrix[span * samples : (span + 1) * samples, knot] += weights[:, offset]
    if not closed:
        matrix[-1, -1] = 1.0
    return matrix


def curve(knots: Sequence[tuple[float, float]] | np.ndarray, closed: bool = False, samples: int = 8) -> np.ndarray:
    """Return a smooth curve [..., n, 2] through the knots [..., k, 2]."""
    knots = np.asarray(knots)
    return _catmull_rom(knots.shape[-2], closed, samples) @ knots


def mirrored(knots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return knots on the viewer's right in reverse on the left, to continue a line through the middle."""
    return [(-x, y) for x, y in reversed(knots)]


@cache
def _half_widths(points: int, bluntness: float) -> np.ndarray:
    s = np.abs(np.linspace(-1.0, 1.0, points))
    return 0.5 * np.sqrt(np.maximum(1.0 - s**bluntness, 0.0))


def stroke(points: np.ndarray, width: float | np.ndarray, bluntness: float = 2.0) -> np.ndarray:
    """Return the outline of a brush stroke along a line, thick in the middle.

    Args:
        points: [..., n, 2], one or several lines.
        width: largest width, one or an array [..., 1].
        bluntness: over 2, the ends are rounder.

    Returns:
        [..., 2n, 2], closed polygons.
    """
    count = points.shape[-2]
    tangent = np.empty_like(points)
    tangent[..., 1:-1, :] = points[..., 2:, :] - points[..., :-2, :]
    tangent[..., 0, :] = points[..., 1, :] - points[..., 0, :]
    tangent[..., -1, :] = points[..., -1, :] - points[..., -2, :]
    x, y = tangent[..., 0], tangent[..., 1]
    reach = width * _half_widths(count, bluntness) / (np.sqrt(x * x + y * y) + 1e-9)
    outline = np.empty((*points.shape[:-2], 2 * count, 2))
    normal = np.stack((-y * reach, x * reach), axis=-1)
    outline[..., :count, :] = points + normal
    outline[..., count:, :] = (points - normal)[..., ::-1, :]
    return outline


def _soft_sprites() -> tuple[Image.Image, Image.Image]:
    """Return a soft spot, and a shade that falls away from a light at the upper left."""
    y, x = np.mgrid[0:256, 0:256] / 127.5 - 1.0
    spot = np.clip(1.0 - x * x - y * y, 0.0, 1.0) ** 1.5
    reach = np.clip((np.hypot(x + 0.3, y + 0.25) - 0.55) / 0.85, 0.0, 1.0)
    shade = reach * reach * (3.0 - 2.0 * reach)
    return tuple(Image.fromarray(np.rint(255.0 * a).astype(np.uint8)) for a in (spot, shade))


_SPOT, _SHADE = _soft_sprites()


@lru_cache(maxsize=16)
def _faded(sprite: str, strength: float) -> Image.Image:
    """Return a sprite scaled in opacity; the few strengths in use are kept."""
    return {'spot': _SPOT, 'shade': _SHADE}[sprite].point([int(i * strength) for i in range(256)])


def _sized(sprite: str, strength: float, size: tuple[int, int]) -> Image.Image:
    # A smooth picture shrinks well by taking every nth pixel, at a sixth of the time of a filter.
    image = _faded(sprite, strength)
    shrinks = max(size) <= image.width
    return image.resize(size, Image.Resampling.NEAREST if shrinks else Image.Resampling.BILINEAR)


class Canvas:
    """A picture in progress, with the pose of one head.

    Points come in two systems, with the width of the picture before the camera zooms as the unit: `frame`
    has its origin at the top left of that picture; `head` has it at the centre of the head and leans with
    the tilt.
    """

    def __init__(self, face: Face, size: int):
        self.size = size
        self.image = Image.new('RGB', (size, size))
        self.pen = ImageDraw.Draw(self.image)
        self.scale = ZOOM * size
        self._corner = size * (1.0 - ZOOM) * np.array(ZOOM_CENTRE)
        self.nod = face.nod
        self._turn_sine = np.sin(LARGEST_TURN * face.turn)
        self._turn_cosine = np.cos(LARGEST_TURN * face.turn)
        self._turn_sign = np.sign(face.turn)
        self._radius = 1.06 * face.head_width
        cosine, sine = np.cos(face.tilt), np.sin(face.tilt)
        rotation = np.array([[cosine, sine], [-sine, cosine]])  # for row vectors
        pivot = np.array([0.0, TILT_PIVOT_Y])
        self.centre = np.add(HEAD_CENTRE, (face.shift_x, face.shift_y))
        self._rotation = rotation
        self._offset = pivot - pivot @ rotation + self.centre

    def head(self, points: np.ndarray) -> np.ndarray:
        """Move points of the head's plane to the frame."""
        return points @ self._rotation + self._offset

    def surface(self, points: np.ndarray, protrusion: float = 0.0) -> np.ndarray:
        """Move points from the front of the head, seen straight on, to where the turned head shows them.

        The head is a cylinder for this: features wrap around it and narrow on the far side.

        Args:
            points: [..., 2], in the system `head`.
            protrusion: how far the points stand out from the head.

        Returns:
            [..., 2], in the system `frame`.
        """
        across = np.minimum(np.maximum(points[..., 0] / self._radius, -1.0), 1.0)
        # sin(a + b), where a is the angle of the point and b that of the turn
        turned = across * self._turn_cosine + np.sqrt(1.0 - across * across) * self._turn_sine
        beyond = across * self._turn_sign > self._turn_cosine  # out of sight: keep it on the edge
        turned[beyond] = self._turn_sign
        moved = np.empty_like(points)
        moved[..., 0] = (self._radius + protrusion) * turned
        moved[..., 1] = points[..., 1] + self.nod
        return self.head(moved)

    def pixels(self, points: np.ndarray) -> list:
        """Return the coordinates in pixels, [..., 2n] as lists, of polygons [..., n, 2] in `frame`."""
        # Pillow fills every pixel that an edge touches, so a shape grows by half a pixel on each side;
        # rounding after the shift by half a pixel keeps it centred.
        scaled = np.rint(points * self.scale + (self._corner - 0.5))
        return scaled.reshape(*points.shape[:-2], -1).tolist()

    def fill(self, points: np.ndarray, colour: Colour) -> None:
        """Fill a polygon [n, 2] given in the system `frame`, or several [m, n, 2]."""
        rows = self.pixels(points)
        for row in rows if points.ndim == 3 else [rows]:
            self.pen.polygon(row, fill=colour)

    def line(self, points: np.ndarray, width: float, colour: Colour) -> None:
        """Draw a line [n, 2] of even width, given in the system `frame`."""
        pixel_width = max(round(width * self.scale), 1)
        self.pen.line(self.pixels(points), fill=colour, width=pixel_width, joint='curve')

    def mask(self, *polygons: np.ndarray, circles: np.ndarray | None = None, opacity: float = 1.0) -> Image.Image:
        """Return the union of polygons, and of circles [n, 3] as (x, y, radius), as an 8-bit mask."""
        level = int(255 * opacity)
        mask = Image.new('L', (self.size, self.size))
        pen = ImageDraw.Draw(mask)
        for points in polygons:
            pen.polygon(self.pixels(points), fill=level)
        if circles is not None:
            centres, radii = circles[:, None, :2], circles[:, None, 2:]
            for box in self.pixels(np.concatenate([centres - radii, centres + radii], axis=1)):
                pen.ellipse(box, fill=level)
        return mask

    def paint(self, mask: Image.Image, colour: Colour, shade: float = 0.0, strength: float = 0.9) -> None:
        """Paint a colour through a mask, and darken it by `shade` away from the light."""
        box = mask.getbbox()
        if box is None:
            return
        mask = mask.crop(box)
        self.image.paste(colour, box, mask)
        if shade:
            falloff = _sized('shade', strength, mask.size)
            self.image.paste(darker(colour, shade), box, ImageChops.multiply(mask, falloff))

    def glow(
        self,
        centre: np.ndarray,
        radii: tuple[float, float],
        colour: Colour,
        strength: float,
        within: Image.Image,
    ) -> None:
        """Paint a soft spot at a point [2] of the frame, inside a mask."""
        half = np.maximum(np.rint(np.multiply(radii, self.scale)), 1).astype(int)
        left, top = (np.rint(centre * self.scale + self._corner).astype(int) - half).tolist()
        width, height = (2 * half).tolist()
        box = (left, top, left + width, top + height)
        spot = _sized('spot', strength, (width, height))
        self.image.paste(colour, box, ImageChops.multiply(spot, within.crop(box)))
