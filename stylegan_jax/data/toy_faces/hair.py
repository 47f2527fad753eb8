"""Hair and hats of the toy faces, in the layers in which `drawing.render` paints them."""

from functools import cache

import numpy as np
from PIL import ImageChops

from stylegan_jax.data.toy_faces.canvas import WHITE, Canvas, curve, darker, mirrored, mix, oval, stroke
from stylegan_jax.data.toy_faces.parameters import Face

SKULL_POWER = 2.3  # superellipse of the upper head; hair and hats follow it
HAT_EDGE = -0.15  # lower edge of a hat, in the system `head`

_SIDE_VOLUMES = {'bald': 0.002, 'short': 0.016, 'bun': 0.014, 'bob': 0.032, 'long': 0.032}
COVERS_EARS = ('bob', 'long')

_STRAND_TEXTURE = slice(64, 112)
_CURL_TEXTURE = slice(112, 160)


def hair_rises(face: Face) -> float:
    """Return how far the hair stands above the skull: a hat presses it flat, and curls add their own."""
    volume = min(face.hair_volume, 0.025) if face.hat != 'none' else face.hair_volume
    return 0.6 * volume if face.curly else volume


def _side(face: Face) -> float:
    """Return half the width of the hair at the temples."""
    return face.head_width + _SIDE_VOLUMES[face.hair_style]


@cache
def _unit_arc(start: float, stop: float, points: int) -> np.ndarray:
    angle = np.radians(np.linspace(start, stop, points))
    unit = np.stack([np.sin(angle), -np.cos(angle)], axis=1)
    return np.sign(unit) * np.abs(unit) ** (2.0 / SKULL_POWER)


def _arc(width: float, height: float, start: float, stop: float, points: int = 33) -> np.ndarray:
    """Return an arc [points, 2] of the skull's superellipse; angles in degrees from the top, clockwise."""
    return _unit_arc(start, stop, points) * (width, height)


def _hairline(face: Face) -> np.ndarray:
    """Return the lower edge [n, 2] of the front hair, from the viewer's right to left, seen straight on."""
    w = face.head_width
    lock = {
        'long': [(1.02 * w, 0.46), (0.93 * w, 0.29), (0.9 * w, 0.13), (0.9 * w, 0.02)],
        'bob': [(1.0 * w, 0.265), (0.93 * w, 0.2), (0.9 * w, 0.11), (0.9 * w, 0.02)],
    }.get(face.hair_style, [(0.96 * w, 0.035)])
    sweep = 0.03 * face.parting
    if face.fringe:
        jitter = 0.022 * (np.array(face.texture[_STRAND_TEXTURE][:6]) - 0.5)
        x = np.array([0.8, 0.52, 0.22, -0.1, -0.45, -0.8]) * w
        y = np.array([-0.07, -0.105, -0.098, -0.112, -0.1, -0.07]) + jitter + sweep * x / w
        y += 0.022 * (face.hat != 'none')  # out from under the brim
        front = np.stack([x, y], axis=1).tolist()
    else:
        top = -0.2 if face.hair_style == 'short' else -0.212
        peak = 0.55 * face.parting * w
        front = [
            (0.87 * w, -0.06),
            (0.5 * (0.8 * w + peak), top + 0.055 + sweep),
            (peak + 0.012, top),
            (peak - 0.012, top),
            (0.5 * (peak - 0.8 * w), top + 0.055 - sweep),
            (-0.87 * w, -0.06),
        ]
    return curve(lock + front + mirrored(lock), samples=6)


def _placed_hairline(canvas: Canvas, face: Face) -> np.ndarray:
    # The negative protrusion brings the far end back onto the head, or the backdrop shows in between.
    return canvas.surface(_hairline(face), protrusion=-0.1 * face.head_width)


