"""Features of the toy faces: cheeks, nose, mouth, beard, eyes, brows, earrings and glasses.

All but the earrings lie on the surface of the head and wrap around it as it turns.
"""

import numpy as np
from PIL import Image

from stylegan_jax.data.toy_faces.canvas import INK, LAMP, WHITE, Canvas, curve, darker, mirrored, mix, oval, stroke
from stylegan_jax.data.toy_faces.hair import COVERS_EARS, SKULL_POWER
from stylegan_jax.data.toy_faces.parameters import Colour, Face

_FRECKLES = 26  # each takes two numbers from the start of the texture
_ROSE: Colour = (238, 78, 92)
_LIP: Colour = (196, 66, 78)
_MOUTH_INSIDE: Colour = (112, 36, 48)
_TONGUE: Colour = (226, 110, 108)
EAR_Y = 0.035
_MOUTH_Y = 0.186
_UPPER_LID = np.r_[54:72, 0:19]  # points of an oval, clockwise from its left end


def head_outline(face: Face, grow: float = 0.0) -> np.ndarray:
    """Return the outline of the head, [72, 2], in the system `head`; the chin leads when it turns."""
    skull = oval(0.0, 0.0, face.head_width + grow, face.head_height + grow, SKULL_POWER)
    jaw = oval(0.0, 0.0, face.head_width + grow, face.head_height + grow, round(face.jaw, 2))
    points = np.where(skull[:, 1:] < 0.0, skull, jaw)
    points[:, 0] += 0.03 * face.turn * np.maximum(points[:, 1], 0.0) / face.head_height
    return points


def draw_cheeks(canvas: Canvas, face: Face, head: Image.Image) -> None:
    """Light the cheek on the side of the light, then add blush and freckles."""
    cheeks = canvas.surface(np.array([(-0.125, 0.12), (0.125, 0.12)]))
    canvas.glow(cheeks[0], (0.085, 0.07), mix(face.skin, LAMP, 0.5), 0.4, within=head)
    if face.blush:
        rose = mix(face.skin, _ROSE, 0.58 if face.dark_skin else 0.48)
        for cheek in cheeks:
            canvas.glow(cheek, (0.076, 0.058), rose, 0.95, within=head)
    if face.freckles:
        numbers = np.array(face.texture[: 2 * _FRECKLES]).reshape(_FRECKLES, 2)
        side = np.where(np.arange(_FRECKLES) % 2, 1.0, -1.0)
        x = side * (0.03 + 0.125 * numbers[:, 0])
        y = 0.088 + 0.055 * numbers[:, 1] + 0.1 * (0.09 - np.abs(x)) ** 2
        colour = darker(mix(face.skin, (150, 74, 40), 0.45), 0.6 if face.dark_skin else 0.22)
        radius = 0.0062 + 0.0034 * np.roll(numbers[:, 0], 7)
        dots = oval(0.0, 0.0, 1.0, 1.0)[::6] * radius[:, None, None] + np.stack([x, y], axis=1)[:, None]
        canvas.fill(canvas.surface(dots), colour)


def draw_nose(canvas: Canvas, face: Face, head: Image.Image) -> None:
    """Paint a lit tip, the shade under it and one side of the bridge."""
    w, y = face.nose_width, face.nose_height
    shade = darker(face.skin, 0.32)
    away = -1.0 if face.turn > 0.0 else 1.0  # the bridge shades the side that turns away
    tip = canvas.surface(np.array([(0.0, y)]), protrusion=0.05)[0]
    canvas.glow(tip - (0.008, 0.018), (1.1 * w, w), mix(face.skin, LAMP, 0.6), 0.6, within=head)
    under = curve([(-w, y - 0.006), (-0.55 * w, y + 0.016), (0.55 * w, y + 0.016), (w, y - 0.006)])
    canvas.fill(canvas.surface(stroke(under, 0.017), protrusion=0.05), shade)
    bridge = curve([(away * -0.012, y - 0.085), (away * -0.02, y - 0.05), (away * -0.9 * w, y - 0.008)])
    canvas.fill(canvas.surface(stroke(bridge, 0.008), protrusion=0.04), darker(face.skin, 0.2))


