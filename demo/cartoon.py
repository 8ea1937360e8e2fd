"""Cartoon faces, drawn with Pillow, on which age and gender can be seen.

Age changes proportions, wrinkles, grey and lost hair; gender the length of the hair, jaw, brows,
lips and beard. demo/drawn_faces.py chooses the looks.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

SIDE_PX = 200  # UTKFace's chips
OVERSAMPLING = 2  # drawn at twice the size and averaged down: Pillow's polygons have hard edges

Colour = tuple[int, int, int]
Points = npt.NDArray[np.float64]

DARK: Colour = (30, 22, 20)


@dataclass(frozen=True)
class Look:
    """All that decides how one face is drawn; lengths are in half head heights, shares are 0..1."""

    age_years: int
    female: bool
    race: int
    skin: Colour
    hair: Colour
    brow: Colour
    background: Colour
    shirt: Colour
    childhood: float  # 1 for a newborn, 0 from 15 years on
    wear: float  # wrinkles: 0 until 28 years, 1 at 100
    recession: float  # of the hairline; from 0.8 on the crown is bald
    half_width: float  # of the head
    jaw: float  # share of the head's width that is left at the chin
    long_hair: bool
    beard: float  # how dark the lower face is

    @property
    def line(self) -> Colour:
        """The colour of wrinkles and of the nose: skin, darker with age."""
        return mix(self.skin, DARK, 0.22 + 0.5 * self.wear)


class Pen:
    """Draws in head coordinates: origin mid-head, x right, y down, 1 = half the head's height."""

    def __init__(self, look: Look, rng: np.random.Generator) -> None:
        """Choose a small pose shift for `look` and fill the background."""
        side = SIDE_PX * OVERSAMPLING
        self.image = Image.new("RGB", (side, side), look.background)
        self._draw = ImageDraw.Draw(self.image)
        tilt = rng.normal(0, 0.06)  # radians
        self._scale = side * (0.39 - 0.05 * look.childhood) * rng.uniform(0.93, 1.07)
        turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
        self._turn: Points = turn * self._scale
        self._origin: Points = side * (np.array([0.5, 0.53]) + rng.normal(0, 0.015, 2))

    def patch(self, points: Points, colour: Colour) -> None:
        """Fill the polygon of `points`, shape (n, 2)."""
        self._draw.polygon(self._to_px(points), fill=colour)

    def stroke(self, points: Points, colour: Colour, width: float) -> None:
        """Draw a line of `width` through `points`, shape (n, 2)."""
        self._draw.line(
            self._to_px(points),
            fill=colour,
            width=max(1, round(width * self._scale)),
            joint="curve",
        )

    def blob(self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour) -> None:
        """Fill an ellipse."""
        self.patch(arc(centre, radii, 0, 2 * np.pi), colour)

    def _to_px(self, points: Points) -> list[float]:
        return (points @ self._turn + self._origin).ravel().tolist()


def arc(
    centre: tuple[float, float], radii: tuple[float, float], start: float, stop: float, n: int = 24
) -> Points:
    """Return (n, 2) points of an ellipse between two angles in radians: 0 right, pi/2 down."""
    angle = np.linspace(start, stop, n)
    return np.stack(
        [centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], axis=1
    )


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return `one` with `share` (clipped to 0..1) of `other`."""
    share = min(1.0, max(0.0, share))
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def as_colour(channels: npt.NDArray[np.int64]) -> Colour:
    """Return an array of shape (3,) as a colour."""
    red, green, blue = (int(channel) for channel in channels)
    return red, green, blue


def head_outline(look: Look, grow: float = 1.0) -> Points:
    """Return the outline, shape (48, 2): half an ellipse, below it cheeks that narrow to a chin."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, y = np.cos(angle), np.sin(angle)
    low = np.clip(y, 0, 1)
    # The chin is a blunter curve than the crown; how blunt and how narrow is the jaw.
    wide = np.sign(x) * np.abs(x) ** (1 - 0.45 * low * look.jaw)
    sag = 1 + 0.10 * look.wear * np.exp(-(((low - 0.75) / 0.2) ** 2))
    narrow = 1 - (0.75 - look.jaw) * 0.6 * low**2
    return np.stack([wide * narrow * sag * look.half_width * grow, y * grow], axis=1)


