"""The description of a toy face before any pixel: its parameters, their distribution and their palette.

Every random number of a face is drawn here, in a fixed order and in units of the frame (1 is the width
of the picture), so the same index is the same face at every resolution. Drawing is in
`toy_faces/drawing.py`; the public interface is in `faces.py`.
"""

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]

HAIR_STYLES = ('bald', 'short', 'bob', 'long', 'bun')
HAT_STYLES = ('none', 'beanie', 'cap', 'sun_hat')
NECKLINES = ('crew', 'v_neck', 'collar', 'roll_neck')
GLASSES_STYLES = ('none', 'round', 'square')

# How many uniform numbers a face carries for detail too fine to name: freckle, strand and curl positions.
TEXTURE_SIZE = 160

# From light to dark. `dark_skin` starts at FIRST_DARK_SKIN.
SKINS: tuple[Colour, ...] = (
    (253, 224, 206),
    (248, 208, 180),
    (240, 190, 155),
    (226, 168, 128),
    (205, 143, 102),
    (176, 114, 76),
    (144, 88, 58),
    (112, 66, 46),
)
FIRST_DARK_SKIN = 5

# `dark_hair` is the first N_DARK_HAIRS; the last three are dyed.
HAIRS: tuple[Colour, ...] = (
    (43, 36, 48),
    (62, 42, 38),
    (84, 52, 38),
    (140, 78, 44),
    (178, 84, 46),
    (222, 128, 62),
    (232, 184, 104),
    (240, 218, 172),
    (176, 172, 180),
    (222, 122, 146),
    (66, 146, 150),
    (120, 108, 186),
)
N_DARK_HAIRS = 3
HAIR_WEIGHTS = (0.19, 0.16, 0.12, 0.11, 0.08, 0.08, 0.08, 0.05, 0.04, 0.025, 0.025, 0.025)

IRISES: tuple[Colour, ...] = (
    (92, 58, 38),
    (122, 80, 44),
    (70, 120, 168),
    (86, 140, 100),
    (108, 118, 136),
    (58, 140, 148),
)
IRIS_WEIGHTS = (0.34, 0.2, 0.18, 0.12, 0.08, 0.08)

CLOTHES: tuple[Colour, ...] = (
    (238, 116, 92),
    (238, 178, 66),
    (46, 140, 136),
    (52, 74, 112),
    (246, 234, 214),
    (138, 174, 136),
    (126, 78, 118),
    (120, 178, 216),
    (188, 84, 62),
    (242, 160, 170),
)

BACKDROPS: tuple[Colour, ...] = (
    (252, 214, 190),
    (196, 230, 214),
    (190, 220, 242),
    (216, 204, 240),
    (252, 234, 182),
    (248, 200, 208),
    (226, 222, 210),
    (134, 192, 196),
    (242, 164, 128),
    (128, 162, 210),
    (236, 200, 112),
    (168, 196, 150),
)

FRAMES: tuple[Colour, ...] = ((44, 40, 56), (120, 62, 48), (196, 72, 70), (48, 96, 120), (240, 236, 226))


@dataclass(frozen=True)
class Face:
    """One face. Lengths are in widths of the frame, angles in radians, x to the viewer's right, y down.

    `turn` is -1 (looks to the viewer's left) to 1 (right); `nod` moves the features up or down the head.
    """

    # Coarse: pose, head shape, hair style.
    shift_x: float
    shift_y: float
    tilt: float
    turn: float
    nod: float
    head_width: float  # half the width
    head_height: float  # half the height
    jaw: float  # exponent of the lower superellipse: under 2 pointed, over 2 square
    hair_style: str
    curly: bool
    fringe: bool
    hair_volume: float
    parting: float
    hat: str
    # Middle: features.
    eye_size: float
    eye_spacing: float
    eye_height: float
    eye_lid: float  # share of the eye that the upper lid covers
    gaze: float
    lashes: bool
    brow_angle: float
    brow_thickness: float
    brow_height: float
    nose_width: float
    nose_height: float
    mouth_width: float
    smiling: bool
    open_mouth: bool
    ear_size: float
    beard: bool
    beard_length: float
    moustache: bool
    glasses: str
    earrings: bool
    neckline: str
    stripes: bool
    # Fine: colours, and detail that carries no meaning.
    freckles: bool
    blush: bool
    skin: Colour
    dark_skin: bool
    hair_colour: Colour
    dark_hair_colour: bool
    iris: Colour
    lip_tint: float
    shirt: Colour
    hat_colour: Colour
    glasses_colour: Colour
    backdrop: Colour
    backdrop_angle: float
    texture: tuple[float, ...]


class _Draws:
    """Named distributions on top of `Generator.random`, whose stream numpy keeps stable."""

    def __init__(self, index: int):
        self._generator = np.random.Generator(np.random.PCG64([index]))

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self._generator.random()

    def central(self, reach: float) -> float:
        """Draw from the triangle on [-reach, reach]."""
        return reach * (self._generator.random() + self._generator.random() - 1.0)

    def chance(self, probability: float) -> bool:
        return self._generator.random() < probability

    def choose(self, items, weights=None):
        if weights is None:
            return items[int(len(items) * self._generator.random())]
        left = sum(weights) * self._generator.random()
        for item, weight in zip(items, weights):
            left -= weight
            if left < 0.0:
                return item
        return items[-1]

    def near(self, colour: Colour, spread: float) -> Colour:
        """Vary a palette colour: mostly in brightness, a little in hue."""
        brightness = self.central(spread)
        hue = [self.central(0.4 * spread) for _ in range(3)]
        return tuple(round(min(max(c + brightness + d, 0.0), 255.0)) for c, d in zip(colour, hue))

    def texture(self) -> tuple[float, ...]:
        return tuple(self._generator.random(TEXTURE_SIZE).tolist())