def draw_beard(canvas: Canvas, face: Face) -> None:
    """Paint the beard and the moustache, if the face has them."""
    colour = darker(face.hair_colour, 0.16)
    w = face.head_width
    if face.beard:
        lower = head_outline(face, grow=0.01)
        lower = lower[lower[:, 1] > -0.02]
        lower[:, 1] += face.beard_length * np.clip(lower[:, 1] / face.head_height, 0.0, 1.0) ** 2
        lower = canvas.head(lower)
        cheek = [(-0.99 * w, 0.0), (-0.84 * w, 0.11), (-0.5 * w, 0.152), (-0.2 * w, 0.148)]
        line = canvas.surface(curve(cheek + mirrored(cheek), samples=6))
        canvas.paint(canvas.mask(np.concatenate([lower, line])), colour, shade=0.4)
        lip = canvas.surface(oval(0.0, _MOUTH_Y + 0.006, 0.8 * face.mouth_width, 0.036))
        canvas.fill(lip, darker(face.skin, 0.12))
    if face.moustache:
        reach = 1.15 * face.mouth_width
        for side in (-1.0, 1.0):
            half = [(0.0, 0.142), (0.5 * reach, 0.148), (reach, 0.178), (0.55 * reach, 0.172), (0.0, 0.166)]
            points = curve(np.array(half) * (side, 1.0), closed=True, samples=5)
            half_colour = mix(colour, WHITE, 0.07) if side < 0 else colour
            canvas.fill(canvas.surface(points, protrusion=0.02), half_colour)


def draw_mouth(canvas: Canvas, face: Face) -> None:
    """Paint the mouth: open or closed, smiling or not."""
    lip = darker(mix(face.skin, _LIP, face.lip_tint), 0.1 + 0.2 * face.dark_skin)
    if face.open_mouth:
        _draw_open_mouth(canvas, face, lip)
        return
    w, y = face.mouth_width, _MOUTH_Y
    bend = 0.036 if face.smiling else 0.004
    right = [(0.5 * w, y + 0.3 * bend), (w, y - 0.6 * bend)]
    line = curve([*mirrored(right), (0.0, y + 0.62 * bend), *right])
    canvas.fill(canvas.surface(stroke(np.add(line[8:-8], (0.0, 0.013)), 0.026)), mix(lip, face.skin, 0.25))
    canvas.fill(canvas.surface(stroke(line, 0.018, bluntness=4.0)), darker(lip, 0.45))


def _draw_open_mouth(canvas: Canvas, face: Face, lip: Colour) -> None:
    y = _MOUTH_Y
    if face.smiling:
        w = face.mouth_width
        right, middle = [(0.5 * w, y - 0.006), (w, y - 0.012)], (0.0, y - 0.003)
        low = [(0.78 * w, y + 0.026), (0.0, y + 0.056), (-0.78 * w, y + 0.026)]
        tongue = oval(0.0, y + 0.044, 0.42 * w, 0.016)
    else:
        w = 0.56 * face.mouth_width
        right, middle = [(0.5 * w, y - 0.014), (w, y + 0.008)], (0.0, y - 0.016)
        low = [(0.6 * w, y + 0.034), (0.0, y + 0.042), (-0.6 * w, y + 0.034)]
        tongue = oval(0.0, y + 0.032, 0.45 * w, 0.012)
    top = [*mirrored(right), middle, *right]
    inside = curve(top + low, closed=True)
    centre = (0.0, y + 0.015)
    canvas.fill(canvas.surface((inside - centre) * (1.1, 1.22) + centre), lip)
    canvas.fill(canvas.surface(inside), _MOUTH_INSIDE)
    canvas.fill(canvas.surface(tongue), _TONGUE)
    if face.smiling:
        upper = curve(top)[4:-4]
        teeth = np.concatenate([upper, np.add(upper, (0.0, 0.02))[::-1] * (0.94, 1.0)])
        canvas.fill(canvas.surface(teeth), WHITE)


def draw_eyes(canvas: Canvas, face: Face) -> None:
    """Paint white, iris, pupil and catchlight, each cut to the opening of the lids, then the lids.

    A smile raises the lower lid.
    """
    radius_x, radius_y = face.eye_size, 1.07 * face.eye_size

    def under_lid(points: np.ndarray) -> np.ndarray:
        arch = 0.22 * (points[..., 0] / radius_x) ** 2
        return np.maximum(points[..., 1], radius_y * (arch - (1.0 - face.eye_lid)))

    centres = np.array([(-face.eye_spacing, face.eye_height), (face.eye_spacing, face.eye_height)])[:, None]
    white = oval(0.0, 0.0, radius_x, radius_y)
    canvas.fill(canvas.surface(1.16 * white + centres), darker(face.skin, 0.2))
    look = 0.012 * (0.7 * face.turn + face.gaze)
    iris = 0.74 * radius_x
    layers = (
        (white, WHITE),
        (oval(look, 0.002, iris, 1.08 * iris), darker(face.iris, 0.3)),
        (oval(look, 0.006, 0.8 * iris, 0.86 * iris), mix(face.iris, WHITE, 0.12)),
        (oval(look, 0.002, 0.52 * iris, 0.56 * iris), INK),
        (oval(look - 0.3 * iris, -0.3 * iris, 0.28 * iris, 0.28 * iris), WHITE),
    )
    points = np.stack([outline for outline, _ in layers])
    outside = np.sqrt(((points / (radius_x, radius_y)) ** 2).sum(axis=-1, keepdims=True))
    points /= np.maximum(outside, 1.0)
    points[..., 1] = under_lid(points)
    if face.smiling:
        raised = radius_y * (0.68 + 0.2 * (points[..., 0] / radius_x) ** 2)
        points[..., 1] = np.minimum(points[..., 1], raised)
    outlines = canvas.surface(points[:, None] + centres)
    for outline, (_, colour) in zip(outlines, layers):
        canvas.fill(outline, colour)
    lid = 1.03 * white[_UPPER_LID]
    lid[:, 1] = under_lid(lid)
    canvas.fill(canvas.surface(stroke(lid + centres, 0.017, bluntness=6.0)), INK)
    if face.lashes:
        _draw_lashes(canvas, face)