def draw_back(pen: Pen, look: Look) -> None:
    """Draw what lies behind the face: long hair, neck, shirt, ears."""
    w = look.half_width
    if look.long_hair:
        sides = np.array([[w * 1.22, 1.5], [-w * 1.22, 1.5]])
        pen.patch(
            np.concatenate([arc((0, -0.15), (w * 1.24, 0.98), np.pi, 2 * np.pi), sides]), look.hair
        )
    shoulders = 0.95 + (0.0 if look.female else 0.35) - 0.3 * look.childhood
    pen.blob((0, 1.75), (shoulders, 0.62), look.shirt)
    neck = 0.28 + 0.3 * (look.jaw - 0.4) - 0.06 * look.childhood
    shade = mix(look.skin, DARK, 0.18)
    pen.patch(np.array([[-neck, 0.6], [neck, 0.6], [neck * 1.1, 1.3], [-neck * 1.1, 1.3]]), shade)
    ear = (0.11, 0.2 + 0.06 * look.wear)
    for side in (-1, 1):
        pen.blob((side * w * 1.02, 0.1), ear, shade)


def draw_hair(pen: Pen, look: Look) -> None:
    """Draw the hair over the forehead: full, receding from the temples, or only a wreath."""
    w = look.half_width
    if look.recession > 0.8:
        for side in (-1, 1):
            pen.blob((side * w * 0.99, -0.12), (0.1, 0.3), look.hair)
        return
    outer = arc((0, 0), (w * 1.07, 1.08), np.pi * 1.03, np.pi * 1.97)
    x = np.linspace(0.97, -0.97, 24)
    temples = 0.3 * look.recession * np.exp(-(((np.abs(x) - 0.55) / 0.22) ** 2))
    hairline = -0.62 - 0.34 * look.recession - temples + 0.55 * np.abs(x) ** 3
    crown = -np.sqrt(1 - x**2) * 1.02  # above it there is no head to grow on
    pen.patch(
        np.concatenate([outer, np.stack([x * w, np.maximum(hairline, crown)], axis=1)]), look.hair
    )
    if look.long_hair:
        for side in (-1, 1):
            pen.blob((side * w * 1.08, 0.35), (0.17, 0.75), look.hair)


def draw_wrinkles(pen: Pen, look: Look) -> None:
    """Draw lines on the forehead, at the eyes and the mouth; none below 28 years."""
    wear, w = look.wear, look.half_width
    width = 0.008 + 0.022 * wear
    for line in range(round(5 * wear)):
        y = -0.62 + 0.085 * line
        pen.stroke(
            arc((0, y + 0.2), (w * 0.62, 0.2), 1.25 * np.pi, 1.75 * np.pi, 9), look.line, width
        )
    for side in (-1, 1):
        for fan in range(round(4 * wear)):
            dy = 0.07 * (fan - 1)
            foot = np.array(
                [[side * w * 0.74, 0.03 + dy * 0.4], [side * w * 0.92, 0.03 + dy * 1.5]]
            )
            pen.stroke(foot, look.line, width)
        if wear > 0.12:
            fold = np.array(
                [
                    [side * 0.17, 0.33],
                    [side * 0.29, 0.47],
                    [side * (0.30 + 0.03 * wear), 0.5 + 0.3 * wear],
                ]
            )
            pen.stroke(fold, look.line, width)
        if wear > 0.25:
            pen.stroke(
                arc((side * 0.33, 0.1), (0.15, 0.11), 0.15 * np.pi, 0.85 * np.pi, 9),
                look.line,
                width,
            )
        if wear > 0.6:
            pen.stroke(
                arc((side * 0.33, 0.12), (0.19, 0.17), 0.2 * np.pi, 0.8 * np.pi, 9),
                look.line,
                width,
            )