def front_hair_outline(face: Face, canvas: Canvas) -> np.ndarray:
    """Return the hair over the forehead and temples, [n, 2], in the system `frame`."""
    side = _side(face)
    end, flare = {'long': (0.46, 0.024), 'bob': (0.265, 0.014)}.get(face.hair_style, (0.03, -0.02))
    dome = _arc(side, face.head_height + hair_rises(face), -90.0, 90.0)
    if face.hair_style == 'short' and face.hat == 'none':
        dome[:, 1] -= 0.028 * np.exp(-(((dome[:, 0] + 0.2 * face.parting) / 0.1) ** 2))  # a tuft
    right = curve([(side, 0.0), (side + flare, 0.55 * end), (side + 0.4 * flare, end)])[1:]
    left = (right * (-1.0, 1.0))[::-1]
    return np.concatenate([canvas.head(np.concatenate([left, dome, right])), _placed_hairline(canvas, face)])


def _back_outline(face: Face) -> np.ndarray:
    """Return the hair behind the head, [n, 2], in the system `head`."""
    w, volume = _side(face), hair_rises(face)
    top = face.head_height + 0.6 * volume
    if face.hair_style == 'long':
        sides = [(w - 0.01, -0.14), (w + 0.012, 0.05), (w + 0.028, 0.24), (w + 0.012, 0.4), (w - 0.04, 0.56)]
        bottom = [(0.0, 0.56)]
    else:
        sides = [(w - 0.01, -0.14), (w + 0.016, 0.04), (w + 0.022, 0.18), (w - 0.008, 0.285)]
        bottom = [(0.5 * w, 0.3), (0.0, 0.27), (-0.5 * w, 0.3)]
    return curve([(0.0, -top), *sides, *bottom, *mirrored(sides)], closed=True, samples=5)


def _curls(face: Face, line: np.ndarray, count: int, radius: float) -> np.ndarray:
    """Return circles [count, 3] spread along a line, their places and sizes jittered by the texture."""
    jitter = np.resize(np.array(face.texture[_CURL_TEXTURE]) - 0.5, (count, 3))
    places = line[np.linspace(0, len(line) - 1, count).astype(int)]
    circles = np.empty((count, 3))
    circles[:, :2] = places + 0.024 * jitter[:, :2]
    circles[:, 2] = radius * (1.0 + 0.4 * jitter[:, 2])
    return circles


def _gleam_template() -> np.ndarray:
    arc = np.radians(np.linspace(-95.0, 5.0, 7))
    return stroke(0.6 * np.stack([np.sin(arc), -np.cos(arc)], axis=1), 0.2)


_GLEAM = _gleam_template()  # of a curl of radius 1, on the side of the light


def _draw_curl_gleams(canvas: Canvas, circles: np.ndarray, colour) -> None:
    canvas.fill(_GLEAM * circles[:, None, 2:] + circles[:, None, :2], colour)


def draw_back_hair(canvas: Canvas, face: Face) -> None:
    """Paint the hair behind the head: the length of a bob or long hair, or a bun."""
    colour = darker(face.hair_colour, 0.2)
    if face.hair_style in COVERS_EARS:
        outline = canvas.head(_back_outline(face))
        curls = _curls(face, outline, 26, 0.05) if face.curly else None
        canvas.paint(canvas.mask(outline, circles=curls), colour, shade=0.35)
        if curls is not None:
            if face.hat != 'none':
                curls = curls[curls[:, 1] > canvas.centre[1]]
            _draw_curl_gleams(canvas, curls, mix(colour, face.hair_colour, 0.8))
        else:
            _draw_long_strands(canvas, face)
    elif face.hair_style == 'bun':
        x, y = -0.12 * face.parting, -(face.head_height + hair_rises(face) + 0.012)
        bun = canvas.head(oval(x, y, 0.1, 0.088))
        curls = _curls(face, bun, 11, 0.036) if face.curly else None
        canvas.paint(canvas.mask(bun, circles=curls), face.hair_colour, shade=0.5)
        gleam = mix(face.hair_colour, WHITE, 0.2)
        if curls is not None:
            _draw_curl_gleams(canvas, curls, gleam)
        knot = oval(x, y, 0.06, 0.052)[46:69]
        canvas.fill(canvas.head(stroke(knot, 0.018)), gleam)


