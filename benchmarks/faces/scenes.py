"""Pictures that are made of UTKFace's chips: where each face is, how large and how it leans."""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from model.faces.face import Face

ACROSS, DOWN = 3, 2  # faces of a canvas
_NEAR = 0.35  # of the chip's side: a face whose middle is nearer to the chip's is that one
_LEAST_CANVAS_PX = 160
_MOST_DRAWN_PX = 4_000_000  # of a background; larger ones are enlarged


@dataclasses.dataclass(frozen=True)
class Pasted:
    """A chip in a scene.

    Attributes:
        x: of its middle, pixels.
        y: likewise.
        side: of the chip, pixels.
        roll: degrees, clockwise.
    """

    x: float
    y: float
    side: int
    roll: float

    def holds(self, face: Face) -> bool:
        """Whether a face that was found is this one."""
        x, y = face.left + face.width / 2, face.top + face.height / 2
        return bool(np.hypot(x - self.x, y - self.y) < _NEAR * self.side)


def jpeg(image: Image.Image, quality: int) -> bytes:
    """A JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    """A PNG file, quickly."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def background(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """A faceless picture, RGB: noise, clouds, a gradient, stripes or tiles."""
    if width * height > _MOST_DRAWN_PX:
        share = np.sqrt(_MOST_DRAWN_PX / (width * height))
        small = background(int(width * share), int(height * share), rng)
        return small.resize((width, height), Image.Resampling.BILINEAR)
    kind = int(rng.integers(5))
    colours = rng.integers(20, 236, (2, 3)).astype(np.float32)
    if kind == 0:
        noise = rng.normal(0, 30, (height, width, 1)).astype(np.float32)
        return _picture(colours[0] + noise)
    if kind == 1:
        few = rng.integers(40, 220, (6, 8, 3), dtype=np.uint8)
        return Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC)
    if kind == 2:
        along = np.linspace(0, 1, width)[None, :, None] * np.linspace(0.5, 1, height)[:, None, None]
        return _picture(colours[0] * (1 - along) + colours[1] * along)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, length = rng.uniform(0, np.pi), rng.uniform(8, 60)
    if kind == 3:
        wave = 0.5 + 0.5 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / length)
        return _picture(colours[0] * (1 - wave[..., None]) + colours[1] * wave[..., None])
    tiles = ((x // length + y // length) % 2)[..., None]
    grain = rng.normal(0, 8, (height, width, 1)).astype(np.float32)
    return _picture(colours[0] * (1 - tiles) + colours[1] * tiles + grain)


def _picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def canvas(
    chips: Sequence[Image.Image], side: int, degrees: float, rng: np.random.Generator
) -> tuple[Image.Image, list[Pasted]]:
    """Up to `ACROSS * DOWN` chips, each turned to one side or the other."""
    cell = round(1.6 * side)
    width, height = (max(_LEAST_CANVAS_PX, count * cell) for count in (ACROSS, DOWN))
    image = background(width, height, rng)
    pasted = list[Pasted]()
    for number, chip in enumerate(chips):
        x = width / ACROSS * (number % ACROSS + 0.5)
        y = height / DOWN * (number // ACROSS + 0.5)
        roll = degrees * float(rng.choice([-1, 1]))
        pasted.append(paste(image, chip, Pasted(x, y, side, roll)))
    return image, pasted


def photograph(
    chips: Sequence[Image.Image], megapixels: float, rng: np.random.Generator
) -> tuple[Image.Image, list[Pasted]]:
    """4:3, the faces as large as there is room for."""
    width, height = (round(np.sqrt(megapixels * 1e6 * ratio)) for ratio in (4 / 3, 3 / 4))
    across = int(np.ceil(np.sqrt(len(chips) * 4 / 3)))
    down = -(-len(chips) // across)
    side = int(0.75 * min(width / across, height / down))
    image = background(width, height, rng)
    pasted = [
        paste(image, chip, Pasted(
            width / across * (i % across + 0.5), height / down * (i // across + 0.5), side, 0.0))
        for i, chip in enumerate(chips)
    ]  # fmt: skip
    return image, pasted


def paste(image: Image.Image, chip: Image.Image, where: Pasted) -> Pasted:
    """Put a chip into a picture; returns where its middle came to lie."""
    sized = chip.resize((where.side, where.side), Image.Resampling.LANCZOS).convert("RGBA")
    turned = sized.rotate(-where.roll, Image.Resampling.BICUBIC, expand=True)
    left, top = round(where.x - turned.width / 2), round(where.y - turned.height / 2)
    image.paste(turned, (left, top), turned)
    middle = (left + turned.width / 2, top + turned.height / 2)
    return dataclasses.replace(where, x=middle[0], y=middle[1])