def draw_eyes(pen: Pen, look: Look, iris: Colour) -> None:
    """Draw eyes and brows: large and low in children, lashes and thin arched brows in women."""
    young = look.childhood
    y = 0.0 + 0.17 * young
    size = 0.125 + 0.05 * young - 0.03 * look.wear
    grown = 1 - young
    for side in (-1, 1):
        x = side * (0.33 + 0.03 * young)
        pen.blob((x, y), (size * 1.25, size * 0.72), (250, 250, 248))
        pen.blob((x, y), (size * 0.62, size * 0.68), iris)
        pen.blob((x, y), (size * 0.3, size * 0.34), DARK)
        lash = 0.022 + (0.032 * grown if look.female else 0)
        pen.stroke(
            arc((x, y), (size * 1.3, size * 0.78), 1.02 * np.pi, 1.98 * np.pi, 11), DARK, lash
        )
        thick = (0.034 if look.female else 0.034 + 0.075 * grown) - 0.012 * young
        arch = 0.13 if look.female else 0.07
        brow = arc((x, y - 0.10 - size + arch), (0.21, arch), 1.1 * np.pi, 1.9 * np.pi, 9)
        pen.stroke(brow, look.brow, thick)
        if look.wear > 0.4:
            lid = arc((x, y - 0.01), (size * 1.35, size * 0.9), 1.2 * np.pi, 1.8 * np.pi, 9)
            pen.stroke(lid, look.line, 0.04 * look.wear)


def draw_nose_and_mouth(pen: Pen, look: Look, smile: float) -> None:
    """Draw beard, nose and mouth: the nose grows with age, women's lips are fuller and redder."""
    grown, w = 1 - look.childhood, look.half_width
    if look.beard:
        outline = head_outline(look, 0.985)
        low = outline[outline[:, 1] > 0.2]
        rim = arc((0, 0.22), (w * 0.62, 0.28), np.pi, 0, 12)
        rim[:, 1] = 0.44 - 0.22 * np.abs(rim[:, 0] / w)
        pen.patch(np.concatenate([low, rim]), mix(look.skin, look.brow, look.beard))
    tip = 0.30 + 0.06 * grown + 0.05 * look.wear
    wing = 0.07 + 0.035 * grown + 0.03 * look.wear
    nose = np.array(
        [[-0.03, tip - 0.24 * grown - 0.05], [-wing, tip], [0, tip + 0.04], [wing, tip]]
    )
    pen.stroke(nose, mix(look.skin, DARK, 0.35), 0.026)
    y, half = 0.60 - 0.01 * look.childhood, 0.18 + 0.05 * grown
    full = (0.1 if look.female else 0.045) * (1 - 0.55 * look.wear)
    rouge = (0.75 if look.female and look.age_years > 14 else 0.35) * (1 - 0.4 * look.wear)
    lips = mix(mix(look.skin, DARK, 0.15), (190, 30, 50), rouge)
    low = arc((0, y), (half, full + smile), 0, np.pi, 13)
    high = arc((0, y), (half, full * 0.8 - smile * 0.6), np.pi, 2 * np.pi, 13)
    pen.patch(np.concatenate([low, high]), lips)
    pen.stroke(arc((0, y), (half, smile * 0.6), np.pi, 0, 11), mix(lips, DARK, 0.5), 0.02)


def draw(look: Look, rng: np.random.Generator) -> Image.Image:
    """Draw `look` as RGB, OVERSAMPLING times SIDE_PX wide; pose, eyes and smile are from `rng`."""
    pen = Pen(look, rng)
    draw_back(pen, look)
    pen.patch(head_outline(look), look.skin)
    for side in (-1, 1):
        cheek = mix(look.skin, (230, 110, 100), 0.10 + 0.15 * look.childhood)
        pen.blob((side * 0.42, 0.38), (0.16, 0.11), cheek)
    draw_hair(pen, look)
    draw_wrinkles(pen, look)
    draw_eyes(pen, look, as_colour(rng.integers((40, 50, 40), (110, 130, 150))))
    draw_nose_and_mouth(pen, look, smile=rng.uniform(0.0, 0.09))
    return pen.image