def _draw_long_strands(canvas: Canvas, face: Face) -> None:
    """Draw strands down both sides of long or bobbed hair."""
    jitter = np.array(face.texture[_STRAND_TEXTURE])[:36].reshape(6, 6)
    side = np.array([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    end = 0.5 if face.hair_style == 'long' else 0.25
    knots = np.empty((6, 3, 2))
    knots[:, 0, 0] = side * (face.head_width - 0.016 + 0.042 * jitter[:, 0])
    knots[:, 1, 0] = knots[:, 0, 0] + 0.01 * side
    knots[:, 2, 0] = knots[:, 0, 0] - 0.012 * side
    knots[:, :, 1] = [0.08, 0.5 * end + 0.04, end]
    knots[:, 2, 1] -= 0.08 * jitter[:, 1]
    strands = canvas.head(stroke(curve(knots), 0.006 + 0.007 * jitter[:, 2:3]))
    canvas.fill(strands[:4], darker(face.hair_colour, 0.26))
    canvas.fill(strands[4:], mix(face.hair_colour, WHITE, 0.12))


def draw_front_hair(canvas: Canvas, face: Face, outline: np.ndarray) -> None:
    """Paint the hair over the forehead and temples, with its strands or curls."""
    curls = None
    if face.curly:
        around = _arc(_side(face), face.head_height + hair_rises(face) - 0.012, -88.0, 88.0)
        edge = _placed_hairline(canvas, face)[8:-8] - (0.0, 0.014)
        radius = 0.05 if face.hair_style == 'short' else 0.044
        edge_radius = 0.034 if face.fringe else 0.026
        curls = np.concatenate([_curls(face, canvas.head(around), 17, radius), _curls(face, edge, 11, edge_radius)])
    if face.hat != 'none' and curls is not None:
        curls = curls[curls[:, 1] > canvas.centre[1] + HAT_EDGE + 0.03]  # none above a hat
    canvas.paint(canvas.mask(outline, circles=curls), face.hair_colour, shade=0.5)
    gleam = mix(face.hair_colour, WHITE, 0.2)
    if curls is not None:
        inner = _curls(face, canvas.head(0.84 * _arc(_side(face), face.head_height, -60.0, 60.0)), 9, 0.04)
        _draw_curl_gleams(canvas, curls if face.hat != 'none' else np.concatenate([curls, inner]), gleam)
    else:
        _draw_strands(canvas, face, gleam)


def _draw_strands(canvas: Canvas, face: Face, gleam) -> None:
    """Draw strands from the parting to the hairline, and gleams across the top."""
    count = 7
    jitter = np.array(face.texture[_STRAND_TEXTURE])[: 3 * count].reshape(count, 3)
    rise = face.head_height + hair_rises(face)
    root = canvas.head(np.array([0.5 * face.parting * face.head_width, -0.97 * rise]))
    hairline = _placed_hairline(canvas, face)
    place = 2.0 * (np.arange(count) + jitter[:, 0]) / count - 1.0
    if not face.fringe:  # the middle of the hairline is too near the root
        place = np.sign(place) * (0.35 + 0.65 * np.abs(place))
    place = 0.5 + 0.31 * place
    tips = hairline[(place * len(hairline)).astype(int)] - root
    knots = root + np.stack([(0.15 + 0.3 * jitter[:, 1:2]) * tips, 0.55 * tips, 0.95 * tips], axis=1)
    knots[:, 1, 0] += 0.2 * tips[:, 0]
    strands = stroke(curve(knots, samples=6), 0.005 + 0.006 * jitter[:, 2:])
    canvas.fill(strands, darker(face.hair_colour, 0.14))
    rows = [(0.93 - 0.055 * i) * _unit_arc(-48.0 + 13.0 * i, -24.0 + 11.0 * i, 13) for i in range(3)]
    arcs = np.stack(rows) * (0.97 * face.head_width, rise)
    widths = np.array([[0.02], [0.015], [0.01]]) * (0.7 + 0.6 * jitter[:3, :1])
    canvas.fill(canvas.head(stroke(arcs, widths)), gleam)


def _hat_dome(face: Face, grow: float) -> np.ndarray:
    rise = face.head_height + hair_rises(face) + grow
    dome = _arc(_side(face) + 0.3 * grow, rise, -64.0, 64.0)
    return np.concatenate([dome, curve([tuple(dome[-1]), (0.0, HAT_EDGE), tuple(dome[0])])])


def _hat_band(face: Face, height: float, grow: float) -> np.ndarray:
    """Return a band around the head, [n, 2], in the system `head`, with rounded ends."""
    half = _side(face) + grow
    low, high = HAT_EDGE + 0.012, HAT_EDGE + 0.012 - height
    right = [
        (0.5 * half, low + 0.006),
        (0.94 * half, low + 0.02),
        (half, low - 0.3 * height),
        (0.93 * half, high + 0.016),
        (0.5 * half, high + 0.005),
    ]
    return curve([(0.0, low), *right, (0.0, high), *mirrored(right)], closed=True, samples=6)


def draw_hat(canvas: Canvas, face: Face) -> None:
    """Paint the hat, if the face wears one."""
    if face.hat == 'beanie':
        _draw_beanie(canvas, face)
    elif face.hat == 'cap':
        _draw_cap(canvas, face)
    elif face.hat == 'sun_hat':
        _draw_sun_hat(canvas, face)


def _draw_beanie(canvas: Canvas, face: Face) -> None:
    top = -(face.head_height + hair_rises(face) + 0.03)
    if face.texture[0] < 0.5:
        pompom = canvas.head(oval(0.0, top - 0.015, 0.056, 0.052))
        fluff = _curls(face, pompom, 12, 0.018)
        canvas.paint(canvas.mask(pompom, circles=fluff), mix(face.hat_colour, WHITE, 0.75), shade=0.3)
    canvas.paint(canvas.mask(canvas.head(_hat_dome(face, 0.03))), face.hat_colour, shade=0.45)
    band = canvas.head(_hat_band(face, 0.092, 0.02))
    light = mix(face.hat_colour, WHITE, 0.16)
    canvas.paint(canvas.mask(band), light, shade=0.4)
    x = np.linspace(-0.86, 0.86, 9)[:, None]
    ribs = np.empty((9, 3, 2))
    ribs[..., 0] = x * _side(face)
    ribs[..., 1] = np.array([-0.064, -0.032, -0.002]) + HAT_EDGE + 0.016 * x * x - canvas.nod
    canvas.fill(canvas.surface(stroke(ribs, 0.009)), darker(light, 0.22))


def _draw_cap(canvas: Canvas, face: Face) -> None:
    canvas.paint(canvas.mask(canvas.head(_hat_dome(face, 0.022))), face.hat_colour, shade=0.45)
    seam = curve([(0.0, -(face.head_height + hair_rises(face) + 0.01)), (0.0, -0.28), (0.0, HAT_EDGE - 0.02)])
    canvas.fill(canvas.surface(stroke(seam, 0.008)), darker(face.hat_colour, 0.25))
    w = face.head_width
    right = [(0.5 * w, -0.098), (0.92 * w, HAT_EDGE + 0.02), (0.55 * w, HAT_EDGE - 0.028)]
    edge = curve([(0.0, -0.082), *right, (0.0, HAT_EDGE - 0.045), *mirrored(right)], closed=True)
    visor = canvas.surface(edge, protrusion=0.045)
    canvas.paint(canvas.mask(visor), mix(face.hat_colour, WHITE, 0.18), shade=0.45)
    badge = canvas.surface(oval(0.0, -0.255, 0.036, 0.036), protrusion=0.02)
    canvas.fill(badge, mix(face.hat_colour, WHITE, 0.7))


def _draw_sun_hat(canvas: Canvas, face: Face) -> None:
    brim_y = HAT_EDGE - 0.015
    brim = canvas.head(oval(0.02 * face.turn, brim_y, face.head_width + 0.135, 0.068))
    canvas.paint(canvas.mask(brim), darker(face.hat_colour, 0.12), shade=0.3)
    crown = canvas.mask(canvas.head(_hat_dome(face, 0.03) - (0.0, 0.03)))
    canvas.paint(crown, mix(face.hat_colour, WHITE, 0.1), shade=0.4)
    lower = curve([(-0.4, brim_y - 0.02), (0.0, brim_y + 0.012), (0.4, brim_y - 0.02)])
    ribbon = canvas.mask(canvas.head(np.concatenate([lower, lower[::-1] - (0.0, 0.05)])))
    canvas.paint(ImageChops.multiply(ribbon, crown), darker(face.shirt, 0.1), shade=0.3)