def _draw_lashes(canvas: Canvas, face: Face) -> None:
    """Draw two lashes at the outer corner of each eye."""
    angle = np.radians([-84.0, -62.0, 62.0, 84.0])
    direction = np.stack([np.sin(angle), -np.cos(angle)], axis=1)
    root = direction * (0.96 * face.eye_size, 1.03 * face.eye_size * (1.0 - 0.6 * face.eye_lid))
    root += np.stack([np.sign(angle) * face.eye_spacing, np.full(4, face.eye_height)], axis=1)
    knots = np.stack([root, root + 0.014 * direction, root + 0.026 * direction - (0.0, 0.009)], axis=1)
    canvas.fill(canvas.surface(stroke(curve(knots, samples=4), 0.014)), INK)


def draw_brows(canvas: Canvas, face: Face) -> None:
    """Paint the brows, over the hair: they carry the expression."""
    y = face.eye_height - face.brow_height
    slope = 0.06 * face.brow_angle
    inner, outer = face.eye_spacing - 0.052, face.eye_spacing + 0.058
    knots = np.array([[(inner, y + 0.006 + slope), (inner + 0.055, y - 0.01), (outer, y + 0.01 - slope)]])
    brows = curve(np.concatenate([knots, knots * (-1.0, 1.0)]))
    colour = darker(mix(face.hair_colour, face.skin, 0.12), 0.3)
    canvas.fill(canvas.surface(stroke(brows, face.brow_thickness, bluntness=3.0)), colour)


def draw_earrings(canvas: Canvas, face: Face) -> None:
    """Hang a gold earring under each ear that shows."""
    for side in (-1.0, 1.0):
        if side * face.turn > 0.45:
            continue  # behind the head
        inward = 0.02 if face.hair_style in COVERS_EARS else 0.0
        x = side * (face.head_width + 0.014 - inward - 0.03 * abs(face.turn))
        y = EAR_Y + face.ear_size + 0.026
        canvas.fill(canvas.head(oval(x, y, 0.028, 0.031)), (206, 148, 52))
        canvas.fill(canvas.head(oval(x - 0.003, y - 0.004, 0.019, 0.021)), (250, 212, 108))


def draw_glasses(canvas: Canvas, face: Face) -> None:
    """Paint the glasses, with a glare on each lens."""
    power = 2.0 if face.glasses == 'round' else 4.0
    radius_x, radius_y = 0.08, 0.078 if face.glasses == 'round' else 0.064
    width, y = 0.015, face.eye_height + 0.006
    spacing = max(face.eye_spacing, radius_x + 0.018)
    lens = oval(0.0, y, radius_x, radius_y, power)
    lenses = [canvas.surface(np.add(lens, (side * spacing, 0.0)), 0.012) for side in (-1.0, 1.0)]
    canvas.paint(canvas.mask(*lenses, opacity=0.1), WHITE)
    inner = (spacing - radius_x, y - 0.008)
    bridge = curve([*mirrored([inner]), (0.0, y - 0.024), inner], samples=5)
    canvas.line(canvas.surface(bridge, 0.02), width, face.glasses_colour)
    for side, lens in zip((-1.0, 1.0), lenses):
        if side * face.turn < 0.3:  # else the head hides the temple
            hinge = canvas.surface(np.array([(side * (spacing + radius_x - 0.004), y - 0.006)]), 0.012)
            ear = (side * (face.head_width - 0.01 - 0.03 * abs(face.turn)), EAR_Y + 0.6 * face.nod - 0.02)
            canvas.line(np.concatenate([hinge, canvas.head(np.array([ear]))]), width, face.glasses_colour)
        canvas.line(np.concatenate([lens, lens[:2]]), width, face.glasses_colour)
        glare = np.add([(-0.052, -0.004), (-0.04, -0.03), (-0.018, -0.046)], (side * spacing, y))
        canvas.fill(canvas.surface(stroke(curve(glare, samples=5), 0.014), 0.012), WHITE)
