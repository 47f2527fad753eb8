"""Draw a toy face from its parameters: the order of the layers, the backdrop, the clothes and the head.

The picture is painted a few times larger than asked and averaged down, which anti-aliases it. Hair and
hats are in `toy_faces/hair.py`, the features of the face in `toy_faces/features.py`.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops

from stylegan_jax.data.toy_faces.canvas import (
    HEAD_CENTRE,
    LAMP,
    WHITE,
    Canvas,
    curve,
    darker,
    mirrored,
    mix,
    oval,
    stroke,
)
from stylegan_jax.data.toy_faces.features import (
    EAR_Y,
    draw_beard,
    draw_brows,
    draw_cheeks,
    draw_earrings,
    draw_eyes,
    draw_glasses,
    draw_mouth,
    draw_nose,
    head_outline,
)
from stylegan_jax.data.toy_faces.hair import COVERS_EARS, draw_back_hair, draw_front_hair, draw_hat, front_hair_outline
from stylegan_jax.data.toy_faces.parameters import Face

_SMALLEST_CANVAS = 96  # pixels: fewer, and an iris is a few squares
_BACKDROP_SIZE = 256  # pixels: enlarging fewer would show their rounding as a weave


def render(face: Face, resolution: int) -> np.ndarray:
    """Draw a face.

    Args:
        face: the parameters of the face.
        resolution: R, in pixels.

    Returns:
        Array [R, R, 3], uint8, RGB.
    """
    factor = max(-(-_SMALLEST_CANVAS // resolution), 3 if resolution <= 512 else 2)
    canvas = Canvas(face, factor * resolution)
    _draw_backdrop(canvas, face)
    _draw_clothes(canvas, face)
    draw_back_hair(canvas, face)
    _draw_neck(canvas, face)
    hair = None if face.hair_style == 'bald' else front_hair_outline(face, canvas)
    head = _draw_head(canvas, face, hair)
    draw_cheeks(canvas, face, head)
    draw_nose(canvas, face, head)
    if face.beard or face.moustache:
        draw_beard(canvas, face)
    draw_mouth(canvas, face)
    draw_eyes(canvas, face)
    if face.glasses != 'none':
        draw_glasses(canvas, face)
    if hair is not None:
        draw_front_hair(canvas, face, hair)
    if face.hair_style not in COVERS_EARS:
        _draw_ear(canvas, face, near=True)
    draw_brows(canvas, face)
    if face.earrings:
        draw_earrings(canvas, face)
    draw_hat(canvas, face)
    return np.array(canvas.image.reduce(factor))


@lru_cache(maxsize=8)
def _backdrop_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places [size, size, 2] as (x, y) from -1 to 1, and a light behind the head [size, size, 1]."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / (0.5 * size - 0.5) - 1.0
    light = 0.42 * np.exp(-1.6 * (x * x + (y + 0.1) ** 2))
    return np.stack([x, y], axis=-1), light[..., None]


def _draw_backdrop(canvas: Canvas, face: Face) -> None:
    """Paint a gradient from light to dark, with a soft light behind the head."""
    places, light = _backdrop_grid(min(canvas.size, _BACKDROP_SIZE))
    direction = 0.35 * np.array([np.cos(face.backdrop_angle), np.sin(face.backdrop_angle)], dtype=np.float32)
    across = (0.5 + places @ direction)[..., None] * (1.0 - light)
    base = np.array(face.backdrop, dtype=np.float32)
    shadow = np.array(darker(face.backdrop, 0.16), dtype=np.float32) - base
    colours = base + shadow * across + (np.array(WHITE, dtype=np.float32) - base) * light
    backdrop = Image.fromarray((colours + 0.5).astype(np.uint8))
    if backdrop.width != canvas.size:
        backdrop = backdrop.resize((canvas.size, canvas.size), Image.Resampling.BICUBIC)
    canvas.image.paste(backdrop)


def _body(face: Face) -> np.ndarray:
    """Return the middle of the collar, in the system `frame`: the body follows the head by half."""
    return np.array([HEAD_CENTRE[0] + 0.45 * face.shift_x, 0.885 + 0.5 * face.shift_y])


def _draw_clothes(canvas: Canvas, face: Face) -> None:
    shoulder = [(0.13, 0.0), (0.24, 0.022), (0.345, 0.062), (0.405, 0.14), (0.42, 0.24)]
    shirt = curve(mirrored(shoulder) + shoulder) + _body(face)
    mask = canvas.mask(shirt)
    canvas.paint(mask, face.shirt, shade=0.35)
    if face.stripes:
        x = np.array([-0.5, 0.0, 0.5])
        bands = [
            stroke(curve(np.stack([x, [y, y - 0.02, y]], axis=1)) + _body(face), 0.026, bluntness=40.0)
            for y in (0.055, 0.112, 0.169)
        ]
        canvas.paint(ImageChops.multiply(mask, canvas.mask(*bands)), mix(face.shirt, WHITE, 0.55), shade=0.35)


def _draw_neck(canvas: Canvas, face: Face) -> None:
    """Paint the neck with the shadow of the chin, then the collar over it."""
    body = _body(face)
    skin = darker(face.skin, 0.13)
    low = {'crew': 0.034, 'v_neck': 0.1, 'collar': 0.05, 'roll_neck': 0.02}[face.neckline]
    top = canvas.head(np.array([(-0.1, 0.17), (0.1, 0.17)]))
    width = 0.105 if face.neckline == 'v_neck' else 0.115
    right = [(width, 0.004), (0.5 * width, 0.6 * low)]
    opening = curve([*right, (0.0, low), *mirrored(right)])
    neck = np.concatenate([top, opening + body])
    mask = canvas.mask(neck)
    canvas.paint(mask, skin)
    chin = canvas.head(oval(0.02 + 0.03 * face.turn, 0.0, 0.9 * face.head_width, face.head_height + 0.045))
    canvas.paint(ImageChops.multiply(mask, canvas.mask(chin, opacity=0.7)), darker(face.skin, 0.42))
    rim = darker(face.shirt, 0.22)
    if face.neckline == 'collar':
        light = mix(face.shirt, WHITE, 0.3)
        for side in (-1.0, 1.0):
            flap = np.array([(0.12, -0.022), (0.152, 0.02), (0.085, 0.085), (0.004, 0.048)]) * (side, 1.0)
            canvas.fill(flap + body, light if side < 0 else darker(light, 0.1))
    elif face.neckline == 'roll_neck':
        right = [(0.125, -0.02), (0.14, 0.045)]
        roll = curve([(0.0, 0.004), *right, (0.0, 0.075), *mirrored(right)], closed=True)
        canvas.paint(canvas.mask(roll + body), mix(face.shirt, WHITE, 0.12), shade=0.4)
    else:
        canvas.fill(stroke(opening + body, 0.02, bluntness=8.0), rim)


def _draw_head(canvas: Canvas, face: Face, hair: np.ndarray | None) -> Image.Image:
    """Paint the far ear and the head, shaded away from the light; return the mask of the head."""
    if face.hair_style not in COVERS_EARS:
        _draw_ear(canvas, face, near=False)
    head = canvas.mask(canvas.head(head_outline(face)))
    canvas.paint(head, face.skin, shade=0.36)
    if hair is None:
        gleam = canvas.head(np.array([-0.4 * face.head_width, -0.66 * face.head_height]))
        canvas.glow(gleam, (0.1, 0.07), mix(face.skin, LAMP, 0.7), 0.75, within=head)
    else:
        cast = canvas.mask(np.add(hair, (0.006, 0.02)), opacity=0.75)  # the shadow of the hair
        canvas.paint(ImageChops.multiply(cast, head), darker(face.skin, 0.34))
    return head


def _draw_ear(canvas: Canvas, face: Face, *, near: bool) -> None:
    """Paint the ear that the turned head shows more of (near), or less of."""
    side = 1.0 if (face.turn < 0.0) == near else -1.0
    x = face.head_width + (0.012 - 0.034 * abs(face.turn) if near else -0.024 * abs(face.turn))
    y, size = EAR_Y + 0.6 * face.nod, face.ear_size
    lobe = oval(side * x, y, 0.78 * size, size)
    shell = oval(side * (x + 0.1 * size), y, 0.42 * size, 0.6 * size)
    canvas.fill(canvas.head(lobe), darker(face.skin, 0.05 if side < 0 else 0.14))
    canvas.fill(canvas.head(shell), darker(face.skin, 0.28))