def _contrasting(palette: tuple[Colour, ...], others: tuple[Colour, ...], least: float) -> list[int]:
    """Return the places of the colours that stand out from all `others`, or of the one that does most.

    The distance is in 8-bit steps, with more weight on the channels to which the eye is sensitive.
    """
    difference = np.array(palette, dtype=float)[:, None] - np.array(others, dtype=float)
    closest = np.sqrt((difference * difference) @ (0.9, 1.4, 0.7)).min(axis=1)
    return np.flatnonzero(closest >= min(least, closest.max())).tolist()


def _sample_pose(draws: _Draws) -> dict:
    return {
        'shift_x': draws.central(0.035),
        'shift_y': draws.central(0.02),
        'tilt': draws.central(0.16),
        'turn': draws.uniform(-1.0, 1.0),
        'nod': draws.central(0.022),
        'head_width': draws.uniform(0.222, 0.268),
        'head_height': draws.uniform(0.282, 0.312),
        'jaw': draws.uniform(1.75, 2.75),
    }


def _sample_hair_and_hat(draws: _Draws, beard: bool) -> dict:
    # A beard makes long hair rarer and baldness commoner, so that most faces look like someone.
    weights = (0.24, 0.44, 0.1, 0.12, 0.1) if beard else (0.13, 0.27, 0.2, 0.26, 0.14)
    style = draws.choose(HAIR_STYLES, weights)
    curly = draws.chance(0.36) and style != 'bald'
    fringe = draws.chance(0.42) and style != 'bald'
    hat = draws.choose(HAT_STYLES, (0.77, 0.1, 0.07, 0.06))
    if hat != 'none' and style == 'bun':
        style = 'bob'  # a bun sits where the hat does
    return {
        'hair_style': style,
        'curly': curly,
        'fringe': fringe,
        'hair_volume': draws.uniform(0.035, 0.065),
        'parting': draws.uniform(-0.6, 0.6),
        'hat': hat,
    }


def _sample_features(draws: _Draws, beard: bool) -> dict:
    return {
        'eye_size': draws.uniform(0.046, 0.058),
        'eye_spacing': draws.uniform(0.098, 0.116),
        'eye_height': draws.uniform(0.012, 0.04),
        'eye_lid': draws.uniform(0.1, 0.42),
        'gaze': draws.central(0.6),
        'lashes': draws.chance(0.5) and not beard,
        'brow_angle': draws.central(0.3),
        'brow_thickness': draws.uniform(0.014, 0.026),
        'brow_height': draws.uniform(0.076, 0.096),
        'nose_width': draws.uniform(0.026, 0.044),
        'nose_height': draws.uniform(0.1, 0.122),
        'mouth_width': draws.uniform(0.062, 0.092),
        'smiling': draws.chance(0.55),
        'open_mouth': draws.chance(0.4),
        'ear_size': draws.uniform(0.044, 0.058),
        'beard': beard,
        'beard_length': draws.uniform(0.01, 0.05),
        'moustache': draws.chance(0.65 if beard else 0.06),
        'glasses': draws.choose(GLASSES_STYLES, (0.68, 0.18, 0.14)),
        'earrings': draws.chance(0.08 if beard else 0.32),
        'neckline': draws.choose(NECKLINES),
        'stripes': draws.chance(0.25),
    }


def _sample_colours(draws: _Draws) -> dict:
    skin_place = draws.choose(range(len(SKINS)))
    skin = draws.near(SKINS[skin_place], 9)
    # Each layer must stand out from what it borders: hair from skin, the backdrop and clothes from both.
    hair_places = _contrasting(HAIRS, (skin,), 52.0)
    hair_place = draws.choose(hair_places, [HAIR_WEIGHTS[place] for place in hair_places])
    hair_colour = draws.near(HAIRS[hair_place], 10)
    backdrop = draws.near(BACKDROPS[draws.choose(_contrasting(BACKDROPS, (skin, hair_colour), 62.0))], 8)
    clothes = _contrasting(CLOTHES, (skin, backdrop, hair_colour), 68.0)
    shirt = draws.near(CLOTHES[draws.choose(clothes)], 8)
    hat_colour = draws.near(CLOTHES[draws.choose(clothes)], 8)
    return {
        'freckles': draws.chance(0.27),
        'blush': draws.chance(0.42),
        'skin': skin,
        'dark_skin': skin_place >= FIRST_DARK_SKIN,
        'hair_colour': hair_colour,
        'dark_hair_colour': hair_place < N_DARK_HAIRS,
        'iris': draws.near(draws.choose(IRISES, IRIS_WEIGHTS), 10),
        'lip_tint': draws.uniform(0.25, 0.75),
        'shirt': shirt,
        'hat_colour': hat_colour,
        'glasses_colour': FRAMES[draws.choose(_contrasting(FRAMES, (skin,), 90.0))],
        'backdrop': backdrop,
        'backdrop_angle': draws.uniform(0.0, 2.0 * np.pi),
    }


def sample_face(index: int) -> Face:
    """Draw the parameters of one face.

    Args:
        index: which face, 0 or more; it alone seeds the generator.

    Returns:
        The face; equal for equal indices.

    Raises:
        ValueError: the index is negative.
    """
    if index < 0:
        raise ValueError(f'the index of a toy face must be 0 or more, got {index}')
    draws = _Draws(index)
    beard = draws.chance(0.22)
    return Face(
        **_sample_pose(draws),
        **_sample_hair_and_hat(draws, beard),
        **_sample_features(draws, beard),
        **_sample_colours(draws),
        texture=draws.texture(),
    )
